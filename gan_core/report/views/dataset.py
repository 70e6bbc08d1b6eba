"""What a page shows of one dataset."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gan_core.config import Dataset
from gan_core.errors import DamagedError, StoreError
from gan_core.evaluation.figures import FIGURES, MISSING, count, is_missing, percent
from gan_core.evaluation.metrics import METRICS
from gan_core.progress import format_bytes
from gan_core.report.artefacts import SHOWN
from gan_core.report.charts import Bar, Chart
from gan_core.report.site import Site
from gan_core.report.views.experiments.lineage import Link, lineage
from gan_core.report.views.pictures import Picture, stored_picture
from gan_core.report.views.words import words
from gan_core.store import Manifest
from gan_core.store.reading import reading

# A floor that stands on fewer images than this is itself uncertain, and an FID of so few is too high.
FEW_IMAGES = 1_000
# More bars than this cannot be told apart.
MOST_BARS = 40
NAMED = 20
DUPLICATES = {
    "pairs.png": "Pairs of near-duplicates, the nearest first",
    "groups.png": "The largest groups: the first image of each stays",
}


@dataclass(frozen=True)
class Floor:
    """What the metrics say of real images against real images: (heading, value) rows, and the number of
    images that they stand on."""

    what: str
    images: int
    rows: list[tuple[str, str]]

    @property
    def is_of_few(self) -> bool:
        """Whether the figures are hardly to be trusted."""
        return self.images < FEW_IMAGES


@dataclass(frozen=True)
class DatasetView:
    """One dataset. `kind`: (what, value) that say what it is; `key_figures`: (what, value, behind it);
    `left_out` and `duplicates`: (what, how many); `experiments`: (group, its page)."""

    name: str
    description: str
    kind: list[tuple[str, str]]
    key_figures: list[tuple[str, str, str]]
    experiments: list[tuple[str, str]]
    problems: list[str]
    images: Picture | None = None
    classes: Chart | None = None
    class_words: str = ""
    files: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    named: list[tuple[str, str]] = field(default_factory=list)
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    duplicate_pictures: list[tuple[str, Picture]] = field(default_factory=list)
    floors: list[Floor] = field(default_factory=list)
    classifier: list[tuple[str, str]] = field(default_factory=list)
    lineage: list[Link] = field(default_factory=list)


def dataset_view(site: Site, dataset: Dataset, experiments: list[tuple[str, str]]) -> DatasetView:
    """What is known of a dataset, and what is damaged."""
    made = site.artefacts.of_partition("datasets", dataset.name)
    damaged = [site.artefacts.problem(asset, dataset.name) for asset in SHOWN["datasets"]]
    problems = [problem for problem in damaged if problem]
    plain: dict[str, Any] = {
        "name": dataset.name,
        "description": dataset.description,
        "kind": list(_kind(dataset)),
        "experiments": experiments,
    }
    try:
        with reading(f"dataset {dataset.name}"):
            found = _found(site, dataset, made)
    except DamagedError as error:
        return DatasetView(**plain, key_figures=[], problems=[*problems, str(error)])
    return DatasetView(
        **plain,
        **found,
        **_pictures(site, made, problems),
        lineage=lineage(site.store, dataset.name, made.values()),
        problems=problems,
    )


def _found(site: Site, dataset: Dataset, made: dict[str, Manifest]) -> dict[str, Any]:
    """All that manifests alone say."""
    raw, shards, duplicates = (made.get(name) for name in ("raw_images", "image_shards", "duplicates"))
    counts = _class_counts(shards or raw)
    return {
        "key_figures": list(_key_figures(dataset, made)),
        "classes": _classes_chart(counts),
        "class_words": _classes_in_words(counts),
        "files": list(_files(raw, shards)),
        "left_out": list(_left_out(raw, shards)),
        "named": list(_named(raw, shards))[:NAMED],
        "duplicates": list(_duplicates(duplicates)),
        "floors": list(_floors(made.get("reference_statistics"))),
        "classifier": list(_classifier(made.get("classifier"))),
    }


def _pictures(site: Site, made: dict[str, Manifest], problems: list[str]) -> dict[str, Any]:
    drawn: dict[str, Any] = {"images": None, "duplicate_pictures": []}
    try:
        drawn["images"] = site.real_images.sheet(made.get("image_shards"))
        drawn["duplicate_pictures"] = [
            (title, picture)
            for file, title in DUPLICATES.items()
            if (picture := stored_picture(site.store, made.get("duplicates"), file))
        ]
    except StoreError as error:
        problems.append(str(error))
    return drawn


def _kind(dataset: Dataset) -> Iterator[tuple[str, str]]:
    yield "images", f"{dataset.image_size} × {dataset.image_size} pixels"
    yield "channels", "greyscale" if dataset.channels == 1 else "colour"
    yield "crop", words(dataset.crop)
    yield "source", dataset.source.kind
    yield "licence", dataset.licence or "not stated"


def _key_figures(dataset: Dataset, made: dict[str, Manifest]) -> Iterator[tuple[str, str, str]]:
    counted = made.get("image_shards") or made.get("raw_images")
    for split in dataset.splits:
        images = counted and counted.figures.get(f"images_{split}")
        yield f"{split.capitalize()} images", MISSING if is_missing(images) else count(images), ""
    if dataset.labelled and counted:
        yield "Classes", count(len(counted.details.get("classes") or ())), ""
    floor = next(_floors(made.get("reference_statistics")), None)
    if floor and floor.rows:
        heading, value = floor.rows[0]
        yield f"{heading}, real against real", value, f"of {count(floor.images)} images"
    classifier = made.get("classifier")
    accuracy = classifier and classifier.figures.get("accuracy_test")
    if not is_missing(accuracy):
        yield "Classifier ↑", percent(accuracy), "right on test images"


def _class_counts(counted: Manifest | None) -> dict[str, int]:
    splits = counted.details.get("splits", {}) if counted else {}
    return {str(name): number for name, number in (splits.get("train", {}).get("classes") or {}).items()}


def _classes_chart(counts: dict[str, int]) -> Chart | None:
    if not counts or len(counts) > MOST_BARS:
        return None
    return Chart(
        "Train images of each class",
        f"Bars of the number of train images of each class. {_classes_in_words(counts)}",
        "train images",
        bars=tuple(Bar(name, float(number)) for name, number in counts.items()),
        x_format="count",
    )


def _classes_in_words(counts: dict[str, int]) -> str:
    if not counts:
        return ""
    least, most = (choose(counts, key=counts.__getitem__) for choose in (min, max))
    return (
        f"{count(len(counts))} classes, from {count(counts[least])} images ({least}) to "
        f"{count(counts[most])} ({most})."
    )


def _files(raw: Manifest | None, shards: Manifest | None) -> Iterator[tuple[str, str]]:
    if raw:
        for split, found in raw.details.get("splits", {}).items():
            yield f"Source of {split}", str(found.get("location") or MISSING)
        total = sum(found["images"] for found in raw.details.get("splits", {}).values())
        if total and not is_missing(size := raw.figures.get("bytes")):
            mean = format_bytes(round(size / total))
            yield "Original files", f"{format_bytes(size)} in {count(total)} images, {mean} each on average"
    if shards and not is_missing(number := shards.figures.get("shards")):
        yield "Shards", f"{count(number)}, {format_bytes(shards.figures['bytes'])} in all"
    sizes = shards.details.get("original_sizes") if shards else None
    if sizes:
        yield "Sizes of the original images", _sizes_in_words(sizes)


def _sizes_in_words(sizes: dict[str, Any]) -> str:
    smallest, largest = (" × ".join(map(str, sizes[name])) for name in ("smallest", "largest"))
    if smallest == largest:
        return f"all {smallest} pixels"
    common = ", ".join(f"{width} × {height} ({share:.0%})" for width, height, share in sizes["most_common"])
    return f"from {smallest} to {largest} pixels; most often {common}"


def _left_out(raw: Manifest | None, shards: Manifest | None) -> Iterator[tuple[str, str]]:
    for manifest, figure, what in (
        (raw, "left_out", "Files of the source that are no images"),
        (shards, "undecodable", "Images that do not decode"),
        (shards, "duplicates_left_out", "Near-duplicates"),
    ):
        number = manifest.figures.get(figure) if manifest else None
        if not is_missing(number):
            yield what, count(number)


def _named(raw: Manifest | None, shards: Manifest | None) -> Iterator[tuple[str, str]]:
    """(file, reason) of the first that were left out."""
    for name, reason in raw.details.get("left_out", []) if raw else []:
        yield str(name), str(reason)
    for item in shards.details.get("undecodable", []) if shards else []:
        yield str(item["key"]), str(item["reason"])


def _duplicates(duplicates: Manifest | None) -> Iterator[tuple[str, str]]:
    if duplicates is None or not duplicates.details.get("asked"):
        return
    figures = duplicates.figures
    yield "Near-duplicates of another train image", _with_share(figures, "duplicates", "duplicate_share")
    yield "Groups of them", count(figures["groups"])
    yield "Images in the largest group", count(figures["largest_group"])
    if not is_missing(figures.get("groups_of_several_classes")):
        yield "Groups of several classes", count(figures["groups_of_several_classes"])
    if not is_missing(figures.get("leaks")):
        yield "Test images with one in train", _with_share(figures, "leaks", "leak_share")


def _with_share(figures: dict[str, Any], number: str, share: str) -> str:
    return f"{count(figures[number])} ({percent(figures[share])})"


def _floors(reference: Manifest | None) -> Iterator[Floor]:
    """Of each extractor, what stands beside experiments: real images, as many as samples where there are."""
    for name, found in (reference.details.get("extractors", {}) if reference else {}).items():
        floor = found.get("floor", {}).get("at_samples")
        if not floor:
            continue
        rows = [
            (FIGURES[metric.main].heading, FIGURES[metric.main].write(value))
            for metric in METRICS.values()
            if not is_missing(value := floor["figures"].get(metric.main))
        ]
        yield Floor(name, int(floor["samples"]), rows)


def _classifier(classifier: Manifest | None) -> Iterator[tuple[str, str]]:
    if classifier is None:
        return
    yield "Task", words(str(classifier.details.get("task", MISSING)))
    for split in ("train", "test"):
        accuracy = classifier.figures.get(f"accuracy_{split}")
        yield f"Right on {split} images", MISSING if is_missing(accuracy) else percent(accuracy)
