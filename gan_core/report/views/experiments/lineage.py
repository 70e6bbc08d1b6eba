"""What experiments were made from, down to the inventory of the images."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gan_core.errors import StoreError
from gan_core.evaluation.figures import MISSING
from gan_core.report.views.words import date_in_words, duration_in_words
from gan_core.store import Manifest, Store
from gan_core.store.provenance import commit_in_words

# From the images to the figures.
ORDER = (
    *("raw_images", "duplicates", "image_shards", "classifier", "reference_statistics"),
    *("trained_gan", "samples", "evaluation", "external_evaluation"),
)
OF_EXPERIMENTS = ("trained_gan", "samples", "evaluation")


@dataclass(frozen=True)
class Link:
    """One artefact: where it is in the store, when and by which code it was made, and how long that took."""

    asset: str
    partition: str
    fingerprint: str
    made: str
    took: str
    commit: str


def lineage(store: Store, dataset: str, manifests: Iterable[Manifest]) -> list[Link]:
    """These artefacts and all that they were made from, each once, from the images on.

    What is no longer in the store has its fingerprint only.
    """
    found: dict[tuple[str, str, str], Link] = {}
    waiting = [(item.asset, item.partition, item.fingerprint, item) for item in manifests]
    while waiting:
        asset, partition, fingerprint, manifest = waiting.pop(0)
        key = (asset, partition, fingerprint)
        if key in found:
            continue
        manifest = manifest or _read(store, *key)
        found[key] = _link(*key, manifest)
        for name, of in (manifest.inputs if manifest else {}).items():
            waiting.append((name, partition if name in OF_EXPERIMENTS else dataset, of, None))
    place = {asset: number for number, asset in enumerate(ORDER)}
    return sorted(found.values(), key=lambda link: (place.get(link.asset, len(ORDER)), link.partition))


def surroundings(trained: Iterable[Manifest]) -> list[tuple[str, str]]:
    """(what, text) of the commits, machines and packages of trainings that have recorded them: each text
    once, with the experiments that it is true of where not all have the same."""
    found: dict[str, dict[str, list[str]]] = {"Commit": {}, "Machine": {}, "Packages": {}}
    for manifest in trained:
        recorded = manifest.provenance
        if not recorded:
            continue
        trained_on = " in ".join(
            manifest.details[name] for name in ("device", "precision") if name in manifest.details
        )
        packages = ", ".join(f"{name} {version}" for name, version in recorded["packages"].items())
        for what, text in (
            ("Commit", commit_in_words(recorded) or MISSING),
            ("Machine", _machine(recorded["machine"]) + (f"; trained on {trained_on}" if trained_on else "")),
            ("Packages", packages),
        ):
            found[what].setdefault(text, []).append(manifest.partition)
    return [
        (f"{what} of {', '.join(names)}" if len(texts) > 1 else what, text)
        for what, texts in found.items()
        for text, names in texts.items()
    ]


def _machine(machine: dict[str, Any]) -> str:
    parts = [
        machine["processor"],
        f"{machine['cores']} cores",
        f"{machine['memory_bytes'] / 2**30:.0f} GiB",
        *machine["gpus"],
        machine["system"],
    ]
    return ", ".join(part for part in parts if part)


def _read(store: Store, asset: str, partition: str, fingerprint: str) -> Manifest | None:
    try:
        return store.read_manifest(asset, partition, fingerprint)
    except StoreError:  # said where the artefact itself is shown
        return None


def _link(asset: str, partition: str, fingerprint: str, manifest: Manifest | None) -> Link:
    if manifest is None:
        return Link(asset, partition, fingerprint[:12], "no longer in the store", MISSING, MISSING)
    return Link(
        asset,
        partition,
        fingerprint[:12],
        date_in_words(manifest.created_at),
        duration_in_words(manifest.seconds),
        commit_in_words(manifest.provenance) or MISSING,
    )
