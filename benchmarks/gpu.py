"""What holds on a GPU, in one command of at most 20 minutes; `make gpu` runs it.

    python -m benchmarks.gpu [--device cuda] [--name NAME] [--out FOLDER] [--smoke]

Needs PyTorch 2.11 and what `gan_core` itself imports, neither Dagster nor webdataset. Writes gpu-NAME.md with
the result of each check, and goes on where one fails; the exit status is 1 then:

- `tests`: those of the suite that need a GPU (`-m gpu`), where pytest is installed;
- `graphs`: steps as CUDA graphs against plain steps, of four kinds of GAN;
- `resume`: a run that is saved and loaded in the middle against one that is not, by deterministic kernels;
- `bf16`: a run in bfloat16 against the same in fp32;
- `ranks`: two processes through gloo on the one device against one process with the whole batch;
- `speed`: images a second with graphs and without, and the kernels that a step launches (torch.profiler).

`--device cpu --smoke` is the dry run: everything at its smallest, and what needs a GPU is left out by name.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as distributed
from torch import Tensor

from gan_core.config import Experiment
from gan_core.devices import default_device, describe_device
from gan_core.numerics import DETERMINISTIC, MEASURING, training_policy
from gan_core.training.cuda_graphs import CHECKS, WARM_UP, CapturedStep, CudaRecorder, may_capture
from gan_core.training.processes.ranks import Ranks
from gan_core.training.state import TrainingState
from gan_core.training.step import train_step

ROOT = Path(__file__).resolve().parents[1]
CLASSES, TOTAL = 10, 10**9
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
LAUNCH_SECONDS = 5e-6  # what a launch by PyTorch costs the host, for the estimate beside the speeds
Line = str


class LeftOut(Exception):
    """Why a check cannot be made here."""


@dataclass(frozen=True)
class Setting:
    """Where the checks run, and how large they are: the smallest for a dry run."""

    device: torch.device
    smoke: bool

    @property
    def side(self) -> int:
        return 16 if self.smoke else 32

    @property
    def steps(self) -> int:
        return 4 if self.smoke else 100

    @property
    def batches(self) -> tuple[int, ...]:
        return (4,) if self.smoke else (64, 128, 512)

    @property
    def widths(self) -> tuple[int, ...]:
        return (4,) if self.smoke else (32, 64)

    @property
    def seconds(self) -> float:
        return 0.05 if self.smoke else 3.0

    def experiment(self, kind: str, **values) -> Experiment:
        base = {
            "name": "gpu",
            "dataset": "noise",
            "architecture": {"width": self.widths[-1]},
            "batch_size": self.batches[0],
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

    def batch(self, step: int, size: int) -> tuple[Tensor, Tensor]:
        """The same for the same step: uint8 images of few levels, so that there is something to learn."""
        numbers = torch.Generator().manual_seed(step)
        labels = torch.randint(CLASSES, (size,), generator=numbers)
        images = torch.randint(0, 40, (size, 3, self.side, self.side), generator=numbers)
        images = (images + 20 * labels.view(-1, 1, 1, 1)).to(torch.uint8)
        return images.to(self.device), labels.to(self.device)


def train(setting: Setting, state: TrainingState, steps: int, step=train_step) -> None:
    """So many more steps of a state, on the batches of its steps."""
    experiment = state.experiment
    for number in range(state.step, state.step + steps):
        images, labels = setting.batch(number, experiment.batch_size)
        step(state, images, labels if experiment.conditional else None, TOTAL)


def replaying(state: TrainingState, said: list[str]) -> Callable:
    """A step like `train_step`, as CUDA graphs."""
    captured = CapturedStep(state, CudaRecorder(state.device), said.append)
    return lambda _, images, labels, total: captured(images, labels, total, plain=False)


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


def tests(setting: Setting) -> list[Line]:
    if setting.device.type != "cuda":
        raise LeftOut("there is no GPU")
    files = [str(path) for path in sorted(ROOT.glob("tests/**/test_*.py")) if "mark.gpu" in path.read_text()]
    command = [sys.executable, "-m", "pytest", "-m", "gpu", *files]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TESTS_SECONDS)
    if "No module named pytest" in ran.stderr:
        raise LeftOut("pytest is not installed")
    if ran.returncode:
        raise AssertionError((ran.stdout + ran.stderr)[-3000:])
    return [ran.stdout.strip().splitlines()[-1]]


def graphs(setting: Setting) -> list[Line]:
    if setting.device.type != "cuda":
        raise LeftOut("there is no GPU")
    lines = []
    for kind in KINDS:
        experiment, said = setting.experiment(kind), []
        start, plain, replayed = (setting.state(experiment) for _ in range(3))
        if not may_capture(replayed):
            raise LeftOut("GAN_CUDA_GRAPHS is 0")
        steps = (WARM_UP + 2 * CHECKS) * experiment.n_critic + setting.steps
        train(setting, plain, steps)
        train(setting, replayed, steps, replaying(replayed, said))
        assert not said, f"{kind}: {said[0]}"
        lines.append(
            f"{kind}: {steps} steps, weights {distance(replayed, plain, start):.2g} of their way apart"
        )
    return lines


def resume(setting: Setting) -> list[Line]:
    before = os.environ.get(DETERMINISTIC)
    os.environ[DETERMINISTIC] = "1"
    try:
        with training_policy(setting.device).applied():
            lines = []
            for kind in KINDS:
                experiment = setting.experiment(kind)
                start, whole, first, second = (setting.state(experiment) for _ in range(4))
                half = setting.steps // 2
                train(setting, whole, 2 * half)
                train(setting, first, half)
                second.load_state_dict(first.frozen())
                train(setting, second, half)
                off = distance(second, whole, start)
                assert off < 0.05, f"{kind}: the weights are {off:.2g} of their way apart"
                lines.append(
                    f"{kind}: " + ("the same weights" if off == 0 else f"{off:.2g} of the way apart")
                )
            return lines
    finally:
        os.environ.pop(DETERMINISTIC) if before is None else os.environ.update({DETERMINISTIC: before})


def bf16(setting: Setting) -> list[Line]:
    if setting.device.type != "cuda":
        raise LeftOut("bfloat16 on CPUs has benchmarks of its own")
    lines = []
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
        lines.append(f"{kind}: mean losses of {setting.steps} steps in fp32 and bf16: {losses}")
    return lines


def ranks(setting: Setting) -> list[Line]:
    kind, steps = "DCGAN", min(setting.steps, 20)
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(be_rank, (setting, kind, steps, folder), nprocs=2)
        together = torch.load(Path(folder, "weights.pt"), weights_only=True, map_location=setting.device)
    experiment = setting.experiment(kind)
    start, alone, both = (setting.state(experiment) for _ in range(3))
    with MEASURING.applied():  # as the two: what is left is the order in which they add
        train(setting, alone, steps)
    both.generator.load_state_dict(together["generator"])
    both.discriminator.load_state_dict(together["discriminator"])
    off = distance(both, alone, start)
    assert off < 0.2, f"two processes come to other weights than one: {off:.2g} of the way apart"
    return [f"{kind}: {steps} steps by two processes and by one, {off:.2g} of the way apart"]


def be_rank(rank: int, setting: Setting, kind: str, steps: int, folder: str) -> None:
    """One of two processes: its half of each batch."""
    store = distributed.FileStore(f"{folder}/meeting-place", 2)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    here = Ranks(rank, 2)
    state = setting.state(setting.experiment(kind), here)

    def share(state, images, labels, total):
        train_step(state, here.share(images), labels, total)

    with MEASURING.applied():
        train(setting, state, steps, share)
    if here.is_first:
        networks = {"generator": state.generator, "discriminator": state.discriminator}
        torch.save({name: module.state_dict() for name, module in networks.items()}, f"{folder}/weights.pt")
    distributed.destroy_process_group()


def speed(setting: Setting) -> list[Line]:
    columns = ("GAN", "precision", "width", "batch", "plain, images/s", "graphs, images/s", "kernels a step")
    estimate = f"images/s at {LAUNCH_SECONDS * 1e6:g} µs a kernel"
    lines = [f"| {' | '.join((*columns, estimate))} |", "|---" * 8 + "|"]
    precisions = ("fp32", "bf16") if setting.device.type == "cuda" else ("fp32",)
    for kind in ("DCGAN", "WGAN-GP", "ACGAN"):
        for precision in precisions:
            for width in setting.widths:
                for batch_size in setting.batches:
                    lines.append(_speed_of(setting, kind, precision, width, batch_size))
    return ["", *lines]


def _speed_of(setting: Setting, kind: str, precision: str, width: int, batch_size: int) -> Line:
    experiment = setting.experiment(
        kind, precision=precision, architecture={"width": width}, batch_size=batch_size
    )
    state = setting.state(experiment)
    rate, launched = _rate(setting, state, train_step), _kernels(setting, state)
    replayed = "–"
    if may_capture(state):
        said: list[str] = []
        state = setting.state(experiment)
        by_graphs = _rate(setting, state, replaying(state, said))
        replayed = f"given up: {said[0]}" if said else f"{by_graphs:,.0f}"
    bound = batch_size / (launched * LAUNCH_SECONDS)
    cells = (
        kind,
        precision,
        width,
        batch_size,
        f"{rate:,.0f}",
        replayed,
        f"{launched:,.0f}",
        f"{bound:,.0f}",
    )
    return f"| {' | '.join(map(str, cells))} |"


def _rate(setting: Setting, state: TrainingState, step: Callable) -> float:
    """Images a second into D, on one batch that lies on the device, after the first rounds."""
    experiment = state.experiment
    images, labels = setting.batch(0, experiment.batch_size)
    labels = labels if experiment.conditional else None
    for _ in range(1 if setting.smoke else (WARM_UP + 2 * CHECKS) * experiment.n_critic):
        step(state, images, labels, TOTAL)
    _wait(setting.device)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < setting.seconds:
        for _ in range(experiment.n_critic):
            step(state, images, labels, TOTAL)
            count += len(images)
    _wait(setting.device)
    return count / (time.perf_counter() - began)


def _kernels(setting: Setting, state: TrainingState) -> float:
    """Kernels that a step launches, as a mean over a round of updates of D; on a CPU, operators."""
    experiment, on_gpu = state.experiment, setting.device.type == "cuda"
    images, labels = setting.batch(0, experiment.batch_size)
    activity = torch.profiler.ProfilerActivity.CUDA if on_gpu else torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[activity]) as profile:
        for _ in range(experiment.n_critic):
            train_step(state, images, labels if experiment.conditional else None, TOTAL)
        _wait(setting.device)
    kind = torch.autograd.DeviceType.CUDA if on_gpu else torch.autograd.DeviceType.CPU
    return sum(event.device_type == kind for event in profile.events()) / experiment.n_critic


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


CHECKED = {check.__name__: check for check in (tests, graphs, resume, bf16, ranks, speed)}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default=str(default_device()))
    parser.add_argument("--name", help="of the GPU, for the file")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    parser.add_argument("--only", nargs="+", choices=list(CHECKED), default=list(CHECKED))
    parser.add_argument("--smoke", action="store_true", help="everything at its smallest")
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here that torch finds: try --device cpu --smoke")
    setting = Setting(device, options.smoke)
    where = describe_device(device)
    name = options.name or re.sub(r"[^a-z0-9]+", "-", where.lower()).strip("-")
    lines = [f"# {where}", "", f"torch {torch.__version__}, CUDA {torch.version.cuda}, by `{__spec__.name}`."]
    failed = False
    for check in options.only:
        began = time.perf_counter()
        result, found = _result(CHECKED[check], setting)
        failed |= result == "failed"
        lines += ["", f"## {check}: {result} ({time.perf_counter() - began:.0f} s)", "", *found]
        print("\n".join(lines[-len(found) - 3 :]), flush=True)
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / f"gpu-{name}.md").write_text("\n".join(lines) + "\n")
    return int(failed)


def _result(check: Callable[[Setting], list[Line]], setting: Setting) -> tuple[str, list[Line]]:
    try:
        with training_policy(setting.device).applied():
            found = check(setting)
        return "passed", [line if line.startswith("|") or not line else f"- {line}" for line in found]
    except LeftOut as reason:
        return "left out", [str(reason)]
    except Exception:
        return "failed", ["```", traceback.format_exc().strip(), "```"]


if __name__ == "__main__":
    sys.exit(main())
