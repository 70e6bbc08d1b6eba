"""The job `measure_store`: how much of the store each asset takes, shown on its page."""

import dagster as dg
from tabulate import tabulate

from gan_core.evaluation.figures import escape_markdown
from gan_core.housekeeping.contents import scan
from gan_core.housekeeping.usage import Usage, summed, usages
from gan_core.progress import format_bytes
from gan_core.store import Store

SHOWN = 30


@dg.op
def measure(context: dg.OpExecutionContext, store: dg.ResourceParam[Store]) -> None:
    """Show of each asset what it takes, as an observation: the UI draws the numbers over time."""
    found: dict[str, list[Usage]] = {}
    for usage in usages(scan(store)):
        found.setdefault(usage.asset, []).append(usage)
    for asset, partitions in found.items():
        context.log_event(dg.AssetObservation(asset, metadata=disk_use(partitions)))
    total = summed(usage for partitions in found.values() for usage in partitions).total
    context.log.info(f"{len(found):,} assets take {format_bytes(total)}")


def disk_use(partitions: list[Usage]) -> dict[str, dg.MetadataValue | int]:
    """What one asset takes, in bytes, and its largest partitions."""
    total = summed(partitions)
    largest = sorted(partitions, key=lambda one: one.total, reverse=True)[:SHOWN]
    rows = [(escape_markdown(one.partition or "beside them"), format_bytes(one.total)) for one in largest]
    return {
        "disk_bytes": total.total,
        "disk_bytes_current": total.current,
        "disk_bytes_older": total.older,
        "disk_bytes_of_attempts": total.attempts,
        "partitions_on_disk": len({one.partition for one in partitions} - {""}),
        "largest": dg.MetadataValue.md(tabulate(rows, headers=("partition", "bytes"), tablefmt="pipe")),
    }


@dg.job(
    name="measure_store",
    description="Measures how much of the store each asset takes, and shows it among the events of each.",
)
def measure_store():
    measure()
