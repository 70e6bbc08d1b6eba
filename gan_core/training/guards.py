"""What goes wrong with a training, found in its records and said in plain words.

A guard is a function of the records alone, so that a run that was resumed gets the verdicts of one that was
not. Its thresholds stand beside it. A new guard is a function in `GUARDS` and its name in
`gan_core.config.experiments.Verdict`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING

from gan_core.config import Experiment
from gan_core.evaluation.judging.verdicts import RECENT_STEPS, in_words, listed
from gan_core.objectives import OBJECTIVES, PENALTIES

if TYPE_CHECKING:
    from gan_core.training.records.history import Row

# The share of a run in which nothing is judged: an untrained generator looks like a collapsed one.
GRACE = 0.1
# A verdict stands on so many rows of the history or on `RECENT_STEPS` steps of D, whichever are more.
RECENT_ROWS = 5


@dataclass(frozen=True)
class Finding:
    """One verdict: its name, what was seen in plain words, the figure behind it, what usually helps.

    `keys` are configuration keys with what to do to them.
    """

    verdict: str
    text: str
    figure: float
    images_seen: int
    keys: tuple[str, ...]

    def record(self) -> dict:
        """For a manifest's details."""
        return {**asdict(self), "keys": list(self.keys)}

    def sentence(self) -> str:
        """Everything in one line."""
        return f"{in_words(self.verdict)}: {self.text}. What usually helps: {'; '.join(self.keys)}"


def run_guards(experiment: Experiment, history: list[Row], evaluations: list[Row]) -> list[Finding]:
    """What the records say is wrong at their end; empty where nothing is."""
    found = (guard(experiment, history, evaluations) for guard in GUARDS)
    return [finding for finding in found if finding]


def verdict_names(findings: list[Finding], stopped_by: Finding | None = None) -> str:
    """`healthy`, or the verdicts in words: `mode collapse (stopped), stagnation`."""
    return listed([finding.verdict for finding in findings], stopped_by and stopped_by.verdict)


def not_finite_finding(experiment: Experiment, names: list[str], kind: str, images_seen: int) -> Finding:
    """NaN or infinity in the losses or weights of these names."""
    listed = ", ".join(f"`{name}`" for name in names)
    return Finding(
        "not_finite",
        f"{kind} {listed} became NaN or infinite by {images_seen:,} images seen",
        float(images_seen),
        images_seen,
        advice(
            (True, "lower optimizers.discriminator.learning_rate and optimizers.generator.learning_rate"),
            (experiment.optimizers.discriminator.name == "adam", "optimizers.*.betas: [0.0, 0.9]"),
            (not experiment.objective.penalties, "an objective.gradient_penalty or objective.r1"),
            (experiment.precision != "fp32", "precision: fp32"),
        ),
    )


def advice(*choices: tuple[bool, str]) -> tuple[str, ...]:
    """What usually helps, without what the experiment has already or cannot have."""
    return tuple(text for applies, text in choices if applies)


# D is right on so large a share of both kinds of images, in the mean of the recent rows.
WINNING_ACCURACY = 0.99


def discriminator_wins(experiment: Experiment, history: list[Row], evaluations: list[Row]) -> Finding | None:
    """Not for critics that must be bounded: theirs is to tell both apart as well as they can."""
    rows = _recent(history)
    if OBJECTIVES[experiment.objective.name].needs_bound or not rows:
        return None
    of_real, of_fake = (fmean(row[f"d_{kind}_accuracy"] for row in rows) for kind in ("real", "fake"))
    figure = min(of_real, of_fake)
    if figure < WINNING_ACCURACY:
        return None
    return Finding(
        "discriminator_wins",
        f"over the last {_steps(history, rows):,} steps D was right on {of_real:.1%} of the real and on "
        f"{of_fake:.1%} of the generated images, which leaves G little to learn from",
        figure,
        history[-1]["images_seen"],
        advice(
            (True, "lower optimizers.discriminator.learning_rate"),
            (not experiment.architecture.spectral_norm, "architecture.spectral_norm: true"),
            (_smoothable(experiment), "objective.label_smoothing: 0.1"),
            (not experiment.objective.instance_noise, "objective.instance_noise: 0.1"),
            (
                not experiment.objective.differentiable_augmentation,
                "objective.differentiable_augmentation: [color, translation, cutout], where images are few",
            ),
            (experiment.n_critic > 1, "n_critic: 1"),
        ),
    )


# The recent gradient norm against that of the run's first rows; what began very small has not exploded yet.
VANISHED, EXPLODED = 1e-3, 1e3
LARGE_NORM = 100.0


def vanished_gradients(experiment: Experiment, history: list[Row], evaluations: list[Row]) -> Finding | None:
    ratio, first, recent = _gradient_ratio(history, "g_gradient_norm")
    if ratio is None or ratio > VANISHED:
        return None
    return Finding(
        "vanished_gradients",
        f"the gradient that G gets is {recent:.2g}, {ratio:.2g} of the {first:.2g} at the beginning",
        ratio,
        history[-1]["images_seen"],
        advice(
            (experiment.objective.name == "minimax", "objective.name: non_saturating"),
            (
                "gradient_penalty" not in experiment.objective.penalties,
                "objective: {name: wasserstein, gradient_penalty: 10}",
            ),
            (True, "lower optimizers.discriminator.learning_rate"),
            (experiment.objective.weight_clip > 0, "a larger objective.weight_clip"),
        ),
    )


def exploded_gradients(experiment: Experiment, history: list[Row], evaluations: list[Row]) -> Finding | None:
    for network, name in (("D", "d_gradient_norm"), ("G", "g_gradient_norm")):
        ratio, first, recent = _gradient_ratio(history, name)
        if ratio is not None and ratio >= EXPLODED and recent >= LARGE_NORM:
            text = f"the gradient of {network} is {recent:.2g}, {ratio:,.0f} times what it was ({first:.2g})"
            return Finding(
                "exploded_gradients",
                text,
                ratio,
                history[-1]["images_seen"],
                advice(
                    (True, "lower learning rates in optimizers"),
                    (not experiment.architecture.spectral_norm, "architecture.spectral_norm: true"),
                    (
                        not experiment.objective.penalties,
                        "an objective.gradient_penalty or objective.r1",
                    ),
                ),
            )
    return None


# Samples this much closer to each other than real images are repeat themselves; an untrained G does so too,
# so it takes two evaluations.
COLLAPSED_DIVERSITY = 0.3
COLLAPSED_EVALUATIONS = 2


def mode_collapse(experiment: Experiment, history: list[Row], evaluations: list[Row]) -> Finding | None:
    recent = [row["diversity"] for row in evaluations[-COLLAPSED_EVALUATIONS:]]
    if len(recent) < COLLAPSED_EVALUATIONS or max(recent) >= COLLAPSED_DIVERSITY:
        return None
    figure = recent[-1]
    return Finding(
        "mode_collapse",
        f"the samples are {figure:.0%} as far from their nearest neighbour as real images are: G draws few "
        "different images",
        figure,
        evaluations[-1]["images_seen"],
        advice(
            (
                "gradient_penalty" not in experiment.objective.penalties,
                "objective: {name: wasserstein, gradient_penalty: 10} with n_critic: 5",
            ),
            (_may_mix(experiment), "architecture.minibatch_discrimination: 100"),
            (True, "a lower optimizers.generator.learning_rate"),
            (not experiment.objective.instance_noise, "objective.instance_noise: 0.1"),
        ),
    )


# The second half of a run's evaluations has to lower the FID by this share.
STAGNATION_EVALUATIONS = 6
WORTHWHILE = 0.02


def stagnation(experiment: Experiment, history: list[Row], evaluations: list[Row]) -> Finding | None:
    scored = [row for row in evaluations if "fid" in row]
    if len(scored) < STAGNATION_EVALUATIONS:
        return None
    middle = len(scored) // 2
    before, after = (min(rows, key=lambda row: row["fid"]) for rows in (scored[:middle], scored[middle:]))
    gain = 1 - after["fid"] / before["fid"] if before["fid"] else 0.0
    if gain >= WORTHWHILE:
        return None
    return Finding(
        "stagnation",
        f"the best in-training FID is {before['fid']:.3g} in the first half of the run (at "
        f"{before['images_seen']:,} images), {after['fid']:.3g} in the second (at {after['images_seen']:,})",
        gain,
        scored[-1]["images_seen"],
        advice(
            (
                experiment.learning_rate_decay == "none" and not experiment.schedules.learning_rate,
                "learning_rate_decay: linear",
            ),
            (experiment.averaging_decay is None, "ema_decay: 0.999"),
            (experiment.publish == "last", "publish: best"),
            (True, "a larger architecture.width, or a shorter length"),
        ),
    )


GUARDS = (discriminator_wins, vanished_gradients, exploded_gradients, mode_collapse, stagnation)


def _recent(history: list[Row]) -> list[Row]:
    """The last rows; none where there are too few for a verdict."""
    for start in range(len(history) - RECENT_ROWS, -1, -1):
        if _steps(history, history[start:]) >= RECENT_STEPS:
            return history[start:]
    return []


def _steps(history: list[Row], last: list[Row]) -> int:
    """How many steps these last rows of the history are of."""
    before = history[-len(last) - 1]["step"] if len(history) > len(last) else 0
    return history[-1]["step"] - before


def _gradient_ratio(history: list[Row], name: str) -> tuple[float | None, float, float]:
    """The recent median over that of the first rows, and both; None where there are too few rows."""
    rows = _recent(history)
    if not rows or len(history) < 2 * len(rows):
        return None, 0.0, 0.0
    first, recent = (median(row.get(name, 0.0) for row in part) for part in (history[: len(rows)], rows))
    if not recent:
        return 0.0, first, recent
    return (recent / first if first else None), first, recent


def _smoothable(experiment: Experiment) -> bool:
    smoothable = OBJECTIVES[experiment.objective.name].smoothable
    return smoothable and not experiment.objective.label_smoothing


def _may_mix(experiment: Experiment) -> bool:
    """Whether D may look at a batch as a whole, and does not yet."""
    forbidden = any(PENALTIES[name].forbids_minibatch for name in experiment.objective.penalties)
    return not (experiment.architecture.minibatch_layers or forbidden)
