"""How long the rest of a plan takes, while it is carried out."""

from collections.abc import Iterable, Mapping
from statistics import fmean

from gan_core.planning.plan import Plan

NO_PLAN: Mapping[str, float | None] = {}


def planned_seconds(plan: Plan) -> dict[str, float | None]:
    """The time that each experiment takes; None where some of it is not known."""
    return {item.name: None if item.unknown else item.seconds for item in plan.experiments}


class TimeLeft:
    """Of experiments that are made one after the other.

    Each takes as long as was planned, but as much longer or shorter as those did that are done: beside other
    load everything takes longer. One of which nothing was known takes as long as the others of this run on
    average; before there are any, the time left is unknown.
    """

    def __init__(self, names: Iterable[str], planned: Mapping[str, float | None] = NO_PLAN):
        self.left = dict.fromkeys(names)
        self.planned = planned
        self.took: dict[str, float] = {}

    def done(self, name: str, seconds: float) -> None:
        """One has been made, or reused."""
        self.left.pop(name, None)
        self.took[name] = seconds

    @property
    def seconds(self) -> float | None:
        """None where it is not known."""
        known = [planned for name in self.left if (planned := self.planned.get(name)) is not None]
        unknown = len(self.left) - len(known)
        worked = [took for name, took in self.took.items() if self.planned.get(name) != 0]
        if unknown and not worked:
            return None
        return sum(known) * self._pace + (unknown * fmean(worked) if unknown else 0.0)

    @property
    def _pace(self) -> float:
        """How much longer than planned things take in this run."""
        compared = [name for name in self.took if self.planned.get(name)]
        if not compared:
            return 1.0
        return sum(self.took[name] for name in compared) / sum(self.planned[name] for name in compared)
