"""Charts as data: what the browser draws with Observable Plot (`templates/charts.js`), with words for who
cannot see it. What is drawn can be read on hover, by touch and with the arrow keys."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

from gan_core.evaluation.figures import is_missing

Format = Literal["count", "share", "figure", "seconds", "text"]
# So many figures of a number are drawn and told on hover.
DIGITS = 5
# A scale is logarithmic where the largest of positive values is so many times the smallest.
DECADE = 10


@dataclass(frozen=True)
class Series:
    """A line: equally many `x` and `y` (None: no value).

    `low` and `high` bound its interval, drawn as a band or, of few points, as bars. `connected`: between its
    points lie others, so a line may join them. `part_of`: the label of the line of which this is one run: it
    is drawn thin in that one's colour and has no place of its own in the legend.
    """

    label: str
    x: Sequence[Any]
    y: Sequence[float | None]
    low: Sequence[float | None] | None = None
    high: Sequence[float | None] | None = None
    dots: bool = False
    connected: bool = True
    interval: Literal["band", "bars"] = "band"
    part_of: str = ""


@dataclass(frozen=True)
class Rule:
    """A dashed line at a value of y, or of bars at a value of x."""

    value: float
    label: str


@dataclass(frozen=True)
class Mark:
    """A point that is named."""

    x: Any
    y: float
    label: str


@dataclass(frozen=True)
class Bar:
    """One bar; `tick` is another value to compare with, `best`: no other is shown to be better."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    tick: float | None = None
    best: bool = False


@dataclass(frozen=True)
class Drawing(ABC):
    """What every chart has: its title, and what it shows in words."""

    title: str
    alt: str

    def data(self) -> dict[str, Any]:
        """JSON for the browser, numbers cut to what can be seen."""
        return {"kind": self.kind, **_rounded(self)}

    @property
    @abstractmethod
    def kind(self) -> str:
        """How `charts.js` draws it."""


@dataclass(frozen=True)
class Chart(Drawing):
    """Lines over x, or horizontal bars; `tick_label` says what a bar's tick is. `x_scale` is `point` where x
    is words or values that stand equally far apart; `x_ticks`: the only values that the x axis names. `note`:
    what has to stand behind the title."""

    x_label: str
    y_label: str = ""
    series: tuple[Series, ...] = ()
    bars: tuple[Bar, ...] = ()
    rules: tuple[Rule, ...] = ()
    marks: tuple[Mark, ...] = ()
    x_format: Format = "count"
    y_format: Format = "figure"
    x_scale: Literal["linear", "log", "point"] = "linear"
    y_scale: Literal["linear", "log"] = "linear"
    x_ticks: tuple[Any, ...] | None = None
    from_zero: bool = False
    tick_label: str = ""
    note: str = ""

    @property
    def kind(self) -> str:
        return "bars" if self.bars else "lines"


@dataclass(frozen=True)
class Cell:
    """A cell of a heat map: its column and row, and its value, or why it has none (`missing`) and the `word`
    that stands there instead. `best`: no other is shown to be better."""

    x: str
    y: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    best: bool = False
    missing: str = ""
    word: str = "missing"


@dataclass(frozen=True)
class HeatMap(Drawing):
    """A table of colours with their values; `columns` and `rows` in their order. `better`: which side of
    `value_label` is."""

    x_label: str
    y_label: str
    value_label: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    cells: tuple[Cell, ...]
    format: Format = "figure"
    better: str = ""

    @property
    def kind(self) -> str:
        return "heat"

    def data(self) -> dict[str, Any]:
        """`shade` of a cell: how strong its colour is, from 0 (the lowest value) to 1; of values that span a
        decade by their logarithms."""
        data = super().data()
        place = positions([cell.value for cell in self.cells])
        for cell, drawn in zip(self.cells, data["cells"], strict=True):
            drawn["shade"] = None if is_missing(cell.value) else round(place(cell.value), 3)
        return data


@dataclass(frozen=True)
class Axis:
    """An axis of parallel coordinates: `ticks` are (place from 0 to 1, what stands there)."""

    label: str
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Track:
    """One line through all axes: on each its place from 0 to 1, and its value in words."""

    label: str
    places: tuple[float, ...]
    texts: tuple[str, ...]
    best: bool = False


@dataclass(frozen=True)
class Parallel(Drawing):
    """Parallel coordinates: an axis for each key and one for the result, a line for each configuration."""

    axes: tuple[Axis, ...]
    tracks: tuple[Track, ...]

    @property
    def kind(self) -> str:
        return "parallel"


def over_images_seen(lines: Iterable[Series], what: str) -> str:
    """`Losses over images seen: generator from 1.2 to 0.8.`"""
    return f"{what} over images seen: {'; '.join(_course(line) for line in lines) or 'nothing'}."


def spans_decades(values: Iterable[float | None]) -> bool:
    """Whether a scale of these values is best logarithmic: all are above 0 and far apart."""
    known = [value for value in values if not is_missing(value)]
    return bool(known) and min(known) > 0 and max(known) >= DECADE * min(known)


def positions(values: Iterable[float | None]) -> Callable[[float], float]:
    """Where a value lies between the smallest of `values` (0) and the largest (1), by logarithms where they
    span decades; in the middle where all are the same."""
    known = [value for value in values if not is_missing(value)]
    scale = math.log if spans_decades(known) else float
    if not known or scale(min(known)) == scale(max(known)):
        return lambda value: 0.5
    low, high = scale(min(known)), scale(max(known))
    return lambda value: (scale(value) - low) / (high - low)


def value_axis(label: str, values: Sequence[float | None], write: Callable[[float], str]) -> Axis:
    """An axis of parallel coordinates for numbers, with their ends and, by its scale, their middle."""
    known = [value for value in values if not is_missing(value)]
    ends = sorted({min(known), max(known)}) if known else []
    place = positions(known)
    if len(ends) == 2:
        low, high = ends
        middle = math.sqrt(low * high) if spans_decades(known) else (low + high) / 2
        ends = [low, middle, high]
    return Axis(label, tuple((place(value), write(value)) for value in ends))


def _course(line: Series) -> str:
    values = [value for value in line.y if not is_missing(value)]
    if not values:
        return f"{line.label} without a value"
    return f"{line.label} from {values[0]:.3g} to {values[-1]:.3g}"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, (str, int)):  # most of what there is
        return value
    if isinstance(value, (list, tuple)):
        return [_rounded(inner) for inner in value]
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if is_dataclass(value):
        return {field.name: _rounded(getattr(value, field.name)) for field in fields(value)}
    return value
