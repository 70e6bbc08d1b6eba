"""What a page shows of one dataset."""

from dataclasses import dataclass, field

from gan_core.config import Dataset
from gan_core.evaluation.figures import MISSING, is_missing, percent
from gan_core.report.artefacts import OF_A_RESULT, Artefacts
from gan_core.report.views.words import date_in_words, words


@dataclass(frozen=True)
class DatasetView:
    """One dataset: what it is, and what measures it."""

    name: str
    rows: list[tuple[str, str]] = field(default_factory=list)


def dataset_view(artefacts: Artefacts, dataset: Dataset) -> DatasetView:
    """What is known of it, and what is damaged."""
    channels = "greyscale" if dataset.channels == 1 else "colour"
    rows = [
        ("Images", f"{dataset.image_size} × {dataset.image_size} pixels, {channels}"),
        ("What it is", dataset.description or MISSING),
        ("Crop", words(dataset.crop)),
    ]
    classifier = artefacts.of("classifier", dataset.name)
    reference = artefacts.of("reference_statistics", dataset.name)
    if classifier:
        accuracy = classifier.figures.get("accuracy_test")
        accuracy = MISSING if is_missing(accuracy) else percent(accuracy)
        task = words(str(classifier.details.get("task", "")))
        rows.append(("Classifier", f"{accuracy} right on test images{f', task: {task}' if task else ''}"))
    elif not artefacts.problem("classifier", dataset.name):
        rows.append(("Classifier", "not trained"))
    for label, manifest in (("classifier", classifier), ("reference statistics", reference)):
        text = f"{manifest.fingerprint[:12]}, {date_in_words(manifest.created_at)}" if manifest else MISSING
        rows.append((f"Fingerprint of {label}", text))
    rows += [
        (f"Damaged: {name.partition('/')[0]}", reason)
        for name, reason in sorted(artefacts.unreadable.items())
        if name.partition("/")[0] not in OF_A_RESULT and name.partition("/")[2] == dataset.name
    ]
    return DatasetView(dataset.name, rows)
