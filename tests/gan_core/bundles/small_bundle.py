"""A project that is done in seconds, for bundles of it, and what tests break of a bundle."""

import json
from pathlib import Path
from types import SimpleNamespace

from gan_core.bundles.contents import LIST, BundleList, FileHash
from gan_core.config import load_configs
from gan_core.data.raw import collect_raw_images
from gan_core.data.shards import write_image_shards
from gan_core.evaluation.classifier import train_classifier
from gan_core.evaluation.evaluate import evaluate_samples
from gan_core.evaluation.reference import compute_reference_statistics
from gan_core.sampling import draw_samples
from gan_core.store import Manifest, Store, sha256_of
from gan_core.training.task import TrainingTask
from gan_core.training.train import run_training
from tests.small_project import DATASET, EXPERIMENT, write_config

METRICS = ["fid", "kid", "coverage", "copying", "is", "accuracy"]
SMALL = {
    **DATASET,
    "licence": "CC BY 4.0",
    "test_fraction": 0.5,
    "limit": 120,
    "evaluation": {"samples": 120, "metrics": METRICS},
}
CONDITIONAL = {**EXPERIMENT, "conditioning": {"name": "acgan"}, "length": {"images": 2000}}


def make_project(folder: Path, dataset: dict = SMALL, experiment: dict = CONDITIONAL, **locations: str):
    """Everything from images to the evaluation; `locations` of the splits, where they are not the kind's."""
    for content in (dataset, experiment):
        write_config(folder / "configs", content)
    configs, store = load_configs(folder / "configs"), Store(folder / "store")
    data, plan = configs.dataset(dataset["name"]), configs.experiment(experiment["name"])
    shards = write_image_shards(store, data, collect_raw_images(store, data, locations=locations))
    classifier = train_classifier(store, data, shards)
    reference = compute_reference_statistics(store, data, shards, classifier)
    trained = run_training(store, TrainingTask(experiment=plan, dataset=data, shards=shards))
    samples = draw_samples(store, plan, data, trained, shards)
    evaluation = evaluate_samples(store, data, samples, reference, classifier)
    return SimpleNamespace(folder=folder, store=store, dataset=data, experiment=plan, evaluation=evaluation)


def sealed_again(folder: Path) -> None:
    """Write the list of a bundle whose files were changed on purpose, as its maker could."""
    listed = BundleList.from_json((folder / LIST).read_bytes())
    for name in listed.files:
        path = folder / name
        listed.files[name] = FileHash(size=path.stat().st_size, sha256=sha256_of(path))
    (folder / LIST).write_bytes(listed.to_json())


def flip(path: Path, position: float = 0.5) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[int(position * (len(content) - 1))] ^= 1
    path.write_bytes(content)


def manifest_path(folder: Path, asset: str) -> Path:
    (path,) = (folder / "store" / asset).rglob("manifest.json")
    return path


def edit_manifest(folder: Path, asset: str, edit) -> None:
    """Edit a manifest of a bundle and seal everything again."""
    path = manifest_path(folder, asset)
    manifest = Manifest.from_json(path.read_bytes())
    edit(manifest)
    path.write_bytes(manifest.to_json())
    sealed_again(folder)


def listed(folder: Path) -> dict:
    return json.loads((folder / LIST).read_text())
