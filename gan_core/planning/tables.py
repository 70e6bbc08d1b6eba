"""States and plans as tables for a terminal, and the sentence that sums a plan up."""

from rich.console import RenderableType
from rich.table import Table
from tabulate import tabulate

from gan_core.evaluation.figures import escape_markdown
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


HEADINGS = ("", "state", "to do", "time", "memory")


def plan_parts(plan: Plan) -> list[RenderableType]:
    """A table with a row for each dataset that is not ready and for each experiment; what its numbered notes
    say; the sentence that sums it up."""
    notes = Notes()
    table = text_table(*HEADINGS)
    for row in plan_rows(plan, notes):
        table.add_row(*row)
    return [table, "", *([*notes.lines, ""] if notes.lines else []), total_text(plan)]


def plan_markdown(plan: Plan) -> str:
    """The same as Markdown."""
    notes = Notes()
    rows = [[escape_markdown(cell) for cell in row] for row in plan_rows(plan, notes)]
    table = tabulate(rows, headers=HEADINGS, tablefmt="pipe")
    return "\n\n".join([table, *map(escape_markdown, [*notes.lines, total_text(plan)])])


def plan_rows(plan: Plan, notes: "Notes") -> list[tuple[str, str, str, str, str]]:
    """The cells under `HEADINGS`."""
    datasets = [
        (f"dataset {dataset.name}", "", to_do(dataset), time_of(dataset, notes), "")
        for dataset in plan.datasets
        if dataset.made
    ]
    experiments = [
        (
            one.name,
            notes.marked(one.state.in_short, "; ".join(one.state.why)),
            to_do(one),
            time_of(one, notes),
            memory_of(one, notes),
        )
        for one in plan.experiments
    ]
    return datasets + experiments


class Notes:
    """What is said of cells below a table, each note once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def marked(self, text: str, note: str) -> str:
        """The text of a cell with the number of its note; without one where the note is empty."""
        return f"{text} [{self._numbers.setdefault(note, len(self._numbers) + 1)}]" if note else text

    @property
    def lines(self) -> list[str]:
        return [f"[{number}] {note}" for note, number in self._numbers.items()]


def to_do(planned: PlannedDataset | PlannedExperiment) -> str:
    """`resume, sample, evaluate`, `prepare` of a dataset of which there is nothing, or `nothing`."""
    if isinstance(planned, PlannedDataset) and len(planned.made) == len(planned.steps):
        return "prepare"
    words = ["resume" if step.action == "resume" else VERBS[step.asset] for step in planned.made]
    return ", ".join(words) or NOTHING


def time_of(planned: PlannedDataset | PlannedExperiment, notes: Notes) -> str:
    """`4 min`, `at least 9 s [1]`, `unknown`; empty where nothing is to do. The notes say which other
    experiments the time is known from, and of which steps it is not."""
    if not planned.made:
        return ""
    if len(planned.unknown) == len(planned.made):
        return UNKNOWN
    said = [_as_of(planned.recorded_of)] if planned.recorded_of else []
    text = about(planned.seconds)
    if planned.unknown:
        text = f"at least {text}"
        said.append(f"how long it takes to {', '.join(VERBS[name] for name in planned.unknown)} is {UNKNOWN}")
    return notes.marked(text, "; ".join(said))


def memory_of(planned: PlannedExperiment, notes: Notes) -> str:
    """`1.2 GB`, on a GPU `1.2 GB, 3.4 GB of the GPU`; empty where nothing is trained. A note says which other
    experiments it was recorded of."""
    if planned.training.action == "reuse":
        return ""
    words = {"host": "", "gpu": " of the GPU"}
    known = {kind: planned.memory[kind] for kind in words if kind in planned.memory}
    text = ", ".join(f"{format_bytes(one.value)}{words[kind]}" for kind, one in known.items())
    of = tuple(dict.fromkeys(one.of for one in known.values() if one.of))
    return notes.marked(text or UNKNOWN, _as_of(of) if of else "")


def _as_of(names: tuple[str, ...]) -> str:
    return f"as recorded of {', '.join(names)}"


def total_text(plan: Plan) -> str:
    """`2 to train, 1 to resume, 6 to reuse; about 40 min on this machine, on cpu (2 threads) as the newest
    training here; at most 1.2 GB of memory`."""
    counts = [(plan.count("make"), "train"), (plan.count("resume"), "resume"), (plan.count("reuse"), "reuse")]
    parts = [", ".join(f"{count:,} to {verb}" for count, verb in counts if count) or "nothing to train"]
    if any(item.made for item in (*plan.datasets, *plan.experiments)):
        parts.append(_total_time(plan))
    return "; ".join([*parts, *_total_memory(plan)])


def _total_time(plan: Plan) -> str:
    trained = plan.device and any(item.training.seconds for item in plan.trained)
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


def _few(names: tuple[str, ...], most: int = 2) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")
