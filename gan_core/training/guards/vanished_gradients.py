"""The gradient that G gets has become next to nothing."""

from gan_core.training.guards.base import RECENT_ROWS, Finding, Records, advice, guard

# The recent gradient norm against that of the run's first rows.
VANISHED = 1e-3


@guard("vanished_gradients", position=20, rows=2 * RECENT_ROWS)
def vanished_gradients(records: Records) -> Finding | None:
    experiment = records.experiment
    ratio, first, recent = records.gradient_ratio("g_gradient_norm")
    if ratio is None or ratio > VANISHED:
        return None
    return Finding(
        "vanished_gradients",
        f"the gradient that G gets is {recent:.2g}, {ratio:.2g} of the {first:.2g} at the beginning",
        ratio,
        records.history[-1]["images_seen"],
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
