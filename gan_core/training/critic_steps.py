"""After which steps of D there is one of G: a function of the number of D's steps alone."""

from gan_core.config import Experiment

# Arjovsky et al. 2017, the authors' code: "train the discriminator Diters times" with 100 in place of 5 while
# fewer than 25 steps of G are done, and where their number is a multiple of 500.
FIRST_LONG, LONG_EVERY = 25, 500


def updates_generator(experiment: Experiment, step: int) -> bool:
    """Whether G's step follows the `step`-th of D, counted from 1."""
    n_critic, long = experiment.n_critic, experiment.n_critic_long
    if not long:
        return step % n_critic == 0
    if step <= FIRST_LONG * long:
        return step % long == 0
    place = (_place(experiment, step) - 1) % _period(experiment) + 1
    return place == long or (place > long and (place - long) % n_critic == 0)


def first_generator_step(experiment: Experiment) -> int:
    """The step of D that G's first one follows, counted from 1."""
    return experiment.n_critic_long or experiment.n_critic


def generator_steps(experiment: Experiment, steps: int) -> int:
    """How many steps of G come with so many of D."""
    n_critic, long = experiment.n_critic, experiment.n_critic_long
    if not long:
        return steps // n_critic
    if steps <= FIRST_LONG * long:
        return steps // long
    whole, rest = divmod(_place(experiment, steps), _period(experiment))
    return whole * LONG_EVERY + (1 + (rest - long) // n_critic if rest >= long else 0)


def _place(experiment: Experiment, step: int) -> int:
    """A step after the long turns at the beginning, counted as if the first period, too, had only one long
    turn, which is at a period's beginning."""
    n_critic, long = experiment.n_critic, experiment.n_critic_long
    return step - FIRST_LONG * long + long + (FIRST_LONG - 1) * n_critic


def _period(experiment: Experiment) -> int:
    return experiment.n_critic_long + (LONG_EVERY - 1) * experiment.n_critic
