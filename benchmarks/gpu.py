"""What holds on a GPU, in one command of at most 20 minutes; `make gpu` runs it.

    python -m benchmarks.gpu [--device cuda] [--name NAME] [--out FOLDER] [--smoke] [--seconds 3]

Needs PyTorch 2.11 and what `gan_core` itself imports, neither Dagster nor webdataset. Writes gpu-NAME.md with
the result of each check, and goes on where one fails; the exit status is 1 then:

- `tests`: those of the suite that need a GPU (`-m gpu`), where pytest is installed;
- `graphs`: steps as CUDA graphs against plain steps, of four kinds of GAN; without a GPU the same by calls in
  place of recordings;
- `resume`: a run that is saved and loaded in the middle against one that is not, by deterministic kernels;
- `bf16`: a run in bfloat16 against the same in fp32;
- `ranks`: two processes through gloo on the one device against one process with the whole batch; on two GPUs
  also through NCCL, with graphs;
- `estimate`: what a step is made of, and the speeds that this allows (`benchmarks/gpu_estimate.py`);
- `speed`: images a second with graphs and without, and the kernels that a step launches (torch.profiler),
  each beside its estimate.

`--device cpu --smoke` is the dry run: everything at its smallest, and what needs a GPU is left out by name.
"""

import argparse
import contextlib
import functools
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import torch
import torch.distributed as distributed

from benchmarks.gpu_estimate import Counted, count, host_seconds
from gan_core.config import Experiment
from gan_core.data.epoch_order import EpochOrder
from gan_core.data.feed import ResidentFeed
from gan_core.devices import default_device, describe_device
from gan_core.numerics import DETERMINISTIC, MEASURING, training_policy
from gan_core.training.cuda_graphs import (
    CHECKS,
    WARM_UP,
    CallRecorder,
    CapturedSteps,
    CudaRecorder,
    may_capture,
)
from gan_core.training.processes.ranks import Ranks
from gan_core.training.state import TrainingState
from gan_core.training.step import train_step
from gan_core.training.step_inputs import STEPS_AT_ONCE, Batches

ROOT = Path(__file__).resolve().parents[1]
CLASSES, TOTAL, IMAGES = 10, 10**9, 2000
TESTS_SECONDS = 600
KINDS = {
    "DCGAN": {},
    "WGAN-GP": {"objective": {"name": "wasserstein", "gradient_penalty": 10}, "n_critic": 5},
    "ACGAN": {"conditioning": {"name": "acgan"}, "ema_decay": 0.99, "horizontal_flips": True},
    "WGAN": {
        "objective": {"name": "wasserstein", "weight_clip": 0.1},
        "optimizers": {name: {"name": "rmsprop"} for name in ("generator", "discriminator")},
    },
}
Line = str


class LeftOut(Exception):
    """Why a check cannot be made here."""


@dataclass(frozen=True)
class Setting:
    """Where the checks run, and how large they are: the smallest for a dry run."""

    device: torch.device
    smoke: bool
    seconds: float = 3.0  # each speed is measured for so long
    widths: tuple[int, ...] = (32, 64)

    @property
    def side(self) -> int:
        return 16 if self.smoke else 32

    @property
    def steps(self) -> int:
        return 4 if self.smoke else 100

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        return (4,) if self.smoke else (64, 128, 512)

    @property
    def host_rounds(self) -> int:
        return 2 if self.smoke else 10

    def experiment(self, kind: str, **values) -> Experiment:
        base = {
            "name": "gpu",
            "dataset": "noise",
            "architecture": {"width": self.widths[-1]},
            "batch_size": self.batch_sizes[0],
            "length": {"images": TOTAL},
        }
        return Experiment.model_validate({**base, **KINDS[kind], **values})

    def state(self, experiment: Experiment, ranks: Ranks | None = None) -> TrainingState:
        return TrainingState(
            experiment,
            channels=3,
            image_size=self.side,
            n_classes=CLASSES,
            device=self.device,
            ranks=ranks,
        )

    def batches(self, state: TrainingState) -> Batches:
        """Of images that lie on the device: of few levels, so that there is something to learn."""
        numbers = torch.Generator().manual_seed(0)
        labels = torch.randint(CLASSES, (IMAGES,), generator=numbers)
        images = torch.randint(0, 40, (IMAGES, 3, self.side, self.side), generator=numbers)
        images = (images + 20 * labels.view(-1, 1, 1, 1)).to(torch.uint8)
        order = EpochOrder([IMAGES], IMAGES, 0)
        place = {"rank": state.ranks.rank, "world_size": state.ranks.size}
        return Batches(state, ResidentFeed(images.to(self.device), labels.to(self.device), order, **place))


class PlainSteps:
    """Steps of a training, by calls of `train_step`; as many together as are asked for."""

    at_once = STEPS_AT_ONCE

    def __init__(self, setting: Setting, state: TrainingState):
        self.state, self.batches = state, setting.batches(state)

    def advance(self, steps: int = 1) -> None:
        for _ in range(steps):
            images, labels, _ = self.batches.next()
            train_step(self.state, images, labels, TOTAL)


def replayed_steps(setting: Setting, state: TrainingState, said: list[str]) -> CapturedSteps:
    """The same as CUDA graphs, and on other devices by the same path without them."""
    on_gpu = setting.device.type == "cuda"
    recorder = CudaRecorder(setting.device, state.noise.generator) if on_gpu else CallRecorder()
    return CapturedSteps(setting.batches(state), TOTAL, recorder, said.append)


def train(setting: Setting, state: TrainingState, steps: int) -> None:
    """So many more steps of a state, on the batches of its steps."""
    PlainSteps(setting, state).advance(steps)


def replay(setting: Setting, state: TrainingState, steps: int, said: list[str]) -> None:
    """The same as CUDA graphs."""
    captured, end = replayed_steps(setting, state, said), state.step + steps
    while state.step < end:
        captured.advance(min(captured.at_once, end - state.step))
    captured.close()


@contextlib.contextmanager
def rates_on_the_device() -> Iterator[None]:
    """Within, optimisers are made as those of recorded steps are, also where there is no GPU."""
    with mock.patch("gan_core.training.optimizers.graphs_wanted", lambda device: True):
        yield


@torch.no_grad()
def distance(one: TrainingState, other: TrainingState, start: TrainingState) -> float:
    """How far apart the weights of two trainings are, as a share of the way that the second one came."""
    off = way = 0.0
    for network in ("generator", "discriminator"):
        weights = [list(getattr(state, network).parameters()) for state in (one, other, start)]
        for a, b, c in zip(*weights, strict=True):
            off += float((a - b).double().square().sum())
            way += float((b - c).double().square().sum())
    return (off / way) ** 0.5


# --- the checks -------------------------------------------------------------------------------------------


def tests(setting: Setting) -> Iterator[Line]:
    if setting.device.type != "cuda":
        raise LeftOut("there is no GPU")
    files = [str(path) for path in sorted(ROOT.glob("tests/**/test_*.py")) if "mark.gpu" in path.read_text()]
    command = [sys.executable, "-m", "pytest", "-m", "gpu", *files]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TESTS_SECONDS)
    if "No module named pytest" in ran.stderr:
        raise LeftOut("pytest is not installed")
    if ran.returncode:
        raise AssertionError((ran.stdout + ran.stderr)[-3000:])
    yield ran.stdout.strip().splitlines()[-1]


@contextlib.contextmanager
def by_deterministic_kernels(setting: Setting) -> Iterator[None]:
    """Within, what differs between two runs was computed from other values, not in another order."""
    with mock.patch.dict(os.environ, {DETERMINISTIC: "1"}), training_policy(setting.device).applied():
        yield


def graphs(setting: Setting) -> Iterator[Line]:
    on_gpu = setting.device.type == "cuda"
    # RMSProp on a CPU does not take its rate from a tensor.
    for kind in KINDS if on_gpu else [kind for kind in KINDS if kind != "WGAN"]:
        experiment, said = setting.experiment(kind), []
        with contextlib.nullcontext() if on_gpu else rates_on_the_device():
            start, plain, replayed = (setting.state(experiment) for _ in range(3))
        if on_gpu and not may_capture(replayed):
            raise LeftOut("GAN_CUDA_GRAPHS is 0")
        steps = (WARM_UP + 2 * CHECKS) * experiment.n_critic + setting.steps
        with by_deterministic_kernels(setting):
            train(setting, plain, steps)
            replay(setting, replayed, steps, said)
        assert not said, f"{kind}: {said[0]}"
        yield f"{kind}: {steps} steps, {_same_within(0.1, kind, replayed, plain, start)}"


def resume(setting: Setting) -> Iterator[Line]:
    for kind in KINDS:
        experiment = setting.experiment(kind)
        start, whole, first, second = (setting.state(experiment) for _ in range(4))
        half = setting.steps // 2
        with by_deterministic_kernels(setting):
            train(setting, whole, 2 * half)
            train(setting, first, half)
            second.load_state_dict(first.frozen())
            train(setting, second, half)
        yield f"{kind}: {_same_within(0.05, kind, second, whole, start)}"


def _same_within(
    bound: float, kind: str, one: TrainingState, other: TrainingState, start: TrainingState
) -> str:
    off = distance(one, other, start)
    assert off < bound, f"{kind}: the weights are {off:.2g} of their way apart"
    return "the same weights" if off == 0 else f"weights {off:.2g} of their way apart"


def bf16(setting: Setting) -> Iterator[Line]:
    if setting.device.type != "cuda":
        raise LeftOut("bfloat16 on CPUs has benchmarks of its own")
    for kind in KINDS:
        means = {}
        for precision in ("fp32", "bf16"):
            state = setting.state(setting.experiment(kind, precision=precision))
            train(setting, state, setting.steps)
            assert not state.not_finite(), f"{kind}: not finite in {precision}"
            means[precision] = state.meter.means()
        losses = ", ".join(
            f"{name} {means['fp32'][name]:.3f} and {means['bf16'][name]:.3f}" for name in ("d_loss", "g_loss")
        )
        yield f"{kind}: mean losses of {setting.steps} steps in fp32 and bf16: {losses}"


def ranks(setting: Setting) -> Iterator[Line]:
    yield _two_processes(setting, "gloo")
    if setting.device.type == "cuda" and torch.cuda.device_count() > 1:
        yield _two_processes(setting, "cpu:gloo,cuda:nccl")


def _two_processes(setting: Setting, backend: str) -> Line:
    kind, steps = "DCGAN", min(setting.steps, 20)
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(be_rank, (setting, kind, steps, folder, backend), nprocs=2)
        together = torch.load(Path(folder, "weights.pt"), weights_only=True, map_location=setting.device)
    experiment = setting.experiment(kind)
    start, alone, both = (setting.state(experiment) for _ in range(3))
    with MEASURING.applied():  # as the two: what is left is the order in which they add
        train(setting, alone, steps)
    both.generator.load_state_dict(together["generator"])
    both.discriminator.load_state_dict(together["discriminator"])
    off = distance(both, alone, start)
    assert off < 0.2, f"two processes come to other weights than one: {off:.2g} of the way apart"
    return f"{kind}, {backend}: {steps} steps by two processes and by one, {off:.2g} of the way apart"


def be_rank(rank: int, setting: Setting, kind: str, steps: int, folder: str, backend: str) -> None:
    """One of two processes: its half of each batch, through NCCL by a GPU of its own and as graphs."""
    if "nccl" in backend:
        setting = replace(setting, device=torch.device("cuda", rank))
        torch.cuda.set_device(setting.device)
    store = distributed.FileStore(f"{folder}/meeting-place", 2)
    distributed.init_process_group(backend, store=store, rank=rank, world_size=2)
    here, said = Ranks(rank, 2), []
    state = setting.state(setting.experiment(kind), here)
    with MEASURING.applied():
        if may_capture(state):
            replay(setting, state, steps, said)
        else:
            train(setting, state, steps)
    assert not said, said[0]
    if here.is_first:
        networks = {"generator": state.generator, "discriminator": state.discriminator}
        torch.save({name: module.state_dict() for name, module in networks.items()}, f"{folder}/weights.pt")
    distributed.destroy_process_group()


def estimate(setting: Setting) -> Iterator[Line]:
    """The step of 64 images of 32x32, or the smallest: what it is made of, and what that allows."""
    columns = ("GAN", "precision", "kernels a step", "GFLOP a step", "host's own ms a step")
    columns += ("plain, images/s", "graphs, images/s", "arithmetic alone, images/s")
    yield from ("", _row(columns), "|---" * len(columns) + "|")
    for kind in ("DCGAN", "WGAN-GP", "ACGAN"):
        with rates_on_the_device():  # they are so on a GPU
            steps = PlainSteps(setting, setting.state(setting.experiment(kind)))
        rounds = steps.state.experiment.n_critic
        steps.advance(rounds)
        host, images = _host_seconds(kind, setting.host_rounds), setting.batch_sizes[0] * rounds
        for precision in ("fp32", "bf16"):
            counted = _counted(steps, precision)
            of_round = (counted.kernels, counted.operations / 1e9, host * 1e3)
            cells = [f"{number / rounds:,.1f}" for number in of_round]
            yield _row((kind, precision, *cells, *_bounds(counted, host, images)))


COLUMNS = (
    "GAN",
    "precision",
    "width",
    "batch",
    "plain, images/s",
    "at most",
    "graphs, images/s",
    "at most",
    "kernels a step",
    "counted",
    "their own ms a step",
    "arithmetic alone, images/s",
)


def speed(setting: Setting) -> Iterator[Line]:
    yield from ("", _row(COLUMNS), "|---" * len(COLUMNS) + "|")
    precisions = ("fp32", "bf16") if setting.device.type == "cuda" else ("fp32",)
    for kind in ("DCGAN", "WGAN-GP", "ACGAN"):
        for precision in precisions:
            for width in setting.widths:
                for batch_size in setting.batch_sizes:
                    yield _speed_of(setting, kind, precision, width, batch_size)


def _speed_of(setting: Setting, kind: str, precision: str, width: int, batch_size: int) -> Line:
    experiment = setting.experiment(
        kind, precision=precision, architecture={"width": width}, batch_size=batch_size
    )
    state = setting.state(experiment)
    plain = PlainSteps(setting, state)
    rate, (launched, of_kernels) = _rate(setting, plain), _kernels(setting, plain)
    counted = _counted(plain, state.precision)
    images = batch_size * experiment.n_critic
    of_host, of_graphs, of_arithmetic = _bounds(counted, _host_seconds(kind, setting.host_rounds), images)
    replayed = _rate_of_graphs(setting, experiment)
    kernels = f"{counted.kernels / experiment.n_critic:,.0f}"
    cells = (kind, precision, width, batch_size, f"{rate:,.0f}", of_host, replayed, of_graphs)
    return _row((*cells, launched, kernels, of_kernels, of_arithmetic))


def _bounds(counted: Counted, host: float, images: int) -> list[str]:
    """Images a second by the host's time, by the graphs' and by the arithmetic alone."""
    bounds = (counted.seconds_of_host(host), counted.seconds_of_graphs, counted.seconds_of_arithmetic)
    return [f"{images / seconds:,.0f}" for seconds in bounds]


@functools.cache
def _host_seconds(kind: str, rounds: int) -> float:
    """What the host needs for a round of updates of D, but for the launches: taken of the smallest networks,
    on its own processor."""
    smallest = Setting(torch.device("cpu"), smoke=True)
    steps = PlainSteps(smallest, smallest.state(smallest.experiment(kind)))
    n_critic = steps.state.experiment.n_critic
    steps.advance(n_critic)
    return host_seconds(lambda: steps.advance(n_critic), rounds)


def _row(cells: tuple) -> Line:
    return f"| {' | '.join(map(str, cells))} |"


def _rate_of_graphs(setting: Setting, experiment: Experiment) -> str:
    state, said = setting.state(experiment), []
    if not may_capture(state):
        return "–"
    captured = replayed_steps(setting, state, said)
    rate = _rate(setting, captured)
    captured.close()
    return f"given up: {said[0]}" if said else f"{rate:,.0f}"


def _rate(setting: Setting, steps: PlainSteps | CapturedSteps) -> float:
    """Images a second into D, after the first rounds."""
    experiment = steps.state.experiment
    for _ in range(1 if setting.smoke else (WARM_UP + 2 * CHECKS) * experiment.n_critic):
        steps.advance()
    _wait(setting.device)
    began, before = time.perf_counter(), steps.state.images_seen
    while time.perf_counter() - began < setting.seconds:
        steps.advance(1 if setting.smoke else steps.at_once)
        _wait(setting.device)  # else the host runs ahead of the clock
    return (steps.state.images_seen - before) / (time.perf_counter() - began)


def _kernels(setting: Setting, steps: PlainSteps) -> tuple[str, str]:
    """Kernels that a step launches and the milliseconds that they take, one after the other: means over a
    round of updates of D, known of a GPU only."""
    if setting.device.type != "cuda":
        return "–", "–"
    rounds = steps.state.experiment.n_critic
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        steps.advance(rounds)
        _wait(setting.device)
    kernels = [event for event in profile.events() if event.device_type == torch.autograd.DeviceType.CUDA]
    milliseconds = sum(event.device_time_total for event in kernels) / 1e3
    return f"{len(kernels) / rounds:,.0f}", f"{milliseconds / rounds:.3f}"


def _counted(steps: PlainSteps, precision: str) -> Counted:
    """What a round of updates of D is made of, at the rates of this precision."""
    return count(lambda: steps.advance(steps.state.experiment.n_critic), precision)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


CHECKED = {check.__name__: check for check in (tests, graphs, resume, bf16, ranks, estimate, speed)}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default=str(default_device()))
    parser.add_argument("--name", help="of the GPU, for the file")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    parser.add_argument("--only", nargs="+", choices=list(CHECKED), default=list(CHECKED))
    parser.add_argument("--smoke", action="store_true", help="everything at its smallest")
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 64], help="of the networks whose speed")
    parser.add_argument("--seconds", type=float, help="measure each speed for so long (3)")
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here that torch finds: try --device cpu --smoke")
    seconds = options.seconds or (0.05 if options.smoke else 3.0)
    setting = Setting(device, options.smoke, seconds, (4,) if options.smoke else tuple(options.widths))
    where = describe_device(device)
    name = options.name or re.sub(r"[^a-z0-9]+", "-", where.lower()).strip("-")
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / f"gpu-{name}.md").open("w") as file:

        def write(*lines: Line) -> None:
            for line in lines:
                for to in (file, sys.stdout):  # at once: what was found outlasts a run that is stopped
                    print(line, file=to, flush=True)

        write(
            f"# {where}", "", f"torch {torch.__version__}, CUDA {torch.version.cuda}, by `{__spec__.name}`."
        )
        return int("failed" in [_make(check, setting, write) for check in options.only])


def _make(name: str, setting: Setting, write: Callable[..., None]) -> str:
    """Make a check, writing what it finds as it comes; how it ended."""
    began, result = time.perf_counter(), "passed"
    write("", f"## {name}", "")
    try:
        with training_policy(setting.device).applied():
            for line in CHECKED[name](setting):
                write(line if line.startswith("|") or not line else f"- {line}")
    except LeftOut as reason:
        result = "left out"
        write(str(reason))
    except Exception:
        result = "failed"
        write("```", traceback.format_exc().strip(), "```")
    write("", f"{result} ({time.perf_counter() - began:.0f} s)")
    return result


if __name__ == "__main__":
    sys.exit(main())
