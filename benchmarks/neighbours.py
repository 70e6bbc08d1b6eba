"""Precision, recall, density and coverage beside the package `prdc`: time, agreement, and memory.

    python -m benchmarks.neighbours [--images 10000] [--dimensions 2048] [--rounds 3] [--threads 2]
    python -m benchmarks.neighbours --memory 50000 [--dimensions 128]

The first prints the seconds (the least of so many rounds, by turns) that either takes for as many generated
as real images, and by how much their figures differ. The second computes all six figures of this project and
prints the most memory that its process ever held.
"""

import argparse
import resource
import time

import numpy as np
import torch
from prdc import compute_prdc

from gan_core.evaluation.metrics import Comparison, ImageSet, chosen_metrics, compute_metrics, neighbourhoods
from gan_core.evaluation.metrics.base import FEATURES

NAMES = ["precision", "recall", "density", "coverage"]
CLIPPED = ["clipped_density", "clipped_coverage"]
RANK = 16  # of the covariance, beside the noise: features of networks lie near a subspace


def features(count: int, dimensions: int, seed: int, scale: float = 1.0) -> torch.Tensor:
    """float32 (count, dimensions) of a fixed distribution, or of one that is narrower."""
    directions = np.random.RandomState(0).normal(size=(RANK, dimensions)).astype(np.float32)
    numbers = np.random.default_rng(seed)
    rows = scale * numbers.standard_normal((count, RANK), dtype=np.float32) @ directions
    rows += 0.3 * numbers.standard_normal((count, dimensions), dtype=np.float32)
    return torch.from_numpy(rows)


def ours(generated: torch.Tensor, real: torch.Tensor, names: list[str]) -> dict[str, float | None]:
    """The figures, with the balls of the real images, which an experiment finds with the reference."""
    prepared = ImageSet(len(real), {"features": real}).prepared((FEATURES, neighbourhoods.BALLS))
    sides = Comparison(ImageSet(len(generated), {"features": generated}), prepared)
    return compute_metrics(chosen_metrics(names), sides)


def timed(function) -> tuple[float, dict[str, float]]:
    began = time.perf_counter()
    found = function()
    return time.perf_counter() - began, found


def beside_prdc(images: int, dimensions: int, rounds: int) -> str:
    """A Markdown table of both."""
    generated, real = features(images, dimensions, 1, 0.9), features(images, dimensions, 2)
    seconds = {"gan_core": [], "prdc": []}
    for _ in range(rounds):
        taken, found = timed(lambda: ours(generated, real, [*NAMES, *CLIPPED]))
        seconds["gan_core"].append(taken)
        taken, theirs = timed(lambda: compute_prdc(real.double().numpy(), generated.double().numpy(), 5))
        seconds["prdc"].append(taken)
    gap = max(abs(found[name] - theirs[name]) for name in NAMES)
    least = {name: min(values) for name, values in seconds.items()}
    return "\n".join(
        [
            f"{images:,} against {images:,} images of {dimensions:,} dimensions, "
            f"{torch.get_num_threads()} threads",
            "",
            "| | seconds | relative |",
            "|---|---|---|",
            f"| prdc: four figures | {least['prdc']:.2f} | 1 |",
            f"| gan_core: six figures | {least['gan_core']:.2f} | {least['prdc'] / least['gan_core']:.2f} |",
            "",
            f"largest difference of a figure: {gap:.1e}",
        ]
    )


def memory(images: int, dimensions: int) -> str:
    """The most memory of this process after the figures of so many images against as many."""
    neighbourhoods.MOST = images
    before = _peak()
    generated, real = features(images, dimensions, 1, 0.9), features(images, dimensions, 2)
    taken, found = timed(lambda: ours(generated, real, [*NAMES, *CLIPPED]))
    return (
        f"{images:,} against {images:,} images of {dimensions:,} dimensions, k = 5, in {taken:,.0f} s: at "
        f"most {_peak() / 1e9:.2f} GB, of which {before / 1e9:.2f} GB before the first image; "
        + ", ".join(f"{name} {value:.4f}" for name, value in found.items())
    )


def _peak() -> int:
    """Bytes, of which Linux counts thousands."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--dimensions", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--memory", type=int, metavar="IMAGES")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.memory:
        print(memory(arguments.memory, arguments.dimensions))
    else:
        print(beside_prdc(arguments.images, arguments.dimensions, arguments.rounds))


if __name__ == "__main__":
    main()
