"""What each figure of a manifest is called, how it is written and what it means, for every table.

Who measures a figure registers it: each metric in its own file, the figures of a training in
`gan_core.leaderboard.training_figures`. Imports neither torch nor pandas.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from gan_core.store import Manifest

MISSING = "—"


def decimal(value: float) -> str:
    """A score with two decimals, or four where two would hide it: `42.72`, `0.0204`."""
    text = f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text


def count(value: float) -> str:
    """A number of things: `60,000`."""
    return f"{value:,.0f}"


def percent(value: float) -> str:
    """A share between 0 and 1: `97.3%`."""
    return f"{value:.1%}"


@dataclass(frozen=True)
class Figure:
    """A figure of a manifest: its label, which direction is better, one sentence for a newcomer.

    `better` is `real` where neither is: real images have a value, and beyond it more or less is no merit.
    `spread` names the figure that is written behind it as `± 0.08`.
    """

    label: str
    better: Literal["lower", "higher", "real"] | None
    explanation: str
    write: Callable[[float], str] = decimal
    spread: str | None = None

    @property
    def heading(self) -> str:
        """The label with an arrow to the better side: `FID ↓`."""
        arrow = {"lower": " ↓", "higher": " ↑"}.get(self.better, "")
        return self.label + arrow


FIGURES: dict[str, Figure] = {}


def is_missing(value: Any) -> bool:
    """Whether a figure has no value: None, NaN, or pandas' NA."""
    if value is None or isinstance(value, str):
        return value is None
    try:
        return math.isnan(value)
    except TypeError:  # pandas.NA has no float value
        return True


def figure_of(manifest: "Manifest | None", name: str) -> float | int | None:
    """A figure of a manifest that is a number; None where there is none, a `ValueError` for a word."""
    value = manifest.figures.get(name) if manifest else None
    if isinstance(value, str):
        raise ValueError(f"{name} of {manifest.asset}/{manifest.partition} is `{value}`, not a number")
    return value


def write_figure(name: str, values: dict[str, Any]) -> str:
    """The figure `name` of `values` as text, with its spread; `MISSING` where there is none."""
    figure, value = FIGURES[name], values.get(name)
    if is_missing(value):
        return MISSING
    spread = values.get(figure.spread) if figure.spread else None
    return figure.write(value) if is_missing(spread) else f"{figure.write(value)} ± {spread:.2f}"


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    for character in "\\|`*_<>[]":
        text = text.replace(character, f"\\{character}")
    return text.replace("\n", " ")
