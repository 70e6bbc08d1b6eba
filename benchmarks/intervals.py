"""How often the 95% intervals hold the truth.

    python -m benchmarks.intervals [--trials 400] [--store STORE --pool 200000] [--out FILE]

Draws samples of a known distribution again and again, with the real images held fixed. The truth is the
expected figure at that number of samples: the mean over all trials. With a STORE that holds the demo, the
distribution is a generator's: the classifier's features of a pool of its samples are cut into independent
draws. Prints Markdown: mean and standard deviation of the figure, the mean standard error, and the share of
intervals that hold the truth, which has a standard error of 1.1% for 400 trials.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from gan_core.evaluation.extractors import EXTRACTORS, ExtractorSources
from gan_core.evaluation.statistics.intervals import (
    NORMAL_QUANTILE,
    frechet_interval,
    kernel_interval,
    mean_interval,
)
from gan_core.evaluation.statistics.kernel_sums import kernel_sums, subset_distances
from gan_core.evaluation.statistics.moments import FrechetReference, Gaussian, frechet_distance
from gan_core.sampling import generate, load_generator
from gan_core.store import Store

Draws = Iterator[np.ndarray]
HEADINGS = ("figure", "samples", "dimensions", "features", "mean", "deviation", "error", "held")

SHAPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "normal": lambda z: z,
    "rectified": lambda z: np.maximum(z, 0),
    "heavy tails": lambda z: np.sign(z) * z**2 / 1.7,
}


def gaussian(features: np.ndarray) -> Gaussian:
    features = features.astype(np.float64)
    return Gaussian(features.mean(axis=0), np.cov(features, rowvar=False), len(features))


def fid_trials(real: np.ndarray, draws: Draws) -> Iterator[tuple[float, tuple[float, float]]]:
    reference = FrechetReference.of(gaussian(real))
    for features in draws:
        of_draw = gaussian(features)
        value = frechet_distance(reference, of_draw)
        yield value, frechet_interval(value, reference, of_draw, features)


def kid_trials(real: np.ndarray, draws: Draws) -> Iterator[tuple[float, tuple[float, float]]]:
    real = torch.from_numpy(real)
    for features in draws:
        fake = torch.from_numpy(features)
        size = min(1000, len(fake), len(real))
        value = float(subset_distances(fake, real, subsets=100, size=size, seed=2020).mean())
        yield value, kernel_interval(value, kernel_sums(fake, real), subsets=100, size=size)


def row(figure: str, samples: int, dimensions: int, name: str, trials) -> str:
    values, intervals = zip(*trials, strict=True)
    low, high = np.array(intervals).T
    truth = np.mean(values)
    held = np.mean((low <= truth) & (truth <= high))
    error = np.mean(high - low) / (2 * NORMAL_QUANTILE)
    numbers = f"{truth:.4g} | {np.std(values, ddof=1):.3g} | {error:.3g} | {held:.1%} of {len(values)}"
    return f"| {figure} | {samples:,} | {dimensions:,} | {name} | {numbers} |"


# --- known distributions ----------------------------------------------------------------------------------


def known(trials: int) -> Iterator[str]:
    """Features of three shapes whose variances fall as 1 / i along random directions."""
    for count, dimensions in ((500, 16), (250, 100), (500, 100), (2000, 100)):
        for shape, apart in ((s, a) for s in SHAPES for a in ("equal", "near", "far")):
            real, draws = _case(shape, apart, count, dimensions, trials)
            yield row("FID", count, dimensions, f"{shape}, {apart}", fid_trials(real, draws))
    for count, dimensions in ((200, 16), (1000, 64)):
        for apart in ("equal", "near", "far"):
            real, draws = _case("rectified", apart, count, dimensions, trials, real_count=count)
            yield row("KID", count, dimensions, f"rectified, {apart}", kid_trials(real, draws))
    yield row("seeds' mean", 3, 1, "normal", _seeds(3, trials))
    yield row("seeds' mean", 5, 1, "normal", _seeds(5, trials))


def _case(
    shape: str, apart: str, count: int, dimensions: int, trials: int, real_count: int = 5000
) -> tuple[np.ndarray, Draws]:
    numbers = np.random.RandomState(0)
    scales = 1 / np.sqrt(np.arange(1, dimensions + 1))
    mixing, other = (np.linalg.qr(numbers.normal(size=(dimensions, dimensions)))[0] * scales for _ in "ab")
    of_fake, shift = {"equal": (mixing, 0.0), "near": (1.05 * mixing, 0.02), "far": (other, 0.3)}[apart]

    def draw(size: int, by: np.ndarray, moved: float) -> np.ndarray:
        return SHAPES[shape](numbers.normal(size=(size, dimensions))) @ by.T + moved

    real = draw(real_count, mixing, 0.0)
    return real, (draw(count, of_fake, shift) for _ in range(trials))


def _seeds(count: int, trials: int) -> Iterator[tuple[float, tuple[float, float]]]:
    numbers = np.random.RandomState(0)
    for _ in range(trials):
        values = numbers.normal(4, 0.7, count)
        yield float(values.mean()), mean_interval(values)


# --- generators -------------------------------------------------------------------------------------------


def of_generators(store: Store, experiments: list[str], pool: int, trials: int) -> Iterator[str]:
    """Independent draws of trained generators of digits, by the classifier's 128 features."""
    reference = store.current("reference_statistics", "digits")
    with np.load(store.local(reference, "classifier-train.npz")) as arrays:
        real = arrays["features.rows" if "features.rows" in arrays else "features.features"]
    sources = ExtractorSources(store, {}, store.current("classifier", "digits"), "digits")
    extractor = EXTRACTORS["classifier"].open(sources)
    for name in experiments:
        generator = load_generator(store, store.current("trained_gan", name))
        # Drawn at random: labels in turn would make draws more even than independent ones are.
        labels = None
        if generator.n_classes:
            labels = torch.from_numpy(np.random.RandomState(1).randint(0, generator.n_classes, pool))
        images = (batch for batch, _ in generate(generator, pool, seed=123, labels=labels))
        features = torch.cat([extractor.extract(batch)[0] for batch in images]).numpy()
        for count in (500, 2000):
            parts = [features[i : i + count] for i in range(0, pool - count + 1, count)][:trials]
            yield row("FID", count, features.shape[1], name, fid_trials(real, iter(parts)))
            yield row("KID", count, features.shape[1], name, kid_trials(real, iter(parts)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--store", help="a store that holds the demo")
    parser.add_argument("--experiments", nargs="*", default=["demo-acgan", "demo-dcgan", "demo-wgan-gp"])
    parser.add_argument("--pool", type=int, default=200_000, help="samples of each generator")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = ["| " + " | ".join(HEADINGS) + " |", "|---" * len(HEADINGS) + "|"]
    print("\n".join(lines), flush=True)
    rows = known(options.trials)
    if options.store:
        rows = of_generators(Store(options.store), options.experiments, options.pool, options.trials)
    for line in rows:
        print(line, flush=True)
        lines.append(line)
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
