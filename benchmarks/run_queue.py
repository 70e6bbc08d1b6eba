"""Many runs over few GPUs as Dagster's queue deals them out: a simulation, by measured seconds.

    python -m benchmarks.run_queue [--picture docs/images/scale-queue.png]

What is simulated: a backfill puts runs into the queue; the daemon looks at it every few seconds and launches
runs one after the other, as many as may be in progress and as the pool has free slots; a run starts, and its
steps claim a slot each. A step that finds none asks again after 1 s, then ever less often, up to every 15 s
(Dagster's `instance_concurrency_context`). A run whose training is killed gives its slot back after a while,
and comes into the queue once more, to go on from its last checkpoint.

Nothing here is random but which trainings are killed and when, by a seed. `benchmarks/run_queue_measured.py`
measures the seconds, and runs a small case for real; `tests/test_run_queue.py` compares the simulation with
closed forms.
"""

import argparse
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from tabulate import tabulate

CLAIM_FIRST, CLAIM_GROWTH, CLAIM_MOST = 1.0, 1.1, 15.0


@dataclass(frozen=True)
class Farm:
    """What is run, and on what. All times are seconds.

    `steps`: of one run, in the order in which they are made; each holds a GPU, the first is the training.
    `in_progress`: runs at once (`concurrency.runs.max_concurrent_runs`). `created_a_second`: runs that a
    backfill puts into the queue; 0: all at once. `look`: between the daemon's looks at the queue. `launch`:
    how long the daemon takes for each run. `start`: from there to the first step. `between`: between two
    steps of a run. `end`: from a run's last step to its end. `fails`: the share of trainings that are killed
    once, at any moment. `retry`: from a kill until the slot is free and the run is in the queue again.
    `lost`: what a killed training has done since its last checkpoint, at most.
    """

    runs: int
    gpus: int
    steps: tuple[float, ...]
    in_progress: int
    created_a_second: float = 0.0
    look: float = 5.0
    launch: float = 0.0
    start: float = 0.0
    between: float = 0.0
    end: float = 0.0
    fails: float = 0.0
    retry: float = 45.0
    lost: float = 0.0
    seed: int = 0

    @property
    def least(self) -> float:
        """What the GPUs take for all of it, were none of them ever idle."""
        return self.runs * sum(self.steps) / self.gpus


@dataclass
class Outcome:
    """`seconds` until the last run has ended; `busy`: (time, GPUs held) at each change; `waited`: seconds
    that each run spent in the queue, retries included."""

    farm: Farm
    seconds: float = 0.0
    busy: list[tuple[float, int]] = field(default_factory=lambda: [(0.0, 0)])
    waited: list[float] = field(default_factory=list)
    launched: int = 0

    @property
    def utilisation(self) -> float:
        """The share of GPU time in which a step that was not in vain held the GPU."""
        return self.farm.least / self.seconds

    def held(self, parts: int) -> list[float]:
        """The share of GPUs held, on average over each of so many parts of the time."""
        width, found = self.seconds / parts, [0.0] * parts
        changes = [*self.busy, (self.seconds, 0)]
        for (begin, count), (end, _) in itertools.pairwise(changes):
            first, last = int(begin / width), min(int(end / width), parts - 1)
            for part in range(first, last + 1):
                overlap = min(end, (part + 1) * width) - max(begin, part * width)
                found[part] += max(overlap, 0.0) * count
        return [one / width / self.farm.gpus for one in found]


@dataclass
class _Run:
    steps: deque[float]
    queued_at: float = 0.0
    claims: int = 0


class _Simulation:
    def __init__(self, farm: Farm):
        self.farm, self.outcome = farm, Outcome(farm)
        self.now, self.order = 0.0, itertools.count()
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.queue: deque[_Run] = deque()
        self.waiting: deque[_Run] = deque()  # for a slot, by the time of their first claim
        self.free = farm.gpus
        self.coming = 0  # launched, and not yet at their first step
        self.in_progress = self.ended = 0
        self.random = random.Random(farm.seed)

    def run(self) -> Outcome:
        for number in range(self.farm.runs):
            rate = self.farm.created_a_second
            run = _Run(deque(self.farm.steps))
            self.at(number / rate if rate else 0.0, lambda run=run: self.put(run))
        self.at(0.0, self.look)
        while self.ended < self.farm.runs:
            self.now, _, act = heapq.heappop(self.events)
            act()
        self.outcome.seconds = self.now
        return self.outcome

    def at(self, time: float, act: Callable[[], None]) -> None:
        heapq.heappush(self.events, (time, next(self.order), act))

    def put(self, run: _Run) -> None:
        run.queued_at = self.now
        self.queue.append(run)

    # -- the daemon

    def look(self) -> None:
        room = self.farm.in_progress - self.in_progress
        slots = self.free - len(self.waiting) - self.coming
        chosen = [self.queue.popleft() for _ in range(max(0, min(len(self.queue), room, slots)))]
        self.in_progress += len(chosen)
        self.coming += len(chosen)
        for number, run in enumerate(chosen, 1):
            self.outcome.waited.append(self.now - run.queued_at)
            launched = self.now + number * self.farm.launch
            self.at(launched + self.farm.start, lambda run=run: self.begin(run))
        self.outcome.launched += len(chosen)
        self.at(self.now + len(chosen) * self.farm.launch + self.farm.look, self.look)

    # -- a run

    def begin(self, run: _Run) -> None:
        self.coming -= 1
        self.claim(run)

    def claim(self, run: _Run) -> None:
        """A slot goes to who asked first; who waits finds that out when it asks again."""
        if run not in self.waiting:
            run.claims = 0
            self.waiting.append(run)
        if self.free and self.waiting.index(run) < self.free:
            self.waiting.remove(run)
            self.hold(-1)
            self.work(run)
            return
        interval = min(CLAIM_FIRST + CLAIM_GROWTH**run.claims - 1, CLAIM_MOST)
        run.claims += 1
        self.at(self.now + interval, lambda: self.claim(run))

    def hold(self, change: int) -> None:
        self.free += change
        self.outcome.busy.append((self.now, self.farm.gpus - self.free))

    def work(self, run: _Run) -> None:
        seconds = run.steps.popleft()
        training = len(run.steps) == len(self.farm.steps) - 1
        if training and self.random.random() < self.farm.fails:
            killed = self.random.uniform(0, seconds)
            saved = max(0.0, killed - self.random.uniform(0, self.farm.lost))
            run.steps.appendleft(seconds - saved)
            self.at(self.now + killed + self.farm.retry, lambda: self.again(run))
        else:
            self.at(self.now + seconds, lambda: self.done(run))

    def again(self, run: _Run) -> None:
        self.hold(1)
        self.in_progress -= 1
        self.put(run)

    def done(self, run: _Run) -> None:
        self.hold(1)
        if run.steps:
            self.at(self.now + self.farm.between, lambda: self.claim(run))
        else:
            self.at(self.now + self.farm.end, self.close)

    def close(self) -> None:
        self.in_progress -= 1
        self.ended += 1


def simulate(farm: Farm) -> Outcome:
    """What becomes of it."""
    return _Simulation(farm).run()


# --- ten thousand experiments on sixty-four GPUs ----------------------------------------------------------

# Seconds, each measured; `docs/scale.md` says where, and at which load of the machine.
IMAGES_A_SECOND = 77_000  # DCGAN on CIFAR-10, one H200, evaluations included
TO_THE_FIRST_STEP = 19.0  # from the start of a training's process, with images that were decoded before
SAMPLES_AND_FIGURES = 65.0  # 10,000 samples and all figures of one GAN on an H200, beside another's training
IMAGES_OF_A_TRAINING = 12_800_000  # of `configs/experiments/cifar10-dcgan.yaml`
CHECKPOINT = 500_000 / IMAGES_A_SECOND
CREATED_A_SECOND = 6.4  # runs put into the queue, on SQLite, on a busy machine
LOAD_10000, LOAD_500 = 5.0, 2.0  # processor time to load the definitions of so many experiments
STEP = 1.5  # a step by forkserver
# The daemon waits until the process of a run has loaded the definitions; its fork server loads them once
# more, before the first step.
LAUNCH, START, BETWEEN = LOAD_10000, LOAD_10000 + STEP, STEP


def farm(images: int = IMAGES_OF_A_TRAINING, **changes) -> Farm:
    """10,000 experiments of so many images on 64 GPUs."""
    training = TO_THE_FIRST_STEP + images / IMAGES_A_SECOND
    whole = Farm(
        runs=10_000,
        gpus=64,
        steps=(training, SAMPLES_AND_FIGURES),
        in_progress=80,
        created_a_second=CREATED_A_SECOND,
        launch=LAUNCH,
        start=START,
        between=BETWEEN,
        lost=CHECKPOINT,
    )
    return replace(whole, **changes)


def scenarios() -> dict[str, Farm]:
    """What is compared, by its name in the table."""
    short, long = IMAGES_OF_A_TRAINING // 10, IMAGES_OF_A_TRAINING * 10
    threads = {"launch": LAUNCH / 8}
    split = {"launch": LOAD_500, "start": LOAD_500 + STEP}
    return {
        "as shipped: 10 runs in progress": farm(in_progress=10),
        "80 in progress": farm(),
        "80, definitions of 500 each": farm(**split),
        "80, 8 threads launch": farm(**threads),
        "80, 8 threads, 5% of trainings killed": farm(**threads, fails=0.05),
        "80, 8 threads, 20% of trainings killed": farm(**threads, fails=0.2),
        "trainings a tenth as long, 80": farm(short),
        "trainings a tenth as long, 80, 8 threads": farm(short, **threads),
        "trainings ten times as long, 80": farm(long),
        "trainings ten times as long, 80, 8 threads": farm(long, **threads),
    }


def table(outcomes: dict[str, Outcome]) -> str:
    """Markdown."""
    rows = [
        {
            "": name,
            "hours": f"{one.seconds / 3600:,.1f}",
            "of never idle GPUs": f"{one.farm.least / 3600:,.1f}",
            "use of the GPUs": f"{one.utilisation:.0%}",
            "most GPUs at once": max(count for _, count in one.busy),
            "runs launched": f"{one.launched:,}",
            "launches an hour": f"{one.launched / one.seconds * 3600:,.0f}",
        }
        for name, one in outcomes.items()
    ]
    return tabulate(rows, headers="keys", tablefmt="pipe", disable_numparse=True)


def picture(outcomes: dict[str, Outcome], parts: int = 200) -> bytes:
    """The GPUs held over the first hours, a line for each outcome, as PNG."""
    from gan_core.report.drawing import BLUE, GREEN, INK, ORANGE, new_figure, png, restrain

    figure = new_figure(800, 320)
    axes = figure.subplots()
    restrain(axes, "y")
    for (name, one), colour in zip(outcomes.items(), (INK, BLUE, ORANGE, GREEN), strict=False):
        hours = [(part + 0.5) * one.seconds / parts / 3600 for part in range(parts)]
        axes.plot(hours, [100 * share for share in one.held(parts)], color=colour, label=name, linewidth=1.3)
    axes.set_ylim(0, 105)
    axes.set_xlabel("hours since the backfill began")
    axes.set_ylabel("GPUs held, %")
    axes.legend(frameon=False, fontsize=8, labelcolor=INK)
    return png(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--picture", type=Path, help="where the PNG is written")
    options = parser.parse_args()
    outcomes = {name: simulate(one) for name, one in scenarios().items()}
    print(table(outcomes))
    if options.picture:
        options.picture.write_bytes(picture(dict(list(outcomes.items())[:4])))


if __name__ == "__main__":
    main()
