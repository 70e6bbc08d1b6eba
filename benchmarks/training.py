"""Real images a second into D: this engine beside what a user would write instead, in one run.

    python -m benchmarks.training [--device cuda] [--seconds 60] [--batches 32 64 128] [--out FOLDER]

For DCGAN, WGAN-GP and ACGAN at 32 and 64 pixels and several batch sizes, all with the networks of `gan_core`
and the same optimisers:

- `engine`: `gan_core.training.engine.Engine` with what it does at every step of a run: the lease, the rows of
  losses every 100 steps, the guards, TensorBoard. Samples, evaluations and checkpoints come every so many
  images and are left out. On a GPU as CUDA graphs, unless GAN_CUDA_GRAPHS is 0.
- `example`: the loop of PyTorch's DCGAN example, written in the obvious way: a DataLoader over images in
  memory with torchvision's transforms, as for its CIFAR-10, and the losses read every step; with two workers
  (its default) and with none, and the faster of both counts.
- `bare`: the least that trains: one float tensor in memory, channels last, fused Adam, nothing recorded.
- `limit`: the floating point operations of a step as `torch.utils.flop_counter` counts them, over those
  a second that a large matrix product reaches on this machine.

The arms take turns for many short rounds, and each ratio is the median of the rounds' ratios, with the
middle half of them as its spread: what slows the machine for a while slows all arms of a round alike. Writes
training.csv and training.png.
"""

import argparse
import contextlib
import csv
import functools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import flop_registry

from gan_core.config import Experiment
from gan_core.data.epoch_order import EpochOrder
from gan_core.data.feed import ResidentFeed
from gan_core.devices import default_device, describe_device
from gan_core.store import Store
from gan_core.store.lease import Lease
from gan_core.training.checkpoints import Checkpoints
from gan_core.training.engine import Engine
from gan_core.training.optimizers import graphs_wanted
from gan_core.training.records.listeners import Listeners
from gan_core.training.records.tensorboard import TensorBoardLog, tensorboard_folder
from gan_core.training.state import TrainingState
from gan_core.training.step import update_networks

CLASSES = 10
IMAGES = 50_000  # as many as CIFAR-10 has: the workers start anew at every epoch
LEAST_ROUNDS = 5
SLICE = 1.0  # seconds of one arm in one round, or one round of critic steps where that takes longer
MODELS = {
    "DCGAN": {},
    "WGAN-GP": {"objective": {"name": "wasserstein", "gradient_penalty": 10}, "n_critic": 5},
    "ACGAN": {"conditioning": {"name": "acgan"}},
}


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    model: str
    side: int
    batch_size: int
    width: int
    device: torch.device
    precision: str

    def experiment(self) -> Experiment:
        return Experiment.model_validate(
            {
                "name": f"{self.model}-{self.side}-{self.batch_size}".lower(),
                "dataset": "noise",
                "architecture": {"width": self.width},
                "batch_size": self.batch_size,
                "length": {"images": 10**12},
                "precision": self.precision,
                "checkpoint_every": 10**12,
                "sample_every": 10**12,
                "evaluate_every": 10**12,
                **MODELS[self.model],
            }
        )

    def state(self) -> TrainingState:
        return TrainingState(
            self.experiment(), channels=3, image_size=self.side, n_classes=CLASSES, device=self.device
        )


Arm = Iterator[int]  # yields the images of each step that it has made


# --- the arms ---------------------------------------------------------------------------------------------


def engine_arm(case: Case, images: Tensor, labels: Tensor) -> Arm:
    """What `Engine.run` does, a step at a time."""
    state = case.state()
    order = EpochOrder([IMAGES], IMAGES, 0)
    feed = ResidentFeed(images.to(case.device), labels.to(case.device), order)
    store = Store(tempfile.mkdtemp())
    run = store, "trained_gan", "benchmark", "0" * 64, lambda line: None
    board = TensorBoardLog(tensorboard_folder(store, "benchmark", "0" * 64), 0)
    with contextlib.closing(board), Lease(*run) as lease:
        engine = Engine(
            state, feed, 10**12, Checkpoints(*run), Listeners(run[-1]), board=board, still_ours=lease.check
        )
        engine.begin(lambda call: call())
        while True:
            before = state.images_seen
            engine.step()
            yield state.images_seen - before


def bare_arm(case: Case, images: Tensor, labels: Tensor) -> Arm:
    """Nothing but the two updates, over one tensor that is ready to use."""
    state, experiment = case.state(), case.experiment()
    real = (images.to(case.device).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
    labels = labels.to(case.device)
    yield from _loop(
        case, experiment, state.generator, state.discriminator, _forever(real, labels, case.batch_size), True
    )


def example_arm(case: Case, images: Tensor, labels: Tensor, workers: int = 2) -> Arm:
    """PyTorch's example: contiguous tensors, a DataLoader, unfused Adam, `.item()` after every step."""
    state, experiment = case.state(), case.experiment()
    generator = state.generator.to(memory_format=torch.contiguous_format)
    discriminator = state.discriminator.to(memory_format=torch.contiguous_format)
    loader = DataLoader(
        Pictures(images, labels),
        batch_size=case.batch_size,
        shuffle=True,
        num_workers=workers,
        drop_last=True,
    )

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            for real, of_class in loader:
                yield real.to(case.device), of_class.to(case.device)

    yield from _loop(case, experiment, generator, discriminator, batches(), False)


class Pictures(Dataset):
    """uint8 images as torchvision's CIFAR10 holds them, through the example's transforms."""

    def __init__(self, images: Tensor, labels: Tensor):
        self.images, self.labels = images.permute(0, 2, 3, 1).numpy(), labels.tolist()
        side = images.shape[-1]
        self.transform = torchvision.transforms.Compose(
            [
                torchvision.transforms.Resize(side),
                torchvision.transforms.ToTensor(),
                torchvision.transforms.Normalize((0.5,) * 3, (0.5,) * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def _loop(
    case: Case,
    experiment: Experiment,
    generator: nn.Module,
    discriminator: nn.Module,
    batches: Iterator[tuple[Tensor, Tensor]],
    lean: bool,
) -> Arm:
    """The three GANs as their papers' pseudocode says; `lean`: fused, and no loss is read back."""
    adam = {"lr": 2e-4, "betas": (0.5, 0.999)} | ({"fused": True} if lean else {})
    d_optimizer = torch.optim.Adam(discriminator.parameters(), **adam)
    g_optimizer = torch.optim.Adam(generator.parameters(), **adam)
    bce, cross_entropy = nn.BCEWithLogitsLoss(), nn.CrossEntropyLoss()
    half = functools.partial(
        torch.autocast, case.device.type, torch.bfloat16, enabled=experiment.precision == "bf16"
    )
    wasserstein, conditional = experiment.objective.name == "wasserstein", experiment.conditional
    for step, (real, labels) in enumerate(batches, start=1):
        count = len(real)
        ones, zeros = torch.ones(count, device=case.device), torch.zeros(count, device=case.device)
        z = torch.randn(count, experiment.latent.size, device=case.device)
        fake_labels = torch.randint(CLASSES, (count,), device=case.device) if conditional else None
        updates_generator = step % experiment.n_critic == 0
        with torch.set_grad_enabled(updates_generator or not lean), half():
            fake = generator(z, fake_labels)

        d_optimizer.zero_grad()
        with half():
            of_real, of_fake = discriminator(real), discriminator(fake.detach())
        if wasserstein:
            between = torch.rand(count, 1, 1, 1, device=case.device)
            points = (between * real + (1 - between) * fake.detach()).requires_grad_()
            gradient = torch.autograd.grad(discriminator(points).score.sum(), points, create_graph=True)[0]
            penalty = ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
            d_loss = of_fake.score.mean() - of_real.score.mean() + 10 * penalty
        else:
            d_loss = bce(of_real.score, ones) + bce(of_fake.score, zeros)
        if conditional:
            d_loss = d_loss + cross_entropy(of_real.class_logits, labels)
        d_loss.backward()
        d_optimizer.step()

        if updates_generator:
            g_optimizer.zero_grad()
            with half():
                output = discriminator(fake)
            g_loss = -output.score.mean() if wasserstein else bce(output.score, ones)
            if conditional:
                g_loss = g_loss + cross_entropy(output.class_logits, fake_labels)
            g_loss.backward(inputs=list(generator.parameters()) if lean else None)
            g_optimizer.step()
            if not lean:
                g_loss.item()
        if not lean:
            d_loss.item()
        yield count


def _forever(real: Tensor, labels: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        order = torch.randperm(len(real), device=real.device)
        for numbers in order.split(size):
            if len(numbers) == size:
                yield real[numbers], labels[numbers]


ARMS: dict[str, Callable[[Case, Tensor, Tensor], Arm]] = {
    "engine": engine_arm,
    "example_workers": example_arm,
    "example_alone": functools.partial(example_arm, workers=0),
    "bare": bare_arm,
}


# --- measuring --------------------------------------------------------------------------------------------


def measure(case: Case, seconds: float) -> tuple[dict[str, float], dict[str, list[float]]]:
    """The images a second of each arm (median), and the engine's ratio to each other arm in every round.

    Rounds of all arms, for about so many seconds.
    """
    numbers = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, 3, case.side, case.side), generator=numbers, dtype=torch.uint8)
    labels = torch.randint(CLASSES, (IMAGES,), generator=numbers)
    arms = {name: arm(case, images, labels) for name, arm in ARMS.items()}
    for arm in arms.values():
        _run(case, arm, SLICE)  # kernels are chosen, workers start
    rounds: list[dict[str, float]] = []
    began = time.perf_counter()
    while len(rounds) < LEAST_ROUNDS or time.perf_counter() - began < seconds:
        rounds.append({name: _run(case, arm, SLICE) for name, arm in arms.items()})
    for arm in arms.values():
        arm.close()
    medians = {name: statistics.median(rates[name] for rates in rounds) for name in arms}
    ratios = {name: [rates["engine"] / rates[name] for rates in rounds] for name in arms if name != "engine"}
    return medians, ratios


def _summary(ratios: list[float]) -> tuple[float, str]:
    """The median, and the middle half."""
    low, median, high = np.percentile(ratios, [25, 50, 75])
    return round(float(median), 2), f"{low:.2f}-{high:.2f}"


def _run(case: Case, arm: Arm, seconds: float) -> float:
    """Whole rounds of critic and generator steps for about so many seconds; images a second."""
    n_critic, images = case.experiment().n_critic, 0
    _wait(case.device)
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        images += sum(next(arm) for _ in range(n_critic))
    _wait(case.device)
    return images / (time.perf_counter() - began)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Operations(TorchDispatchMode):
    """Counts as torch's FlopCounterMode does, whose module hooks do not bear the gradient of a gradient."""

    def __init__(self):
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        count = flop_registry.get(function._overloadpacket)
        if count:
            self.total += count(*args, **(kwargs or {}), out_val=result)
        return result


def arithmetic_limit(case: Case, operations_a_second: float) -> float:
    """Images a second if nothing but the convolutions and matrix products took time."""
    state, n_critic = case.state(), case.experiment().n_critic
    images = torch.zeros((case.batch_size, 3, case.side, case.side), dtype=torch.uint8, device=case.device)
    labels = torch.zeros(case.batch_size, dtype=torch.int64, device=case.device)
    with Operations() as counter:
        for step in range(n_critic):
            update_networks(state, images, labels, step == n_critic - 1)
    return case.batch_size * n_critic * operations_a_second / counter.total


def fastest_product(device: torch.device, precision: str) -> float:
    """Floating point operations a second of a square matrix product, the best of many."""
    side = 2048 if device.type == "cpu" else 8192
    torch.backends.cuda.matmul.allow_tf32 = True  # as torch lets convolutions do
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = 0.0
    for _ in range(20):
        _wait(device)
        began = time.perf_counter()
        a @ b
        _wait(device)
        best = max(best, 2 * side**3 / (time.perf_counter() - began))
    return best


def plot(rows: list[dict], title: str, path: Path) -> None:
    """A panel a model and size: images a second over the batch size, one line an arm."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = sorted(
        {(row["model"], row["pixels"]) for row in rows}, key=lambda p: (p[1], list(MODELS).index(p[0]))
    )
    columns = len(MODELS)
    lines = -(-len(panels) // columns)
    figure, axes = pyplot.subplots(lines, columns, figsize=(4 * columns, 3 * lines), squeeze=False)
    for axis, (model, side) in zip(axes.flat, panels, strict=False):
        chosen = [row for row in rows if (row["model"], row["pixels"]) == (model, side)]
        styles = {
            "engine": "o-",
            "bare": "s--",
            "example_workers": "^:",
            "example_alone": "v:",
            "limit": "k-.",
        }
        for name, style in styles.items():
            axis.plot([row["batch_size"] for row in chosen], [row[name] for row in chosen], style, label=name)
        axis.set(title=f"{model}, {side} pixels", xlabel="batch size", ylabel="images/s", yscale="log")
        axis.yaxis.set_major_formatter("{x:,.0f}")
        axis.yaxis.set_minor_formatter("{x:,.0f}")
        axis.set_xticks([row["batch_size"] for row in chosen], [str(row["batch_size"]) for row in chosen])
        axis.grid(True, which="both", alpha=0.2)
    axes.flat[0].legend(fontsize=8)
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default=str(default_device()))
    parser.add_argument("--seconds", type=float, default=60.0, help="of each case")
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    device = torch.device(options.device)
    operations = fastest_product(device, options.precision)
    graphs = ", CUDA graphs" if graphs_wanted(device) else ""
    where = f"{describe_device(device)}, torch {torch.__version__}, {options.precision}{graphs}"
    print(f"{where}; a matrix product reaches {operations / 1e9:,.0f} GFLOP/s")
    rows = []
    for side in options.sizes:
        for model in options.models:
            for batch_size in options.batches:
                case = Case(model, side, batch_size, options.width, device, options.precision)
                rates, ratios = measure(case, options.seconds)
                # The faster of the two examples counts.
                example = min(
                    ("example_workers", "example_alone"), key=lambda n: statistics.median(ratios[n])
                )
                to_example, to_bare = _summary(ratios[example]), _summary(ratios["bare"])
                row = {
                    "model": model,
                    "pixels": side,
                    "batch_size": batch_size,
                    **{name: round(rate, 1) for name, rate in rates.items()},
                    "limit": round(arithmetic_limit(case, operations), 1),
                    "rounds": len(ratios["bare"]),
                    "engine/example": to_example[0],
                    "its middle half": to_example[1],
                    "engine/bare": to_bare[0],
                    "middle half": to_bare[1],
                }
                rows.append(row)
                print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    with open(options.out / "training.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    plot(rows, where, options.out / "training.png")
    spread = np.array([[row["engine/example"], row["engine/bare"]] for row in rows])
    print(f"least engine/example {spread[:, 0].min()}, least engine/bare {spread[:, 1].min()}")


if __name__ == "__main__":
    main()
