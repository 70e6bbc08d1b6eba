"""The leaderboard as tables of text: Markdown for Dagster's UI, aligned columns for a terminal."""

from collections.abc import Callable, Iterable, Iterator

import pandas
from tabulate import tabulate

from gan_core.evaluation.figures import FIGURES, escape_markdown, is_missing, write_figure
from gan_core.evaluation.metrics import METRICS, interval_names
from gan_core.leaderboard.folding import RANKED_BY, TESTED_BY

# Text has no room for every interval: those of what rows are ranked by.
TESTED = (RANKED_BY, TESTED_BY)
NO_ROWS = "No experiment is evaluated yet: evaluate at least one."
WORDS = ["experiment", "objective", "conditioning", "verdict"]


def leaderboard_groups(frame: pandas.DataFrame) -> Iterator[tuple[str, str, pandas.DataFrame]]:
    """The rows that may be compared with each other: (dataset, protocol, rows), in the frame's order."""
    for (dataset, protocol), rows in frame.groupby(["dataset", "protocol"], sort=True):
        yield dataset, protocol, rows


def tables_with(frame: pandas.DataFrame, experiments: Iterable[str]) -> pandas.DataFrame:
    """The rows of the tables, each of a dataset and protocol, in which one of these experiments is."""
    wanted = set(experiments)
    has_one = frame["members"].map(lambda members: not wanted.isdisjoint(members.split()))
    keys = pandas.MultiIndex.from_frame(frame[["dataset", "protocol"]])
    return frame[keys.isin(keys[has_one])]


def leaderboard_markdown(frame: pandas.DataFrame) -> str:
    """The leaderboard as Markdown: a heading and a table for each dataset and protocol."""
    parts = []
    for dataset, protocol, rows in leaderboard_groups(frame):
        table = _table(rows, "pipe", escape_markdown)
        note = f"Protocol: {escape_markdown(protocol)}"
        parts.append("\n\n".join([f"#### {escape_markdown(dataset)}", table, note]))
    return "\n\n".join(parts) or NO_ROWS


def leaderboard_text(frame: pandas.DataFrame) -> str:
    """The leaderboard for a terminal: an aligned table for each dataset and protocol, its protocol below."""
    parts = [
        f"{dataset}\n\n{_table(rows, 'simple')}\n\nprotocol: {protocol}"
        for dataset, protocol, rows in leaderboard_groups(frame)
    ]
    return "\n\n\n".join(parts) or NO_ROWS


def shown_figures(rows: pandas.DataFrame, *, variants: bool) -> list[str]:
    """The figures that have a column in a table of these rows: of each metric the main one, with `variants`
    also those that the metric shows. A figure that no row has is left out, but for the one that ranks."""
    names = [
        name
        for metric in METRICS.values()
        if metric.has_column(rows)
        for name in (
            metric.main,
            *(f"{metric.main}_{variant}" for variant in metric.columns if variants),
        )
    ]
    return [name for name in names if name == RANKED_BY or not rows[name].isna().all()]


def with_interval(name: str, row) -> str:
    """A figure with its interval: `4.36 [4.12, 4.60]`."""
    return f"{write_figure(name, row)} {interval_text(name, row)}".rstrip()


def interval_text(name: str, row) -> str:
    """The interval of a figure: `[4.12, 4.60]`; empty where there is none."""
    low, high = (row.get(end) for end in interval_names(name))
    write = FIGURES[name].write
    return "" if is_missing(low) or is_missing(high) else f"[{write(low)}, {write(high)}]"


# --- inside -----------------------------------------------------------------------------------------------


def _table(rows: pandas.DataFrame, style: str, escape: Callable[[str], str] = lambda text: text) -> str:
    """One group as text; words on the left, numbers right-aligned."""
    numbers = shown_figures(rows, variants=False)
    notes = ["note"] if rows["note"].any() else []
    headings = ["rank", *WORDS, "seeds", *(FIGURES[name].heading for name in numbers), *notes]
    cells = [
        [str(row["rank"]), *(row[word] for word in WORDS), str(row["seeds"])]
        + [(with_interval if name in TESTED else write_figure)(name, row) for name in numbers]
        + [row[name] for name in notes]
        for row in rows.to_dict("records")
    ]
    left = ["left"] * len(WORDS)
    return tabulate(
        [[escape(cell) for cell in row] for row in cells],
        [escape(heading) for heading in headings],
        tablefmt=style,
        colalign=["right", *left, *["right"] * (1 + len(numbers)), *["left"] * len(notes)],
        disable_numparse=True,
    )
