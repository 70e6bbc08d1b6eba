"""The run ends well above its best."""

from gan_core.training.guards.base import Finding, Records, advice, guard

# The last in-training FID over the best.
WORSE = 1.3
# A run that goes on may swing: it is judged by so many evaluations in a row.
WORSE_EVALUATIONS = 2


@guard("got_worse", position=70, evaluations=WORSE_EVALUATIONS + 1)
def got_worse(records: Records) -> Finding | None:
    experiment, scored = records.experiment, records.scored
    last = scored[-1:] if records.ended else scored[-WORSE_EVALUATIONS:]
    if len(scored) <= len(last) or not last:
        return None
    if records.ended and experiment.publish == "best":  # then the last weights are nobody's
        return None
    best = min(scored, key=lambda row: row["fid"])
    if not best["fid"] or min(row["fid"] for row in last) <= WORSE * best["fid"]:
        return None
    figure = last[-1]["fid"] / best["fid"]
    return Finding(
        "got_worse",
        f"the in-training FID was {best['fid']:.3g} at {best['images_seen']:,} images and is "
        f"{last[-1]['fid']:.3g} at {last[-1]['images_seen']:,}, {figure:.2f} times as much; {records.trend}",
        figure,
        last[-1]["images_seen"],
        advice(
            (experiment.publish == "last", "publish: best"),
            (
                experiment.learning_rate_decay == "none" and not experiment.schedules.learning_rate,
                "learning_rate_decay: linear",
            ),
            (experiment.averaging_decay is None, "ema_decay: 0.999"),
            (True, "lower learning rates in optimizers"),
            (not experiment.objective.penalties, "an objective.gradient_penalty or objective.r1"),
        ),
    )
