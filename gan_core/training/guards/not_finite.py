"""NaN or infinity, which always ends a run: found by the engine at the value itself, in no record."""

from gan_core.config import Experiment
from gan_core.training.guards.base import Finding, advice


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
