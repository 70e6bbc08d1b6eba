"""One notification: what happened, to which experiment, and where to look."""

import datetime
import hashlib
import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from gan_core.secrets import hidden

Kind = Literal["run_failed", "guard_spoke", "check_failed", "schedule_ended", "champion_promoted"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LONGEST_REASON = 2_000  # characters: Slack takes 3,000 a block


@dataclass(frozen=True)
class Notification:
    """`causes` name what it is about, each once and for ever: one whose causes were all told is told no more.

    `subject` is the experiment, dataset or schedule, `title` a line, `reason` some; `figures` are shown as
    they are; `link` leads to Dagster's UI, and is empty where its address is not known. `at` is a time in
    seconds since 1970. No text holds the secret of a URL.
    """

    kind: Kind
    causes: tuple[str, ...]
    subject: str
    title: str
    reason: str
    at: float
    figures: dict[str, float | int | str] = field(default_factory=dict)
    link: str = ""

    def __post_init__(self):
        reason = _printable(hidden(self.reason))
        if len(reason) > LONGEST_REASON:
            reason = f"{reason[: LONGEST_REASON - 2]} …"
        object.__setattr__(self, "reason", reason)
        object.__setattr__(self, "title", " ".join(_printable(hidden(self.title)).split()))
        object.__setattr__(self, "figures", {name: _finite(value) for name, value in self.figures.items()})

    @classmethod
    def recorded(cls, record: dict[str, Any]) -> "Notification":
        """The notification that `record` was made of."""
        return cls(**{**record, "causes": tuple(record["causes"])})

    def record(self) -> dict[str, Any]:
        """It as JSON."""
        return {**asdict(self), "causes": list(self.causes)}

    @property
    def id(self) -> str:
        """The same for the same causes: what a receiver can tell a second copy by."""
        return hashlib.sha256("\n".join(sorted(self.causes)).encode()).hexdigest()[:32]

    @property
    def time(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self.at, datetime.UTC)

    @property
    def figure_lines(self) -> list[str]:
        """`fid: 12.3`, a line each."""
        return [
            f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}"
            for name, value in self.figures.items()
        ]

    @property
    def text(self) -> str:
        """All of it but the title, as plain text."""
        parts = [self.reason, "\n".join(self.figure_lines), self.link, f"{self.time:%Y-%m-%d %H:%M:%S} UTC"]
        return "\n\n".join(part for part in parts if part)


def _printable(text: str) -> str:
    """Any text as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _finite(value: float | int | str) -> float | int | str:
    """JSON has no NaN."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
