"""D tells real from generated images so well that G learns nothing more from it."""

from statistics import fmean

from gan_core.objectives import OBJECTIVES
from gan_core.training.guards.base import Finding, Records, advice, guard, smoothable

# D is right on so large a share of both kinds of images, in the mean of the recent rows.
WINNING_ACCURACY = 0.99


@guard("discriminator_wins", position=10)
def discriminator_wins(records: Records) -> Finding | None:
    """Not while the FID falls or may fall: such a D still teaches. Nor for critics that must be bounded:
    theirs is to tell both apart as well as they can."""
    experiment, rows = records.experiment, records.recent()
    if OBJECTIVES[experiment.objective.name].needs_bound or not rows:
        return None
    if records.fid_falls or records.may_recover:
        return None
    of_real, of_fake = (fmean(row[f"d_{kind}_accuracy"] for row in rows) for kind in ("real", "fake"))
    figure = min(of_real, of_fake)
    if figure < WINNING_ACCURACY:
        return None
    without = "" if records.fid_falls is None else ", and the in-training FID no longer falls"
    return Finding(
        "discriminator_wins",
        f"over the last {records.steps_of(rows):,} steps D was right on {of_real:.1%} of the real and on "
        f"{of_fake:.1%} of the generated images, which leaves G little to learn from{without}",
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
