"""The answers to questions as the report shows them."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pandas

from gan_core.comparing.answer import CSV, SAMPLES
from gan_core.comparing.figures import COMPARED
from gan_core.evaluation.figures import is_missing, percent
from gan_core.evaluation.statistics.intervals import mean_interval
from gan_core.report.charts import Chart, Series
from gan_core.report.views.pictures import Picture, stored_picture
from gan_core.store import Manifest, Store
from gan_core.store.reading import reading

PICTURES = {SAMPLES: "Samples of the lowest seed of each"}


@dataclass(frozen=True)
class AnswerSummary:
    """A question and, in one line, its answer."""

    name: str
    question: str
    answer: str
    findings: list[str]
    missing: int


@dataclass(frozen=True)
class AnswerView:
    """One question: what it is about, by which keys the configurations differ, findings with the runs that
    failed, a table (dataset, protocol, headings, rows) for each dataset, every run in charts, pictures by
    title, the experiments (name, why) that are missing, and the command that makes them."""

    name: str
    question: str
    description: str
    differs: str
    findings: list[str]
    tables: list[dict[str, Any]]
    charts: list[Chart]
    pictures: list[tuple[str, Picture]]
    experiments: list[str]
    missing: list[tuple[str, str]]
    command: str


def answer_summary(answer: Manifest) -> AnswerSummary:
    """Raises `DamagedError` for a manifest that was edited."""
    with reading(f"answer/{answer.partition}"):
        details = answer.details
        first, *others = details["answer"] or ["Nothing was found."]
        return AnswerSummary(answer.partition, details["question"], first, others, len(details["missing"]))


def answer_view(store: Store, answer: Manifest) -> AnswerView:
    """Raises `StoreError` for a picture, a table or a manifest that is damaged."""
    with reading(f"answer/{answer.partition}"):
        details = answer.details
        runs = _runs(store, answer)
        drawn = [(title, stored_picture(store, answer, name)) for name, title in PICTURES.items()]
        return AnswerView(
            answer.partition,
            details["question"],
            details.get("description", ""),  # answers of version 1 have neither this nor tables
            details.get("differs", ""),
            list(details["answer"]),
            list(details.get("tables", [])),
            list(_charts(runs)),
            [(title, picture) for title, picture in drawn if picture],
            list(runs["experiment"]),
            list(dict(details["missing"]).items()),
            details["command"],
        )


# --- every run --------------------------------------------------------------------------------------------


def _runs(store: Store, answer: Manifest) -> pandas.DataFrame:
    return pandas.read_csv(store.local(answer, CSV), keep_default_na=False, na_values=[""])


def _charts(runs: pandas.DataFrame) -> Iterator[Chart]:
    """A chart for each figure and dataset; of a share there is none, for no run has one."""
    tables = runs.groupby(["dataset", "protocol"], sort=False)
    for figure, column in _drawn(runs).items():
        for (dataset, _), rows in tables:
            if pandas.api.types.is_numeric_dtype(rows[column]) and rows[column].notna().any():
                yield _chart(figure, column, rows, f" on {dataset}" if len(tables) > 1 else "")


def _drawn(runs: pandas.DataFrame) -> dict[str, str]:
    """By figure, the column of its values: a spread is that of the values of another figure."""
    found: dict[str, str] = {}
    for name in COMPARED:
        if name in runs and COMPARED[name].kind != "share":
            found.setdefault(getattr(COMPARED[name], "source", name), name)
    return found


def _chart(name: str, column: str, rows: pandas.DataFrame, where: str) -> Chart:
    """Every run as a point, those that failed apart, beside the mean and interval of its configuration."""
    figure, ended = COMPARED[name].figure, _ended(column, rows)
    labels = list(dict.fromkeys(rows["configuration"]))
    values = {label: rows[rows["configuration"] == label][column].dropna().tolist() for label in labels}
    # Of runs that ended before they had come so far there is no mean.
    unknown = set(rows[ended]["configuration"])
    values = {label: [] if label in unknown else found for label, found in values.items()}
    intervals = [mean_interval(found) or (None, None) for found in values.values()]
    means = Series(
        "mean and its 95% interval",
        labels,
        [fmean(found) if found else None for found in values.values()],
        [low for low, _ in intervals],
        [high for _, high in intervals],
        dots=True,
        connected=False,
        interval="bars",
    )
    told = [
        f"{label} {figure.write(value)}"
        for label, value in zip(labels, means.y, strict=True)
        if not is_missing(value)
    ]
    return Chart(
        f"{figure.label}{where}",
        f"{figure.label}{where}, every run beside the mean of its configuration: {'; '.join(told)}.",
        "configuration",
        figure.heading,
        series=(means, *_points(column, rows, ended)),
        x_format="text",
        y_format="share" if figure.write is percent else "figure",
        x_scale="point",
    )


def _ended(column: str, rows: pandas.DataFrame) -> pandas.Series:
    """Which runs ended before they had reached what the figure waits for."""
    reached = rows.get(f"{column}_reached")
    return pandas.Series(False, index=rows.index) if reached is None else reached.astype(str) == "False"


def _points(column: str, rows: pandas.DataFrame, ended: pandas.Series) -> Iterator[Series]:
    """The runs, by how they ended."""
    failed = rows["failed"].astype(str) == "True"
    kinds = {
        "a run": ~failed & ~ended,
        "a run that failed": failed,
        "a run that ended before": ended & ~failed,
    }
    for label, chosen in kinds.items():
        found = rows[chosen & rows[column].notna()]
        if len(found):
            yield Series(
                label, found["configuration"].tolist(), found[column].tolist(), dots=True, connected=False
            )
