"""States and plans as tables for a terminal, and the sentence that sums a plan up."""

from rich.table import Table

from gan_core.planning.plan import Plan, PlannedDataset, PlannedExperiment
from gan_core.progress import about, format_bytes

UNKNOWN = "unknown"
VERBS = {
    "raw_images": "collect",
    "duplicates": "find duplicates",
    "image_shards": "shard",
    "classifier": "train the classifier",
    "reference_statistics": "measure the real images",
    "trained_gan": "train",
    "samples": "sample",
    "evaluation": "evaluate",
    "analysis": "analyse",
}
NOTHING = "nothing"


def text_table(*headings: str) -> Table:
    """A table without a frame; numbers are for the caller to right-align."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def plan_table(plan: Plan) -> Table:
    """A row for each dataset that is not ready, and for each experiment."""
    table = text_table("", "state", "to do", "time", "memory")
    for dataset in plan.datasets:
        if dataset.made:
            table.add_row(f"dataset {dataset.name}", "", to_do(dataset), time_of(dataset), "")
    for one in plan.experiments:
        table.add_row(one.name, one.state.in_words, to_do(one), time_of(one), memory_of(one))
    return table


def to_do(planned: PlannedDataset | PlannedExperiment) -> str:
    """`resume, sample, evaluate`, or `nothing`."""
    words = ["resume" if step.action == "resume" else VERBS[step.asset] for step in planned.made]
    return ", ".join(words) or NOTHING


def time_of(planned: PlannedDataset | PlannedExperiment) -> str:
    """`4 min (as demo-dcgan)`, `at least 4 min: samples unknown`, `unknown`; empty where nothing is to do."""
    if not planned.made:
        return ""
    if len(planned.unknown) == len(planned.made) or "trained_gan" in planned.unknown:
        return UNKNOWN  # what follows a training says nothing of it
    text = about(planned.seconds)
    if planned.unknown:
        text = f"at least {text}: {', '.join(VERBS[name] for name in planned.unknown)} {UNKNOWN}"
    return f"{text} (as {', '.join(planned.recorded_of)})" if planned.recorded_of else text


def memory_of(planned: PlannedExperiment) -> str:
    """`1.2 GB`, on a GPU `1.2 GB, 3.4 GB of the GPU`; empty where nothing is trained."""
    if planned.training.action == "reuse":
        return ""
    words = {"host": "", "gpu": " of the GPU"}
    known = {kind: planned.memory[kind] for kind in words if kind in planned.memory}
    text = ", ".join(f"{format_bytes(one.value)}{words[kind]}" for kind, one in known.items())
    of = list(dict.fromkeys(one.of for one in known.values() if one.of))
    return f"{text} (as {', '.join(of)})" if of else text or UNKNOWN


def total_text(plan: Plan) -> str:
    """`2 to train, 1 to resume, 6 to reuse; about 40 min on this machine, on cpu (2 threads) as the newest
    training here; at most 1.2 GB of memory`."""
    counts = [(plan.count("make"), "train"), (plan.count("resume"), "resume"), (plan.count("reuse"), "reuse")]
    parts = [", ".join(f"{count:,} to {verb}" for count, verb in counts if count) or "nothing to train"]
    if any(item.made for item in (*plan.datasets, *plan.experiments)):
        parts.append(_total_time(plan))
    return "; ".join([*parts, *_total_memory(plan)])


def _total_time(plan: Plan) -> str:
    trained = any(item.training.seconds for item in plan.trained)
    device = f", on {plan.device} as the newest training here" if trained else ""
    if not plan.unknown:
        return f"about {about(plan.seconds)} on this machine{device}"
    unknown = f"nothing like it was recorded here of {_few(plan.unknown)}"
    if not plan.tells_time or round(plan.seconds) == 0:
        return f"time unknown: {unknown}"
    return f"at least {about(plan.seconds)} on this machine{device}: {unknown}"


def _total_memory(plan: Plan) -> list[str]:
    """The most of what is known is no bound where something is not."""
    most = {"memory": plan.memory("host"), "memory of the GPU": plan.memory("gpu")}
    unknown = len(plan.memory_unknown)
    if unknown and not any(most.values()):
        return ["memory unknown"]
    bound, of = ("at least", f": unknown of {unknown:,}") if unknown else ("at most", "")
    return [f"{bound} {format_bytes(known)} of {what}{of}" for what, known in most.items() if known]


def _few(names: tuple[str, ...], most: int = 3) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")
