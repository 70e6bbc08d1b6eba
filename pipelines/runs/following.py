"""Many experiments while they run: what each is at, until none of them is queued or in progress."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import dagster as dg
from rich.console import Group, RenderableType

from gan_core.cli.commands.looking.watch import cells_of
from gan_core.config import Configs
from gan_core.planning.running import Moment, Watch
from gan_core.planning.tables import text_table
from gan_core.store import Store
from pipelines.reasons import reasons
from pipelines.runs.records import newest_runs

# Between the runs of a backfill on the command line, and before a retry, there is none for seconds.
SETTLE_SECONDS = 60.0
STATUS = dg.DagsterRunStatus
WORDS = {
    STATUS.NOT_STARTED: "queued",
    STATUS.QUEUED: "queued",
    STATUS.STARTING: "starting",
    STATUS.STARTED: "running",
    STATUS.CANCELING: "stopping",
    STATUS.SUCCESS: "succeeded",
    STATUS.FAILURE: "failed",
    STATUS.CANCELED: "canceled",
}
IN_PROGRESS = ("running", "stopping")
COLUMNS = ("images seen", "speed", "FID while training", "time left", "verdict")


@dataclass(frozen=True)
class Look:
    """One look at the chosen experiments. `states`: how the newest run of each is, of those that have one;
    `moments`: the trainings of those in progress; `failures`: why runs failed."""

    states: dict[str, str]
    moments: dict[str, Moment] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def goes_on(self) -> bool:
        """Whether a run of them is queued or in progress."""
        return bool({"queued", "starting", *IN_PROGRESS} & set(self.states.values()))

    @property
    def summary(self) -> str:
        """`2 queued, 1 running, 3 succeeded`."""
        counts = {word: list(self.states.values()).count(word) for word in dict.fromkeys(WORDS.values())}
        return ", ".join(f"{count:,} {word}" for word, count in counts.items() if count) or "no run yet"

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Follower:
    """Looks at the runs of experiments again and again, and at the trainings of those in progress."""

    def __init__(self, instance: dg.DagsterInstance, store: Store, configs: Configs, names: list[str]):
        self.instance, self.store, self.configs, self.names = instance, store, configs, names
        self._watches: dict[str, Watch] = {}
        self._why: dict[str, str] = {}  # by run

    def look(self) -> Look:
        """The runs as they are now."""
        runs = {
            name: one.dagster_run
            for name, one in newest_runs(self.instance, "experiments", self.names).items()
        }
        states = {name: WORDS.get(run.status, run.status.value) for name, run in runs.items()}
        return Look(
            states,
            {name: self._moment(name) for name, word in states.items() if word in IN_PROGRESS},
            {name: self._reason(runs[name]) for name, word in states.items() if word == "failed"},
        )

    def looks(self, every: float, settle: float = SETTLE_SECONDS) -> Iterator[Look]:
        """A look every so many seconds, until none of them has been queued or in progress for `settle`."""
        last = time.monotonic()
        while True:
            found = self.look()
            yield found
            if found.goes_on:
                last = time.monotonic()
            elif time.monotonic() - last >= settle:
                return
            time.sleep(every)

    def _moment(self, name: str) -> Moment:
        if name not in self._watches:
            self._watches[name] = Watch(self.store, self.configs, name)
        return self._watches[name].look()

    def _reason(self, run: dg.DagsterRun) -> str:
        if run.run_id not in self._why:
            events = self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
            why = "; ".join(reasons(event.dagster_event for event in events))
            self._why[run.run_id] = why or f"run {run.run_id}: see it in the UI"
        return self._why[run.run_id]


def look_table(look: Look) -> RenderableType:
    """A row for each experiment in progress, and how many are in which state."""
    table = text_table("running", *COLUMNS)
    for name, moment in look.moments.items():
        cells = dict(cells_of(moment))
        table.add_row(name, *(cells[column] for column in COLUMNS))
    return Group(*([table, ""] if look.moments else []), look.summary)


def new_lines(look: Look, said: dict[str, str]) -> list[str]:
    """What is new since what was `said`, a line for each experiment; `said` then has it."""
    lines = dict(look.states)
    for name, moment in look.moments.items():
        cells = dict(cells_of(moment))
        shown = [f"{column} {cells[column]}" for column in COLUMNS if cells[column]]
        lines[name] = ", ".join([look.states[name], *shown])
    lines |= {name: f"failed: {why}" for name, why in look.failures.items()}
    new = [f"{name}: {line}" for name, line in lines.items() if said.get(name) != line]
    said.update(lines)
    return new


def follow_on_terminal(follower: Follower, every: float) -> Look:
    """A table that changes in its place; the last look."""
    from rich.live import Live

    with Live("", auto_refresh=False) as live:
        for look in follower.looks(every):
            live.update(look_table(look), refresh=True)
    return look


def follow_in_lines(follower: Follower, every: float, say: Callable[[str], None]) -> Look:
    """A line whenever something is new; the last look."""
    said: dict[str, str] = {}
    for look in follower.looks(every):
        for line in new_lines(look, said):
            say(line)
    return look
