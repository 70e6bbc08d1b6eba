"""What statistics and metrics cost, beside what a user would take instead: the same features, the same run.

    python -m benchmarks.evaluation [--samples 10000] [--dimensions 2048] [--repeats 3] [--only NAME ...]

Features are positive and correlated, as Inception's are. Each line is timed in turn, `--repeats` times, and
has the best time of each: seconds, how many times faster than the other, and how far the two values are
apart. Prints Markdown. `whole`: the metrics of the samples by a network of random weights, from images in
memory to figures, beside torch-fidelity asked for the same (ISC, FID, KID, PRC) by the same network; and
again with a second experiment's samples, which finds the reference made. Its values are apart relative to
themselves, or to 1. Beside other load, two threads wait for each other: OMP_NUM_THREADS=1 compares better
there.
"""

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from gan_core.evaluation.extraction import Accumulator, Part, extract_into
from gan_core.evaluation.metrics import (
    Comparison,
    ImageSet,
    chosen_metrics,
    compute_metrics,
    statistics_needed,
)
from gan_core.evaluation.metrics.kid import kernel_inception_distance
from gan_core.evaluation.metrics.neighbourhoods import neighbourhoods, real_balls
from gan_core.evaluation.statistics.moments import FrechetReference, Gaussian, Moments, frechet_distance
from gan_core.progress import Progress

BATCH = 64


def features(count: int, dimensions: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    """float32 (count, dimensions): rectified mixtures of fewer hidden variables, and a little noise."""
    numbers = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dimensions // 8, dimensions, generator=torch.Generator().manual_seed(99))
    hidden = torch.randn(count, len(mixing), generator=numbers) + shift
    noise = 0.3 * torch.randn(count, dimensions, generator=numbers)
    return (hidden @ mixing / len(mixing) ** 0.5 * 0.5 + noise).relu_()


def best(repeats: int, *works: Callable[[], object]) -> list[tuple[float, object]]:
    """The least seconds of each and its result; they take turns, so that load falls on all alike."""
    seconds, results = [float("inf")] * len(works), [None] * len(works)
    for _ in range(repeats):
        for number, work in enumerate(works):
            start = time.perf_counter()
            results[number] = work()
            seconds[number] = min(seconds[number], time.perf_counter() - start)
    return list(zip(seconds, results, strict=True))


def line(what: str, other: str, timed: list[tuple[float, object]], apart: Callable[..., float]) -> str:
    (ours, our_value), (theirs, their_value) = timed
    difference = f"{apart(our_value, their_value):.1e}"
    return f"| {what} | {ours:.2f} | {other} | {theirs:.2f} | {theirs / ours:.1f} | {difference} |"


def moments(x: torch.Tensor, repeats: int) -> Iterator[str]:
    from torch_fidelity.metric_fid import fid_features_to_statistics

    def ours() -> Gaussian:
        gathered = Moments()
        for part in x.split(BATCH):
            gathered.update(part)
        return gathered.gaussian()

    timed = best(repeats, ours, lambda: fid_features_to_statistics(x))
    yield line(
        f"moments of {len(x):,} in batches of {BATCH}",
        "torch-fidelity",
        timed,
        lambda a, b: np.abs(a.sigma - b["sigma"]).max(),
    )


def frechet(x: torch.Tensor, z: torch.Tensor, repeats: int) -> Iterator[str]:
    from pytorch_fid.fid_score import calculate_frechet_distance
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    of_x, of_z = (fid_features_to_statistics(side) for side in (x, z))
    generated, real = (Gaussian(side["mu"], side["sigma"], len(x)) for side in (of_x, of_z))
    reference = FrechetReference.of(real)

    def torch_fidelity() -> float:
        return fid_statistics_to_metric(of_x, of_z, verbose=False)["frechet_inception_distance"]

    def pytorch_fid() -> float:
        return calculate_frechet_distance(of_x["mu"], of_x["sigma"], of_z["mu"], of_z["sigma"])

    ours, *others = best(repeats, lambda: frechet_distance(reference, generated), torch_fidelity, pytorch_fid)
    for name, other in zip(("torch-fidelity", "pytorch-fid"), others, strict=True):
        yield line("Fréchet distance", name, [ours, other], lambda a, b: abs(a - b))


def kid(x: torch.Tensor, z: torch.Tensor, repeats: int) -> Iterator[str]:
    from torch_fidelity.metric_kid import kid_features_to_metric

    for count in sorted({min(2000, len(x)), len(x)}):
        a, b = x[:count], z[:count]

        def theirs(a=a, b=b) -> float:
            found = kid_features_to_metric(
                a, b, kid_subsets=100, kid_subset_size=1000, rng_seed=2020, verbose=False
            )
            return found["kernel_inception_distance_mean"]

        timed = best(repeats, lambda a=a, b=b: kernel_inception_distance(a, b)[0], theirs)
        yield line(
            f"KID of {count:,} and {count:,}", "torch-fidelity (float32)", timed, lambda a, b: abs(a - b)
        )


def prdc(x: torch.Tensor, z: torch.Tensor, repeats: int) -> Iterator[str]:
    from prdc import compute_prdc

    def ours() -> dict[str, float]:
        found = neighbourhoods(x, z, real_balls(z))
        return {
            "precision": (found.in_real > 0).mean(),
            "recall": (found.reached > 0).mean(),
            "density": found.in_real.mean() / 5,
            "coverage": (found.held > 0).mean(),
        }

    timed = best(repeats, ours, lambda: compute_prdc(z.numpy(), x.numpy(), nearest_k=5))
    yield line(
        f"PRDC and clipped, {len(x):,} against {len(z):,}",
        "prdc",
        timed,
        lambda a, b: max(abs(a[name] - b[name]) for name in a),
    )


# --- the whole evaluation ---------------------------------------------------------------------------------

# What torch-fidelity is asked for: ISC, FID, KID and PRC.
METRICS_OF_BOTH = ["fid", "kid", "is", "precision", "recall"]
CLASSES = 10


class RandomNetwork(nn.Module):
    """uint8 (B, 3, 32, 32) -> features (B, D) and logits (B, 10), by weights that a seed draws."""

    def __init__(self, dimensions: int):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(3, 32, 4, stride=2), nn.ReLU(), nn.Conv2d(32, 64, 4, stride=2), nn.ReLU(), nn.Flatten()
        )
        self.features = nn.Linear(64 * 6 * 6, dimensions)
        self.head = nn.Linear(dimensions, CLASSES)

    @torch.inference_mode()
    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.features(self.body(images.float() / 127.5 - 1)).relu()
        return features, 10 * self.head(features)


class Ours:
    """The library's one pass and its metrics, with the reference of the real images kept."""

    def __init__(self, network: RandomNetwork):
        self.network, self.reference = network, None
        self.metrics = chosen_metrics(METRICS_OF_BOTH)

    def extract(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.network(images)

    def measure(self, fake: torch.Tensor, real: torch.Tensor) -> dict[str, float]:
        of_real = statistics_needed(self.metrics.values(), real=True)
        if self.reference is None:
            self.reference = self._gather(real, of_real).prepared(of_real)
        generated = self._gather(fake, statistics_needed(self.metrics.values(), real=False))
        return compute_metrics(self.metrics, Comparison(generated, self.reference))

    def _gather(self, images: torch.Tensor, statistics: tuple) -> ImageSet:
        gathered = tuple(item for item in statistics if item.gather)
        accumulator = Accumulator(gathered, len(images), classes=True)
        batches = ((part, None) for part in images.split(BATCH))
        progress = Progress("features", len(images), emit=lambda text: None)
        extract_into([Part(accumulator)], self, batches, progress)
        return accumulator.finish()


class Images(Dataset):
    """Images in memory, as torch-fidelity takes them."""

    def __init__(self, images: torch.Tensor):
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> torch.Tensor:
        return self.images[number]


def of_torch_fidelity(network: RandomNetwork, fake: torch.Tensor, real: torch.Tensor) -> dict[str, float]:
    """The same by torch-fidelity, whose registry takes a class."""
    from torch_fidelity import calculate_metrics, register_feature_extractor
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase

    class Extractor(FeatureExtractorBase):
        def __init__(self, name, features_list, **options):
            super().__init__(name, features_list)
            self.network = network

        @staticmethod
        def get_provided_features_list():
            return "features", "logits"

        @staticmethod
        def get_default_feature_layer_for_metric(metric):
            return "logits" if metric == "isc" else "features"

        @staticmethod
        def can_be_compiled():
            return False

        def forward(self, images):
            found = dict(zip(("features", "logits"), self.network(images), strict=True))
            return tuple(found[name].clone() for name in self.features_list)

    name = f"random-{id(network)}-{time.perf_counter_ns()}"
    register_feature_extractor(name, Extractor)
    return calculate_metrics(
        input1=Images(fake),
        input2=Images(real),
        isc=True,
        fid=True,
        kid=True,
        prc=True,
        feature_extractor=name,
        batch_size=BATCH,
        cuda=False,
        cache=False,
        verbose=False,
    )


def whole(count: int, dimensions: int) -> Iterator[str]:
    numbers = torch.Generator().manual_seed(0)
    fake, again, real = (
        torch.randint(0, high, (count, 3, 32, 32), generator=numbers, dtype=torch.uint8)
        for high in (250, 240, 256)
    )
    network = RandomNetwork(dimensions).eval()
    ours = Ours(network)

    def apart(a: dict[str, float], b: dict[str, float]) -> float:
        names = {
            "fid": "frechet_inception_distance",
            "kid": "kernel_inception_distance_mean",
            "inception_score": "inception_score_mean",
        }
        return max(abs(a[name] - b[theirs]) / max(1, abs(b[theirs])) for name, theirs in names.items())

    for what, samples in (("first experiment", fake), ("second experiment", again)):
        timed = best(
            1,
            lambda samples=samples: ours.measure(samples, real),
            lambda samples=samples: of_torch_fidelity(network, samples, real),
        )
        yield line(f"{what}: FID, KID, IS, precision, recall", "torch-fidelity", timed, apart)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--dimensions", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=["moments", "frechet", "kid", "prdc", "whole"])
    options = parser.parse_args()
    chosen = options.only or ["moments", "frechet", "kid", "prdc", "whole"]
    x = features(options.samples, options.dimensions, 0, shift=0.05)
    z = features(options.samples, options.dimensions, 1)
    parts = {
        "moments": lambda: moments(x, options.repeats),
        "frechet": lambda: frechet(x, z, options.repeats),
        "kid": lambda: kid(x, z, options.repeats),
        "prdc": lambda: prdc(x, z, options.repeats),
        "whole": lambda: whole(options.samples, options.dimensions),
    }
    threads = torch.get_num_threads()
    print(f"{options.dimensions} dimensions, {threads} threads, best of {options.repeats}\n")
    print("| work | seconds | beside | seconds | times faster | values apart |")
    print("|---|---|---|---|---|---|")
    for name in chosen:
        for text in parts[name]():
            print(text, flush=True)


if __name__ == "__main__":
    main()
