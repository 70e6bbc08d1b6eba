"""What an analysis is, and the registry of all."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gan_core.evaluation.figures import FIGURES, Figure
from gan_core.registry import register, sort_by_position

if TYPE_CHECKING:
    from gan_core.analysis.subject import Subject


@dataclass(frozen=True)
class Findings:
    """What one look has found.

    `figures`: a value for each figure of the analysis, None where it does not apply. `protocol`: on what, and
    how, they were measured. `pictures`: by file name, the content of a PNG or GIF. `table`: rows of the same
    columns, for what is compared. `choices`: what was chosen where a reader could not know (JSON).
    """

    figures: dict[str, float | None] = field(default_factory=dict)
    protocol: str = ""
    pictures: dict[str, bytes] = field(default_factory=dict)
    table: list[dict[str, Any]] = field(default_factory=list)
    choices: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Analysis:
    """One way to look at a trained GAN.

    `question`: what it asks and how its answer is read, in a sentence or two for a newcomer. `look` makes it;
    `lacks` says why it cannot be made of a training (None: it can), from the manifests alone. `settings`: the
    names of what `look` can be told from the command line. `version` counts in the fingerprint: raise it when
    the findings change. `position` orders the analyses.
    """

    label: str
    question: str
    figures: dict[str, Figure]
    look: "Callable[[Subject], Findings]"
    lacks: "Callable[[Subject], str | None]" = lambda subject: None
    settings: tuple[str, ...] = ()
    version: str = "1"
    position: int = 100


ANALYSES: dict[str, Analysis] = {}


def add_analysis(name: str, analysis: Analysis) -> Analysis:
    """Register an analysis under the name that `--only` takes, and its figures."""
    register(ANALYSES, name)(analysis)
    for figure, meaning in analysis.figures.items():
        register(FIGURES, figure)(meaning)
    sort_by_position(ANALYSES)
    return analysis
