"""The gradient of D or of G has become many times what it was."""

from gan_core.training.guards.base import RECENT_ROWS, Finding, Records, advice, guard

# The recent gradient norm against that of the run's first rows; what began very small has not exploded yet.
EXPLODED = 1e3
LARGE_NORM = 100.0


@guard("exploded_gradients", position=30, rows=2 * RECENT_ROWS)
def exploded_gradients(records: Records) -> Finding | None:
    experiment = records.experiment
    for network, name in (("D", "d_gradient_norm"), ("G", "g_gradient_norm")):
        ratio, first, recent = records.gradient_ratio(name)
        if ratio is not None and ratio >= EXPLODED and recent >= LARGE_NORM:
            text = f"the gradient of {network} is {recent:.2g}, {ratio:,.0f} times what it was ({first:.2g})"
            return Finding(
                "exploded_gradients",
                text,
                ratio,
                records.history[-1]["images_seen"],
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
