"""What goes wrong with a training, found in its records and said in plain words.

A guard is a function of the records alone, so that a run that was resumed gets the verdicts of one that was
not. Its thresholds stand beside it. A new guard is a function in `GUARDS` and its name in
`gan_core.config.experiments.Verdict`.
"""

from dataclasses import asdict, dataclass
from statistics import median

from gan_core.config import Experiment
from gan_core.training.history import Row

RECENT_ROWS = 5  # rows of the history (100 steps each by default) that a verdict stands on
HEALTHY = "healthy"


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
        name = self.verdict.replace("_", " ")
        return f"{name}: {self.text}. What usually helps: {'; '.join(self.keys)}"


def judge(experiment: Experiment, history: list[Row], evaluations: list[Row]) -> list[Finding]:
    """What the records say is wrong at their end; empty where nothing is."""
    found = (guard(experiment, history, evaluations) for guard in GUARDS)
    return [finding for finding in found if finding]


def verdict_names(findings: list[Finding], stopped_by: Finding | None = None) -> str:
    """`healthy`, or the verdicts in words: `mode collapse (stopped), stagnation`."""
    stopping = stopped_by.verdict if stopped_by else None
    names = [
        finding.verdict.replace("_", " ") + (" (stopped)" if finding.verdict == stopping else "")
        for finding in findings
    ]
    return ", ".join(names) or HEALTHY


def not_finite_finding(names: list[str], kind: str, images_seen: int) -> Finding:
    """NaN or infinity in the losses or weights of these names."""
    listed = ", ".join(f"`{name}`" for name in names)
    return Finding(
        "not_finite",
        f"{kind} {listed} became NaN or infinite by {images_seen:,} images seen",
        float(images_seen),
        images_seen,
        (
            "lower optimizers.discriminator.learning_rate and optimizers.generator.learning_rate",
            "optimizers.*.betas: [0.0, 0.9]",
            "an objective.gradient_penalty",
            "precision: fp32",
        ),
    )


# D is right on so large a share of both kinds of images, in the mean of the recent rows.
WINNING_ACCURACY = 0.99


def discriminator_wins(experiment: Experiment, history: list[Row], evaluations: list[Row]) -> Finding | None:
    """Not for Wasserstein critics: theirs is to tell both apart as well as they can."""
    if experiment.objective.name == "wasserstein" or len(history) < RECENT_ROWS:
        return None
    of_real, of_fake = (_recent_mean(history, f"d_{kind}_accuracy") for kind in ("real", "fake"))
    figure = min(of_real, of_fake)
    if figure < WINNING_ACCURACY:
        return None
    return Finding(
        "discriminator_wins",
        f"over the last {_recent_steps(history):,} steps D was right on {of_real:.1%} of the real and on "
        f"{of_fake:.1%} of the generated images, which leaves G little to learn from",
        figure,
        history[-1]["images_seen"],
        (
            "lower optimizers.discriminator.learning_rate",
            "architecture.spectral_norm: true",
            "objective.label_smoothing: 0.1",
            "objective.instance_noise: 0.1",
            "objective.differentiable_augmentation: [color, translation, cutout], where images are few",
            "n_critic: 1",
        ),
    )


# The recent gradient norm against that of the run's first rows.
VANISHED, EXPLODED = 1e-3, 1e3


def vanished_gradients(experiment: Experiment, history: list[Row], evaluations: list[Row]) -> Finding | None:
    ratio, first, recent = _gradient_ratio(history, "g_gradient_norm")
    if ratio is None or ratio > VANISHED:
        return None
    return Finding(
        "vanished_gradients",
        f"the gradient that G gets is {recent:.2g}, {ratio:.2g} of the {first:.2g} at the beginning",
        ratio,
        history[-1]["images_seen"],
        (
            "objective.name: non_saturating in place of minimax, or wasserstein with a gradient_penalty",
            "lower optimizers.discriminator.learning_rate",
            "a larger objective.weight_clip, where weights are clipped",
        ),
    )


def exploded_gradients(experiment: Experiment, history: list[Row], evaluations: list[Row]) -> Finding | None:
    for network, name in (("D", "d_gradient_norm"), ("G", "g_gradient_norm")):
        ratio, first, recent = _gradient_ratio(history, name)
        if ratio is not None and ratio >= EXPLODED:
            text = f"the gradient of {network} is {recent:.2g}, {ratio:,.0f} times what it was ({first:.2g})"
            return Finding(
                "exploded_gradients",
                text,
                ratio,
                history[-1]["images_seen"],
                (
                    "lower learning rates in optimizers",
                    "architecture.spectral_norm: true",
                    "an objective.gradient_penalty or objective.r1",
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
        (
            "objective: {name: wasserstein, gradient_penalty: 10} with n_critic: 5",
            "architecture.minibatch_discrimination: 100 or architecture.minibatch_stddev: true",
            "a lower optimizers.generator.learning_rate",
            "objective.instance_noise: 0.1",
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
        (
            "learning_rate_decay: linear",
            "ema_decay: 0.999",
            "publish: best",
            "a larger architecture.width, or a shorter length",
        ),
    )


GUARDS = (discriminator_wins, vanished_gradients, exploded_gradients, mode_collapse, stagnation)


def _recent_mean(history: list[Row], name: str) -> float:
    return sum(row[name] for row in history[-RECENT_ROWS:]) / RECENT_ROWS


def _recent_steps(history: list[Row]) -> int:
    before = history[-RECENT_ROWS - 1]["step"] if len(history) > RECENT_ROWS else 0
    return history[-1]["step"] - before


def _gradient_ratio(history: list[Row], name: str) -> tuple[float | None, float, float]:
    """The recent median over that of the first rows, and both; None where there are too few rows."""
    norms = [row[name] for row in history if name in row]
    if len(norms) < 2 * RECENT_ROWS:
        return None, 0.0, 0.0
    first, recent = median(norms[:RECENT_ROWS]), median(norms[-RECENT_ROWS:])
    if not recent:
        return 0.0, first, recent
    return (recent / first if first else None), first, recent
