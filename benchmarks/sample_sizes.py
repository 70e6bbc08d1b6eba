"""How many samples a metric needs: how it ranks generators by few samples against many, and how far its value
moves.

    GAN_STORE=STORE python -m benchmarks.sample_sizes [--train] [--sizes 1000,2000,5000] [--against 50000]

Measures all GANs of STORE that were trained on the dataset, by its own classifier. `--train` first trains
what is missing of the demo's and the failing GANs, and the demo's again on a third of their images. Of each
generator as many samples are drawn as are compared against; of each smaller size a few disjoint parts of
them are measured. Prints a table with, for each size, Spearman's rank correlation of the generators' figures
with those of all samples (its mean over the parts, and its least), and by how much the figures are above
these (the median over the generators). Writes every figure to sample-sizes-DATASET.csv.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr

from benchmarks.impostors import Bench
from gan_core.config import Experiment, load_configs
from gan_core.data.raw import collect_raw_images
from gan_core.data.shards import write_image_shards
from gan_core.evaluation.classifier import train_classifier
from gan_core.evaluation.extraction import Accumulator, Part, extract_into
from gan_core.evaluation.figures import count, write_figure
from gan_core.evaluation.metrics import METRICS, Comparison, Metric, compute_metrics, statistics_needed
from gan_core.progress import Progress
from gan_core.sampling import generate, load_generator
from gan_core.store import Store, default_store
from gan_core.training import train_gan

TRAINED = ("demo-*", "failure-*")
SHORTER, SHARE = "demo-", 3
MOST_PARTS = 3


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


# --- generators -------------------------------------------------------------------------------------------


def generators(dataset: str) -> Iterator[Experiment]:
    """The demo's and the failing experiments, and each of the demo's on a third of its images."""
    for name, experiment in load_configs("configs").experiments.items():
        if experiment.dataset == dataset and any(Path(name).match(pattern) for pattern in TRAINED):
            yield experiment
            if name.startswith(SHORTER):
                yield shortened(experiment)


def shortened(experiment: Experiment) -> Experiment:
    content = experiment.model_dump(exclude_unset=True)
    content |= {
        "name": f"{experiment.name}-third",
        "length": {"images": experiment.length.images // SHARE},
    }
    return Experiment.model_validate(content)


def train_missing(store: Store, name: str) -> None:
    dataset = load_configs("configs").dataset(name)
    shards = write_image_shards(store, dataset, collect_raw_images(store, dataset, emit=say), emit=say)
    classifier = train_classifier(store, dataset, shards, emit=say)
    for experiment in generators(name):
        train_gan(store, experiment, dataset, shards, classifier, emit=say)


# --- measuring --------------------------------------------------------------------------------------------


def parts_of(total: int, sizes: list[int]) -> list[tuple[int, np.ndarray]]:
    """(size, which of `total` samples, bool (total,)): disjoint parts of each size, and all."""
    found = []
    for size in sizes:
        for number in range(min(MOST_PARTS, total // size)):
            chosen = np.zeros(total, dtype=bool)
            chosen[number * size : (number + 1) * size] = True
            found.append((size, chosen))
    return [*found, (total, np.ones(total, dtype=bool))]


@dataclass(frozen=True)
class SampleSizes:
    """The figures of generators by parts of their samples."""

    bench: Bench
    metrics: dict[str, Metric]
    sizes: list[int]
    total: int

    def rows(self, name: str, generator: torch.nn.Module) -> Iterator[dict]:
        """Of each part, one after the other: generator, size, and the main figure of each metric."""
        needed = statistics_needed(self.metrics.values(), real=False)
        parts = [
            (size, Part(Accumulator(needed, int(chosen.sum()), classes=True), chosen))
            for size, chosen in parts_of(self.total, self.sizes)
        ]
        progress = Progress(f"features of {name}", self.total, emit=say)
        batches = ((images, None) for images, _ in generate(generator, self.total, seed=0))
        extract_into([part for _, part in parts], self.bench.extractor, batches, progress)
        for size, part in parts:
            comparison = Comparison(part.accumulator.finish(), self.bench.real, self.bench.held_out)
            figures = compute_metrics(self.metrics, comparison)
            yield {
                "generator": name,
                "size": size,
                **{metric.main: figures[metric.main] for metric in self.metrics.values()},
            }
            say(f"{name}: measured by {size:,} samples")


def summary(rows: pd.DataFrame, metrics: dict[str, Metric], sizes: list[int], total: int) -> str:
    """One line a metric, as Markdown."""
    heads = [f"{what} at {size:,}" for size in sizes for what in ("rank correlation", "value")]
    lines = [f"| metric | by {total:,} | " + " | ".join(heads) + " |", "|---" * (len(heads) + 2) + "|"]
    for metric in metrics.values():
        figure = metric.figures[metric.main]
        by_all = rows[rows["size"] == total].set_index("generator")[metric.main].astype(float)
        if figure.better is None or by_all.isna().any():
            continue
        cells = [f"{write_figure(metric.main, {metric.main: of})}" for of in (by_all.min(), by_all.max())]
        line = [figure.label, " to ".join(cells)]
        for size in sizes:
            values = rows[rows["size"] == size].pivot_table(
                index="generator", columns=rows.groupby(["generator", "size"]).cumcount(), values=metric.main
            )
            line += [correlations(values, by_all), moved(values, by_all, metric)]
        lines.append("| " + " | ".join(line) + " |")
    return "\n".join(lines)


def correlations(values: pd.DataFrame, by_all: pd.Series) -> str:
    """The mean of Spearman's rank correlation of each part (generators, parts) with all, and the least."""
    if by_all.nunique() < 2 or len(values) < len(by_all):
        return ""
    found = [spearmanr(values[part], by_all.loc[values.index]).statistic for part in values]
    return "" if np.isnan(found).any() else f"{np.mean(found):.2f} ({min(found):.2f})"


def moved(values: pd.DataFrame, by_all: pd.Series, metric: Metric) -> str:
    """How far the mean over the parts is above the figure of all, the median over the generators: points of a
    share, parts of another figure; nothing for a number of images, which grows with them."""
    if metric.figures[metric.main].write is count or len(values) < len(by_all):
        return ""
    shift = values.mean(axis=1) - by_all
    if metric.is_share:
        return f"{100 * shift.median():+.1f} points"
    return f"{100 * (shift / by_all.abs()).median():+.1f}%"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--sizes", default="1000,2000,5000")
    parser.add_argument("--against", type=int, default=50_000)
    parser.add_argument("--metrics", help=f"by commas, of {','.join(METRICS)}; default: all that apply")
    parser.add_argument("--train", action="store_true", help="train what is missing first")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    store, sizes = default_store(), [int(size) for size in options.sizes.split(",")]
    if options.train:
        train_missing(store, options.dataset)
    bench = Bench(store, options.dataset)
    names = options.metrics.split(",") if options.metrics else list(bench.metrics)
    metrics = {name: bench.metrics[name] for name in names}
    measuring = SampleSizes(bench, metrics, sizes, options.against)
    shards = store.current("image_shards", options.dataset)
    rows = []
    for name in sorted(store.list_names("trained_gan")):
        trained = store.current("trained_gan", name)
        if trained and store.is_made_from(trained, image_shards=shards):
            rows += measuring.rows(name, load_generator(store, trained))
    found = pd.DataFrame(rows)
    options.out.mkdir(parents=True, exist_ok=True)
    found.to_csv(options.out / f"sample-sizes-{options.dataset}.csv", index=False)
    print(summary(found, metrics, sizes, options.against))


if __name__ == "__main__":
    main()
