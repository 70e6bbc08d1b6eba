"""Sets of images that are no generator's, beside honest GANs: what every figure says, and where they rank.

    GAN_STORE=STORE python -m benchmarks.impostors [--dataset digits] [--samples 2000] [--threads 2]

STORE holds the dataset's shards, its classifier and the trained GANs that are compared. Prints a Markdown
table in the order that the verdicts give, and ends with 1 where that is wrong: where a set of repeated or
copied images, of noise or of some classes stands above a GAN or is not called what it is, or a GAN is.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from gan_core.data.loading import ResidentImages, load_resident
from gan_core.evaluation.classifier import load_classifier
from gan_core.evaluation.extraction import BATCH_SIZE, Accumulator, Part, extract_into
from gan_core.evaluation.figures import FIGURES, write_figure
from gan_core.evaluation.judging.impostors import (
    COPIES,
    DROPS,
    LITTLE,
    REPEATS,
    findings_of_samples,
    is_impostor,
)
from gan_core.evaluation.judging.verdicts import in_words
from gan_core.evaluation.metrics import (
    Comparison,
    ImageSet,
    chosen_metrics,
    compute_metrics,
    statistics_needed,
)
from gan_core.progress import Progress
from gan_core.sampling import generate, load_generator
from gan_core.store import Store, default_store


def impostor_sets(
    train: ResidentImages, test: ResidentImages, count: int, seed: int = 0
) -> dict[str, torch.Tensor]:
    """By name, sets of `count` images (fewer where a split has not so many), uint8 (n, C, H, W), made of the
    real images of a labelled dataset, or of noise."""
    numbers = np.random.RandomState(seed)

    def per_class(each: int) -> torch.Tensor:
        labels = train.labels.numpy()
        chosen = [numbers.choice(np.flatnonzero(labels == c), each, replace=False) for c in np.unique(labels)]
        return train.images[np.resize(numbers.permutation(np.concatenate(chosen)), count)]

    def without(dropped: int) -> torch.Tensor:
        kept = np.flatnonzero(test.labels.numpy() >= dropped)
        return test.images[numbers.permutation(kept)[:count]]

    hundred = numbers.choice(len(train), 100, replace=False)
    copied = train.images[numbers.permutation(len(train))[:count]]
    return {
        "one image per class": per_class(1),
        "hundred images": train.images[np.resize(hundred, count)],
        "fifty images per class": per_class(50),
        "copied": copied,
        "copied, noise": with_noise(copied, 8, numbers),
        "copied, more noise": with_noise(copied, 16, numbers),
        "copied, shifted": shifted(copied),
        "three classes dropped": without(3),
        "six classes dropped": without(6),
        "uniform noise": torch.from_numpy(numbers.randint(0, 256, copied.shape, dtype=np.uint8)),
        "Gaussian noise": with_noise(torch.full_like(copied, 128), 50, numbers),
    }


def with_noise(images: torch.Tensor, deviation: float, numbers: np.random.RandomState) -> torch.Tensor:
    """uint8 images with Gaussian noise of so many of the 255 levels."""
    noise = torch.from_numpy(numbers.normal(0, deviation, images.shape))
    return (images + noise).round().clamp(0, 255).to(torch.uint8)


def shifted(images: torch.Tensor) -> torch.Tensor:
    """uint8 images moved to the right by a pixel; the first column twice."""
    return functional.pad(images[..., :-1].float(), (1, 0, 0, 0), "replicate").to(torch.uint8)


# What each set has to be called.
EXPECTED = {
    "one image per class": REPEATS,
    "hundred images": REPEATS,
    "fifty images per class": REPEATS,
    "copied": COPIES,
    "copied, noise": COPIES,
    "copied, more noise": COPIES,
    "copied, shifted": COPIES,
    "three classes dropped": DROPS,
    "six classes dropped": DROPS,
    "uniform noise": LITTLE,
    "Gaussian noise": LITTLE,
}
TEST_IMAGES = "test images"
SHOWN = (
    "fid",
    "mind",
    "precision",
    "recall",
    "density",
    "coverage",
    "clipped_density",
    "copying",
    "copying_pixels",
    "copying_features",
    "ct_score",
    "authenticity",
    "distinct",
    "near_duplicates",
    "vendi_share",
    "ms_ssim",
    "least_class_coverage",
    "most_class_coverage",
)


@dataclass(frozen=True)
class Row:
    """A set of images, measured."""

    name: str
    samples: int
    figures: dict[str, float | None]
    findings: list[dict]

    @property
    def verdicts(self) -> list[str]:
        return [finding["verdict"] for finding in self.findings]

    @property
    def order(self) -> tuple[bool, float]:
        return is_impostor(self.findings), self.figures["fid"]


class Bench:
    """The real images of a dataset, measured once, and any samples beside them."""

    def __init__(self, store: Store, dataset: str):
        shards = store.current("image_shards", dataset)
        self.extractor = load_classifier(store, store.current("classifier", dataset))
        self.train, self.test = (load_resident(store, shards, split) for split in ("train", "test"))
        self.metrics = {name: m for name, m in chosen_metrics(None).items() if not m.needs_labels}
        needed = statistics_needed(self.metrics.values(), real=True)
        train, test = (self.gather(part.images, part.labels, real=True) for part in (self.train, self.test))
        self.real, self.held_out = train.prepared(needed), test.prepared(needed, train)

    def gather(self, images: torch.Tensor, labels: torch.Tensor | None = None, *, real=False) -> ImageSet:
        """What the metrics need of images uint8 (N, C, H, W)."""
        needed = statistics_needed(self.metrics.values(), real=real)
        accumulator = Accumulator(needed, len(images), classes=True, labels=labels is not None)
        of = [None] * len(images) if labels is None else labels.split(BATCH_SIZE)
        progress = Progress("features", len(images), emit=lambda line: print(line, file=sys.stderr))
        extract_into(
            [Part(accumulator)], self.extractor, zip(images.split(BATCH_SIZE), of, strict=False), progress
        )
        return accumulator.finish()

    def row(self, name: str, images: torch.Tensor) -> Row:
        """Figures and findings of samples uint8 (n, C, H, W)."""
        comparison = Comparison(self.gather(images), self.real, self.held_out)
        figures = compute_metrics(self.metrics, comparison)
        findings = findings_of_samples(figures, samples=len(images), real_images=self.real.count)
        return Row(name, len(images), figures, findings)


def trained_gans(store: Store, dataset: str, count: int) -> Iterator[tuple[str, torch.Tensor]]:
    """The GANs that were trained on the dataset: name and `count` images uint8 (count, C, H, W)."""
    shards = store.current("image_shards", dataset)
    for name in sorted(store.list_names("trained_gan")):
        trained = store.current("trained_gan", name)
        if trained and store.is_made_from(trained, image_shards=shards):
            drawn = generate(load_generator(store, trained), count, seed=0)
            yield name, torch.cat([images for images, _ in drawn])


def table(rows: list[Row]) -> str:
    """The rows as Markdown, in the order of the verdicts."""
    labels = [FIGURES[name].heading for name in SHOWN]
    lines = ["| set | n | " + " | ".join(labels) + " | verdict |", "|" + "---|" * (len(SHOWN) + 3)]
    for row in sorted(rows, key=lambda row: row.order):
        shown = [write_figure(name, row.figures) for name in SHOWN]
        said = ", ".join(in_words(verdict) for verdict in row.verdicts) or "nothing found"
        lines.append("| " + " | ".join([row.name, f"{row.samples:,}", *shown, said]) + " |")
    return "\n".join(lines)


def mistakes(rows: list[Row]) -> list[str]:
    """What is wrong with the order or with a name."""
    found = [
        f"{row.name} is not called {in_words(EXPECTED[row.name])}"
        for row in rows
        if row.name in EXPECTED and EXPECTED[row.name] not in row.verdicts
    ]
    honest = [row for row in rows if row.name not in EXPECTED]
    found += [
        f"{row.name} is called {', '.join(row.verdicts)}" for row in honest if is_impostor(row.findings)
    ]
    gans = [row.order for row in honest if row.name != TEST_IMAGES]
    found += [
        f"{row.name} stands above a GAN"
        for row in rows
        if row.name in EXPECTED and gans and row.order < max(gans)
    ]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    store = default_store()
    bench = Bench(store, arguments.dataset)
    sets = {TEST_IMAGES: bench.test.images[: arguments.samples]}
    sets |= impostor_sets(bench.train, bench.test, arguments.samples)
    sets |= dict(trained_gans(store, arguments.dataset, arguments.samples))
    rows = [bench.row(name, images) for name, images in sets.items()]
    print(table(rows))
    wrong = mistakes(rows)
    print("\n".join(wrong), file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
