"""Writing a bundle: a trained generator with its figures and all that is needed to measure them again."""

import datetime
import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_core import steps
from gan_core.bundles.card import card_text
from gan_core.bundles.contents import (
    CARD,
    CONFIGS,
    GRID,
    LIST,
    ONNX,
    REQUIREMENTS,
    STORE,
    Artefact,
    Bundle,
    BundleList,
    FileHash,
    artefact_folder,
    config_file,
    is_bundle,
)
from gan_core.bundles.onnx_file import PACKAGES, require_packages, write_onnx
from gan_core.bundles.requirements import requirements_text
from gan_core.bundles.scrubbing import is_public, without_places
from gan_core.config import Dataset, Experiment, config_changes, load_configs
from gan_core.config.yaml_files import as_yaml
from gan_core.data.duplicates.artefact import GROUPS_FILE, LEAKS_FILE
from gan_core.errors import ConfigError, DamagedError, StoreError
from gan_core.placing import check_free, new_folder
from gan_core.progress import Progress
from gan_core.remedies import how_to_make
from gan_core.sampling import WEIGHTS, load_generator
from gan_core.store import MANIFEST, Manifest, Store, sha256_of
from gan_core.store.provenance import provenance
from gan_core.store.store import CURRENT

logger = logging.getLogger("gan_core")
# Which files of an artefact go into a bundle; None: all. Images stay where they are: their shards can be made
# again from the inventory's images, and the samples from the generator.
KEPT: dict[str, tuple[str, ...] | None] = {
    "raw_images": None,
    "duplicates": (GROUPS_FILE, LEAKS_FILE),
    "image_shards": (),
    "classifier": None,
    "reference_statistics": None,
    "trained_gan": (WEIGHTS, "history.parquet", "evaluations.parquet", "progress.png"),
    "samples": ("grid.png",),
    "evaluation": None,
}


@dataclass(frozen=True)
class Chain:
    """The artefacts that an evaluation stands on, by asset, and their configurations."""

    experiment: Experiment
    dataset: Dataset
    artefacts: dict[str, Manifest]

    def __getitem__(self, asset: str) -> Manifest:
        return self.artefacts[asset]


def export_bundle(
    store: Store,
    experiment: Experiment,
    dataset: Dataset,
    target: Path,
    *,
    force: bool = False,
    emit: Callable[[str], None] = logger.info,
) -> tuple[Bundle, bool]:
    """Write the bundle of an experiment that was evaluated to the folder `target`; return it, and whether it
    was there already with the same artefacts, whole.

    `target` is there whole or not at all. With `force` a bundle that is there is replaced; any other thing in
    its place is a `GanError`. `StoreError` where an artefact is missing, damaged or not made from the others
    as they are now, `ConfigError` where the configuration has changed since.
    """
    chain = chain_of(store, experiment, dataset)
    if not force and (found := _same(target, chain, emit)):
        return found, True
    check_free(target.absolute(), LIST, force=force)
    require_packages("huggingface_hub", *PACKAGES)
    with new_folder(target, LIST, force=force) as folder:
        _write_configs(folder, chain)
        artefacts = _write_artefacts(folder, store, chain, emit)
        generator = load_generator(store, chain["trained_gan"])
        onnx = write_onnx(generator, folder / ONNX, dataset.evaluation.seed, emit)
        shutil.copyfile(store.local(chain["samples"], "grid.png"), folder / GRID)
        (folder / REQUIREMENTS).write_text(requirements_text())
        (folder / CARD).write_text(_card(folder, chain, onnx), encoding="utf-8")
        listed = BundleList(
            experiment=experiment.name,
            dataset=dataset.name,
            artefacts=artefacts,
            files=_hashes(folder),
            onnx=onnx,
            made_with=without_places(provenance()),
            exported_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )
        (folder / LIST).write_bytes(listed.to_json())
    emit(f"{target} is written: {sizes_in_words(listed)}")
    return Bundle.open(target), False


def chain_of(store: Store, experiment: Experiment, dataset: Dataset) -> Chain:
    """What the current evaluation of an experiment stands on, checked to belong together."""
    evaluation = store.require("evaluation", experiment.name)
    samples = _input(store, evaluation, "samples", experiment.name)
    reference = _input(store, evaluation, "reference_statistics", dataset.name)
    trained = _input(store, samples, "trained_gan", experiment.name)
    shards = _input(store, reference, "image_shards", dataset.name)
    raw = _input(store, shards, "raw_images", dataset.name)
    found = {"raw_images": raw, "image_shards": shards, "reference_statistics": reference}
    found |= {"trained_gan": trained, "samples": samples, "evaluation": evaluation}
    if "classifier" in evaluation.inputs:
        found["classifier"] = _input(store, evaluation, "classifier", dataset.name)
    if "duplicates" in shards.inputs:  # near-duplicates, which were left out
        found["duplicates"] = _input(store, shards, "duplicates", dataset.name)
    _check_training(store, trained, shards, experiment)
    step = steps.evaluation(dataset, samples, reference, found.get("classifier"))
    drawn = steps.samples(experiment, dataset, trained, shards)
    if (step.fingerprint, drawn.fingerprint) != (evaluation.fingerprint, samples.fingerprint):
        raise ConfigError(
            f"evaluation/{experiment.name} was made by other settings or by another version of this project "
            f"than these: {how_to_make('samples', experiment.name)}, then "
            f"{how_to_make('evaluation', experiment.name)}"
        )
    return Chain(experiment, dataset, {asset: found[asset] for asset in KEPT if asset in found})


def _input(store: Store, manifest: Manifest, asset: str, partition: str) -> Manifest:
    """The input that an artefact was made from, if it is still as it was."""
    fingerprint = manifest.inputs.get(asset)
    found = fingerprint and store.read_manifest(asset, partition, fingerprint)
    if not found or not store.is_made_from(manifest, **{asset: found}):
        raise StoreError(
            f"{manifest.asset}/{manifest.partition} was made from a {asset} that is no longer in {store.url} "
            f"or was made again since: {how_to_make(manifest.asset, manifest.partition)}"
        )
    return found


def _check_training(store: Store, trained: Manifest, shards: Manifest, experiment: Experiment) -> None:
    again = how_to_make("trained_gan", experiment.name)
    if changes := config_changes(trained.config, experiment):
        raise ConfigError(
            f"{experiment.name} was trained by another configuration than it has now ({'; '.join(changes)}): "
            f"{again}, draw its samples and evaluate them, or undo the change"
        )
    if not store.is_made_from(trained, image_shards=shards):
        raise StoreError(
            f"{experiment.name} was trained on other shards than it is measured against: {again}"
        )


def _same(target: Path, chain: Chain, emit: Callable[[str], None]) -> Bundle | None:
    """The bundle at `target`, where it is whole and of these artefacts."""
    if not is_bundle(target):
        return None
    try:
        bundle = Bundle.open(target)
    except DamagedError:
        return None
    versions = {asset: artefact.version for asset, artefact in bundle.listed.artefacts.items()}
    if versions != {asset: manifest.version for asset, manifest in chain.artefacts.items()}:
        return None
    return None if bundle.damages(emit) else bundle


# --- what goes into it ------------------------------------------------------------------------------------


def without_local(dataset: Dataset) -> Dataset:
    """The dataset as a stranger gets it: without places of this machine and URLs with passwords."""
    source, evaluation = dataset.source, dataset.evaluation
    places = {
        split: location if is_public(location := getattr(source, split)) else None
        for split in ("train", "test")
    }
    weights = {name: place for name, place in evaluation.weights.items() if is_public(place)}
    return dataset.model_copy(
        update={
            "source": source.model_copy(update=places),
            "evaluation": evaluation.model_copy(update={"weights": weights}),
            "description": without_places(dataset.description),
        }
    )


def _write_configs(folder: Path, chain: Chain) -> None:
    """The configurations, read again to be sure that they mean the same."""
    experiment = chain.experiment.model_copy(
        update={"description": without_places(chain.experiment.description)}
    )
    for kind, item in (("datasets", without_local(chain.dataset)), ("experiments", experiment)):
        path = folder / config_file(kind, item.name)
        path.parent.mkdir(parents=True)
        path.write_text(as_yaml(item.model_dump(mode="json")), encoding="utf-8")
    configs = load_configs(folder / CONFIGS)
    read = configs.experiment(chain.experiment.name)
    if read.training_identity() != chain.experiment.training_identity():
        raise ConfigError(f"the configuration of {read.name} does not survive being written: report this")


def _card(folder: Path, chain: Chain, onnx: dict[str, Any]) -> str:
    """Of the configurations as they stand in the bundle."""
    configs = load_configs(folder / CONFIGS)
    experiment = configs.experiment(chain.experiment.name)
    artefacts = {asset: _public(manifest) for asset, manifest in chain.artefacts.items()}
    return card_text(experiment, configs.dataset(chain.dataset.name), artefacts, onnx)


def _write_artefacts(
    folder: Path, store: Store, chain: Chain, emit: Callable[[str], None]
) -> dict[str, Artefact]:
    kept = {asset: _kept_files(manifest) for asset, manifest in chain.artefacts.items()}
    total = sum(chain[asset].files[name].size for asset, names in kept.items() for name in names)
    progress = Progress("copying what verification needs", total, "bytes", emit=emit)
    found = {}
    for asset, manifest in chain.artefacts.items():
        public = _public(manifest)
        place = folder / artefact_folder(public)
        place.mkdir(parents=True)
        for name in kept[asset]:
            target = place / public.files[name].path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(store.local(manifest, name), target)
            progress.advance(public.files[name].size)
        (place / MANIFEST).write_bytes(public.to_json())
        pointer = json.dumps({"fingerprint": public.fingerprint})
        (place.parent / CURRENT).write_text(pointer)
        left_out = {name: entry.size for name, entry in public.files.items() if name not in kept[asset]}
        found[asset] = Artefact(
            partition=public.partition,
            fingerprint=public.fingerprint,
            version=public.version,
            left_out=left_out,
        )
    return found


def _kept_files(manifest: Manifest) -> list[str]:
    kept = KEPT[manifest.asset]
    return [name for name in manifest.files if kept is None or name in kept]


def _public(manifest: Manifest) -> Manifest:
    """The manifest without places of this machine. Fingerprint and version are the same: neither is made of
    what is changed."""
    files = {
        name: entry.model_copy(update={"path": f"files/{name}"}) for name, entry in manifest.files.items()
    }
    changed: dict[str, Any] = {"files": files}
    for field in ("details", "provenance"):
        changed[field] = without_places(getattr(manifest, field))
    return manifest.model_copy(update=changed)


def _hashes(folder: Path) -> dict[str, FileHash]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): FileHash(size=path.stat().st_size, sha256=sha256_of(path))
        for path in paths
    }


def sizes_in_words(listed: BundleList) -> str:
    """`12.3 MB, of which reference_statistics 9.8 MB, raw_images 0.2 MB`: the largest first."""
    parts: dict[str, int] = {}
    for name, entry in listed.files.items():
        part = name.split("/")[1] if name.startswith(f"{STORE}/") else name
        parts[part] = parts.get(part, 0) + entry.size
    largest = sorted(parts.items(), key=lambda item: -item[1])[:3]
    of_which = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in largest)
    return f"{sum(parts.values()) / 1e6:.1f} MB, of which {of_which}"
