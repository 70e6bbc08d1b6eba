"""The second half of a run brought nothing."""

from gan_core.training.guards.base import Finding, Records, advice, guard

# The second half of a run's evaluations has to lower the FID by this share.
STAGNATION_EVALUATIONS = 6
WORTHWHILE = 0.02


@guard("stagnation", position=80)
def stagnation(records: Records) -> Finding | None:
    experiment, scored = records.experiment, records.scored
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
