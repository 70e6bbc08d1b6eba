"""What G draws is still nothing like the images."""

from gan_core.evaluation.judging.verdicts import FAR_FROM_REAL, FAR_SHARE
from gan_core.training.guards.base import NO_LONGER_FALLING, Finding, Records, advice, guard


@guard("far_from_real", position=50, evaluations=NO_LONGER_FALLING)
def far_from_real(records: Records) -> Finding | None:
    """By the last in-training FID over that of the untrained generator, which trainings of before 27 November
    2026 did not measure. A run that goes on is judged only where its FID no longer falls."""
    experiment, scored = records.experiment, records.scored
    untrained = scored[-1].get("fid_untrained") if scored else None
    if not untrained or records.may_recover:
        return None
    fid, seen = scored[-1]["fid"], scored[-1]["images_seen"]
    figure = fid / untrained
    if figure < FAR_SHARE:
        return None
    return Finding(
        FAR_FROM_REAL,
        f"nothing like the images was learned yet: the in-training FID is {fid:.3g} at {seen:,} images, "
        f"{figure:.0%} of the {untrained:.3g} that the untrained generator has, and of a generator that has "
        f"learned it is below {FAR_SHARE:.0%}; {records.trend}",
        figure,
        seen,
        advice(
            (records.fid_falls is not False, "a longer length"),
            (
                records.fid_falls is not True,
                "other learning rates in optimizers (2.0e-4 with betas [0.5, 0.999] is DCGAN's)",
            ),
            (experiment.architecture.name in ("mlp", "dense_dcgan"), "architecture.name: dcgan"),
            (experiment.architecture.generator_norm == "none", "architecture.generator_norm: batch"),
            (experiment.objective.instance_noise > 1, "a lower objective.instance_noise"),
            (experiment.objective.weight_clip > 0.1, "objective.weight_clip: 0.01"),
        ),
    )
