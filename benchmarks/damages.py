"""How each metric answers to growing damage: real images, more and more blurred, noisy, swirled, covered,
compressed, of fewer classes, or repeated, measured like those of a generator.

    python -m benchmarks.damages DATASET [--store URL] [--images N] [--reference N] [--metrics A,B]

Images and classifier (made if need be) are those of the store. Three disjoint sets of images are drawn: the
reference, which the damaged ones are compared with; held-out ones, for metrics that want a test split; and
those that are damaged, the last two of the test split where it is large enough. Writes damages.csv, with each
metric's main figure, and damages.md: the table, and the damages with which a metric does not grow.
"""

import argparse
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch.nn import functional as F

from gan_core.config import load_configs
from gan_core.data.loading import load_resident
from gan_core.evaluation.classifier import load_classifier, train_classifier
from gan_core.evaluation.extraction import Accumulator, Part, extract_into
from gan_core.evaluation.extractors import FeatureExtractor
from gan_core.evaluation.metrics import (
    METRICS,
    Comparison,
    ImageSet,
    Metric,
    chosen_metrics,
    compute_metrics,
    statistics_needed,
)
from gan_core.progress import Progress
from gan_core.store import Store, default_store

SEED = 0
Level = float
NONE = "none"


@dataclass(frozen=True)
class Labelled:
    """`images` uint8 (N, C, S, S) and their classes, int64 (N,)."""

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.images)

    def at(self, index: torch.Tensor) -> "Labelled":
        return Labelled(self.images[index], self.labels[index])


# --- damages of images: uint8 (N, C, S, S) -> the same ------------------------------------------------------


def blurred(images: torch.Tensor, sigma: float) -> torch.Tensor:
    """By a Gaussian of `sigma` pixels."""
    radius = math.ceil(3 * sigma)
    kernel = torch.exp(-(torch.arange(-radius, radius + 1.0) ** 2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, 1, -1)
    padded = F.pad(images.float(), (radius,) * 4, mode="replicate")
    across = F.conv2d(padded, kernel, groups=images.shape[1])
    return _to_bytes(F.conv2d(across, kernel.transpose(2, 3), groups=images.shape[1]))


def noisy(images: torch.Tensor, deviation: float) -> torch.Tensor:
    """Gaussian noise of this standard deviation, in levels of 0 to 255."""
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(SEED))
    return _to_bytes(images.float() + deviation * noise)


def swirled(images: torch.Tensor, angle: float) -> torch.Tensor:
    """Turned by `angle` radians in the middle, by less towards the border."""
    side = images.shape[-1]
    axis = (torch.arange(side) + 0.5) * 2 / side - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    turned = angle * torch.exp(-2 * (x**2 + y**2))
    grid = torch.stack(
        [x * turned.cos() - y * turned.sin(), x * turned.sin() + y * turned.cos()], dim=-1
    ).expand(len(images), -1, -1, -1)
    return _to_bytes(F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False))


def covered(images: torch.Tensor, share: float) -> torch.Tensor:
    """A grey square over this share of each image, anywhere."""
    size = images.shape[-1]
    side = round(math.sqrt(share) * size)
    generator = torch.Generator().manual_seed(SEED)
    top, left = torch.randint(0, size - side + 1, (2, len(images), 1), generator=generator)
    places = torch.arange(size)
    rows, columns = ((places >= start) & (places < start + side) for start in (top, left))
    square = (rows[:, :, None] & columns[:, None, :])[:, None]
    return torch.where(square, torch.tensor(128, dtype=torch.uint8), images)


def compressed(images: torch.Tensor, quality: float) -> torch.Tensor:
    """By JPEG of this quality."""

    def one(image: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(image.squeeze()).save(file, "JPEG", quality=int(quality))
        return np.asarray(Image.open(file)).reshape(image.shape)

    pixels = images.permute(0, 2, 3, 1).numpy()
    return torch.from_numpy(np.stack([one(image) for image in pixels])).permute(0, 3, 1, 2)


def _to_bytes(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.round().clamp(0, 255).to(torch.uint8)


# --- damages of sets: (pool, count, level) -> `count` images ------------------------------------------------


def of_fewer_classes(pool: Labelled, count: int, dropped: float) -> Labelled:
    """None of the last `dropped` classes."""
    kept = int(pool.labels.max()) + 1 - int(dropped)
    return _first(pool.at((pool.labels < kept).nonzero().flatten()), count)


def repeated(pool: Labelled, count: int, distinct: float) -> Labelled:
    """`distinct` images, as many of each class as of any other, again and again."""
    rank_in_class = torch.empty(len(pool), dtype=torch.int64)
    for k in pool.labels.unique():
        of_class = pool.labels == k
        rank_in_class[of_class] = torch.arange(int(of_class.sum()))
    balanced = pool.at(torch.argsort(rank_in_class, stable=True))
    return _first(balanced, int(distinct)).at(torch.arange(count) % int(distinct))


def _first(pool: Labelled, count: int) -> Labelled:
    if len(pool) < count:
        raise SystemExit(f"{count:,} images are wanted, but there are {len(pool):,}: ask for fewer --images")
    return pool.at(torch.arange(count))


def damaged_sets(pool: Labelled, count: int) -> Iterator[tuple[str, str, Labelled]]:
    """(damage, level in words, images), mildest level first, for each damage after the undamaged images."""
    plain = _first(pool, count)
    yield NONE, "", plain
    of_images: list[tuple[str, str, Callable, tuple[Level, ...]]] = [
        ("blur", "σ = {} px", blurred, (0.5, 1, 1.5, 2)),
        ("noise", "σ = {} of 255", noisy, (8, 16, 32, 64)),
        ("swirl", "{} rad", swirled, (0.5, 1, 2, 4)),
        ("occlusion", "{} of the area", covered, (0.05, 0.1, 0.2, 0.4)),
        ("JPEG", "quality {}", compressed, (80, 50, 25, 10)),
    ]
    for damage, words, function, levels in of_images:
        for level in levels:
            yield damage, words.format(level), Labelled(function(plain.images, level), plain.labels)
    classes = int(pool.labels.max()) + 1
    for share in (0.1, 0.3, 0.5):
        dropped = max(1, round(share * classes))
        yield "dropped classes", f"{dropped} of {classes}", of_fewer_classes(pool, count, dropped)
    for distinct in (count // 2, count // 10, classes):
        yield "repeated images", f"{distinct} distinct", repeated(pool, count, distinct)


# --- measuring ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ruler:
    """What damaged images are measured by."""

    extractor: FeatureExtractor
    metrics: dict[str, Metric]
    real: ImageSet
    held_out: ImageSet

    @classmethod
    def of(
        cls, extractor: FeatureExtractor, metrics: dict[str, Metric], real: Labelled, held_out: Labelled
    ) -> "Ruler":
        needed = statistics_needed(metrics.values(), real=True)
        train = gathered(extractor, needed, real)
        test = gathered(extractor, needed, held_out)
        return cls(extractor, metrics, train.prepared(needed), test.prepared(needed, train))

    def figures(self, images: Labelled) -> dict[str, float | None]:
        """The main figure of each metric, as of a generator that was asked for the images' classes."""
        needed = statistics_needed(self.metrics.values(), real=False)
        comparison = Comparison(gathered(self.extractor, needed, images), self.real, self.held_out, seed=SEED)
        figures = compute_metrics(self.metrics, comparison)
        return {metric.main: figures[metric.main] for metric in self.metrics.values()}


def gathered(extractor: FeatureExtractor, statistics: tuple, images: Labelled) -> ImageSet:
    accumulator = Accumulator(
        statistics, len(images), classes=extractor.n_classes is not None, labels=True, seed=SEED
    )
    batches = zip(images.images.split(64), images.labels.split(64), strict=True)
    extract_into([Part(accumulator)], extractor, batches, Progress("features", len(images), emit=print))
    return accumulator.finish()


def draw(store: Store, shards, count: int, reference: int) -> tuple[Labelled, Labelled, Labelled]:
    """(reference, held out, pool), disjoint and shuffled.

    The last two are the halves of the test split; where half of it is too small for `count` images of half
    the classes, the pool is of the train split.
    """
    shuffled = torch.Generator().manual_seed(SEED)

    def split(name: str) -> Labelled:
        resident = load_resident(store, shards, name, emit=print)
        order = torch.randperm(len(resident), generator=shuffled)
        return Labelled(resident.images, resident.labels).at(order)

    train, test = split("train"), split("test")
    half = len(test) // 2
    if half >= 2.2 * count:
        return _first(train, reference), test.at(torch.arange(half)), test.at(torch.arange(half, len(test)))
    if len(train) < reference + 2.2 * count:
        raise SystemExit(f"{len(train):,} train images are too few: ask for fewer --images or --reference")
    return _first(train, reference), test, train.at(torch.arange(reference, len(train)))


# --- tables -------------------------------------------------------------------------------------------------


def shown(value: float | None) -> str:
    if value is None or math.isnan(value):
        return ""
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def table(rows: pd.DataFrame, metrics: dict[str, Metric]) -> str:
    """One row a damage and level, one column a metric."""
    columns = {metric.main: metric.figures[metric.main].label for metric in metrics.values()}
    written = rows.rename(columns=columns)
    for label in columns.values():
        written[label] = written[label].map(shown)
    return written.to_markdown(index=False, disable_numparse=True)


def growth(rows: pd.DataFrame, metrics: dict[str, Metric]) -> str:
    """For each metric, with which damages it grows (gets worse) from each level to the next."""
    plain = rows[rows.damage == NONE].iloc[0]
    lines = ["| metric | worse with every level of | not with every level of |", "|---|---|---|"]
    for metric in metrics.values():
        better = metric.figures[metric.main].better
        sign = {"lower": 1, "higher": -1}.get(better)
        if sign is None:
            continue
        grows, not_grows = [], []
        for damage, levels in rows[rows.damage != NONE].groupby("damage", sort=False):
            values = sign * np.array([plain[metric.main], *levels[metric.main]], dtype=float)
            if not np.isnan(values).all():
                (grows if (np.diff(values) > 0).all() else not_grows).append(str(damage))
        label = metric.figures[metric.main].label
        lines.append(f"| {label} | {', '.join(grows) or '–'} | {', '.join(not_grows) or '–'} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset")
    parser.add_argument("--store", help="default: GAN_STORE")
    parser.add_argument("--images", type=int, default=2000, help="of each damage and level")
    parser.add_argument("--reference", type=int, default=10_000, help="train images to compare with")
    parser.add_argument("--metrics", help=f"by commas, of {','.join(METRICS)}; default: all")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    store = Store(options.store) if options.store else default_store()
    dataset = load_configs("configs").dataset(options.dataset)
    shards = store.require("image_shards", dataset.name)
    extractor = load_classifier(store, train_classifier(store, dataset, shards, emit=print))
    metrics = chosen_metrics(options.metrics.split(",") if options.metrics else None)
    real, held_out, pool = draw(store, shards, options.images, options.reference)
    ruler = Ruler.of(extractor, metrics, real, held_out)
    rows = []
    for damage, level, images in damaged_sets(pool, options.images):
        rows.append({"damage": damage, "level": level, **ruler.figures(images)})
        print({key: shown(value) if isinstance(value, float) else value for key, value in rows[-1].items()})
    found = pd.DataFrame(rows)
    options.out.mkdir(parents=True, exist_ok=True)
    found.to_csv(options.out / f"damages-{dataset.name}.csv", index=False)
    text = f"{table(found, metrics)}\n\n{growth(found, metrics)}\n"
    (options.out / f"damages-{dataset.name}.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
