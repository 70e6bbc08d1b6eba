"""Charts as data: what the browser draws with Observable Plot (`templates/charts.js`), with words for who
cannot see it."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gan_core.evaluation.figures import is_missing

Format = Literal["count", "share", "figure", "seconds", "text"]
# So many figures of a number are drawn and told on hover.
DIGITS = 5


@dataclass(frozen=True)
class Series:
    """A line: equally many `x` and `y` (None: no value); `low` and `high` bound its interval."""

    label: str
    x: Sequence[Any]
    y: Sequence[float | None]
    low: Sequence[float | None] | None = None
    high: Sequence[float | None] | None = None
    dots: bool = False


@dataclass(frozen=True)
class Rule:
    """A dashed line at a value of y, or of bars at a value of x."""

    value: float
    label: str


@dataclass(frozen=True)
class Mark:
    """A point that is named."""

    x: float
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
class Chart:
    """Lines over x, or horizontal bars. `alt` says what it shows, `tick_label` what a bar's tick is."""

    title: str
    alt: str
    x_label: str
    y_label: str = ""
    series: tuple[Series, ...] = ()
    bars: tuple[Bar, ...] = ()
    rules: tuple[Rule, ...] = ()
    marks: tuple[Mark, ...] = ()
    x_format: Format = "count"
    y_format: Format = "figure"
    y_scale: Literal["linear", "log"] = "linear"
    from_zero: bool = False
    tick_label: str = ""

    def data(self) -> dict[str, Any]:
        """JSON for the browser, numbers cut to what can be seen."""
        return _rounded(asdict(self))


def over_images_seen(lines: Iterable[Series], what: str) -> str:
    """`Losses over images seen: generator from 1.2 to 0.8.`"""
    return f"{what} over images seen: {'; '.join(_course(line) for line in lines) or 'nothing'}."


def _course(line: Series) -> str:
    values = [value for value in line.y if not is_missing(value)]
    if not values:
        return f"{line.label} without a value"
    return f"{line.label} from {values[0]:.3g} to {values[-1]:.3g}"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(inner) for inner in value]
    if isinstance(value, float):
        return (
            None
            if is_missing(value) or value in (float("inf"), -float("inf"))
            else float(f"{value:.{DIGITS}g}")
        )
    return value
