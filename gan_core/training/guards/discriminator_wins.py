"""D tells real from generated images so well that G learns nothing more from it."""

from statistics import NormalDist, fmean

from gan_core.config import Experiment
from gan_core.objectives import OBJECTIVES
from gan_core.training.guards.base import RECENT_ROWS, Finding, Records, advice, guard, smoothable

# D is right on so large a share of both kinds of images, in the mean of the recent rows.
WINNING_ACCURACY = 0.99
# And ranks the real image above the generated one in so large a share of pairs: what that accuracy comes to
# where both kinds' scores are normal and spread alike (Green and Swets 1966: the area under the curve is
# Phi(d'/sqrt 2), with d' = 2 z of the accuracy).
WINNING_PAIRS = NormalDist().cdf(2**0.5 * NormalDist().inv_cdf(WINNING_ACCURACY))  # 0.9995


def _is_a_critic(experiment: Experiment, labelled: bool) -> str | None:
    if not OBJECTIVES[experiment.objective.name].needs_bound:
        return None
    name = experiment.objective.name
    return f"a critic of objective `{name}` is not judged by how often it is right: remove it"


@guard("discriminator_wins", position=10, rows=RECENT_ROWS, silent=_is_a_critic)
def discriminator_wins(records: Records) -> Finding | None:
    """Not while the FID falls or may fall: such a D still teaches. Nor for critics that must be bounded:
    theirs is to tell both apart as well as they can. Where the loss compares pairs, a score means nothing by
    itself, and it is counted in how many pairs the real image has the higher one."""
    experiment, rows = records.experiment, records.recent()
    objective = OBJECTIVES[experiment.objective.name]
    if objective.needs_bound or not rows:
        return None
    if records.fid_falls or records.may_recover:
        return None
    of_real, of_fake = (fmean(row[f"d_{kind}_accuracy"] for row in rows) for kind in ("real", "fake"))
    figure = min(of_real, of_fake)
    if figure < (WINNING_PAIRS if objective.compares_pairs else WINNING_ACCURACY):
        return None
    right = (
        f"D ranked the real image above the generated one in {figure:.2%} of the pairs"
        if objective.compares_pairs
        else f"D was right on {of_real:.1%} of the real and on {of_fake:.1%} of the generated images"
    )
    without = "" if records.fid_falls is None else ", and the in-training FID no longer falls"
    return Finding(
        "discriminator_wins",
        f"over the last {records.steps_of(rows):,} steps {right}, which leaves G little to learn "
        f"from{without}",
        figure,
        records.history[-1]["images_seen"],
        advice(
            (True, "lower optimizers.discriminator.learning_rate"),
            (not experiment.architecture.spectral_norm, "architecture.spectral_norm: true"),
            (smoothable(experiment), "objective.label_smoothing: 0.1"),
            (not experiment.objective.instance_noise, "objective.instance_noise: 0.1"),
            (
                not experiment.objective.differentiable_augmentation,
                "objective.differentiable_augmentation: [color, translation, cutout], where images are few",
            ),
            (experiment.n_critic > 1, "n_critic: 1"),
        ),
    )
