"""The second half of a run brought nothing."""

from gan_core.evaluation.judging.verdicts import FAR_SHARE
from gan_core.training.guards.base import Finding, Records, advice, guard

# The second half of a run's evaluations has to lower the FID by this share.
STAGNATION_EVALUATIONS = 6
WORTHWHILE = 0.02


@guard("stagnation", position=80, evaluations=STAGNATION_EVALUATIONS)
def stagnation(records: Records) -> Finding | None:
    """A reason to stop any run; but at its end no fault of one that has come near to the images and stays
    there: that is what a run is for. Where the untrained FID is not known, nothing is near."""
    experiment, scored = records.experiment, records.scored
    if len(scored) < STAGNATION_EVALUATIONS:
        return None
    best, untrained = min(row["fid"] for row in scored), scored[-1].get("fid_untrained")
    near = bool(untrained) and best < FAR_SHARE * untrained
    if near and records.ended:
        return None
    middle = len(scored) // 2
    before, after = (min(rows, key=lambda row: row["fid"]) for rows in (scored[:middle], scored[middle:]))
    gain = 1 - after["fid"] / before["fid"] if before["fid"] else 0.0
    if gain >= WORTHWHILE:
        return None
    nearness = ""
    if near:
        nearness = f"; at {best / untrained:.0%} of the untrained generator's it has come near to the images"
    return Finding(
        "stagnation",
        f"the best in-training FID is {before['fid']:.3g} in the first half of the run (at "
        f"{before['images_seen']:,} images), {after['fid']:.3g} in the second (at {after['images_seen']:,})"
        + nearness,
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
