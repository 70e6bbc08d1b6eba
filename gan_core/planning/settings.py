"""What decides how long a step beside the training takes: of one that was made, and of one that is planned.

Both are text to be compared: a recorded time counts only for a step with the same settings.
"""

import functools
import json
from typing import Any

from gan_core import steps
from gan_core.config import Experiment, recorded_experiment
from gan_core.errors import DamagedError, GanError
from gan_core.planning.states import DatasetState
from gan_core.store import Manifest, Store

OF_IMAGES = ("image_size", "channels")
# What a generator's work stands on, and that of the discriminator whose features are looked at.
OF_NETWORKS = (*steps.GENERATOR_SECTIONS, "precision")
# The steps that look at a generator, and those that look at the real images.
LOOKS_AT_NETWORKS = {"samples", "analysis"}
LOOKS_AT_IMAGES = {
    *("duplicates", "image_shards", "classifier", "reference_statistics", "evaluation", "analysis"),
}
# Those that draw or measure as many images as there are, where the dataset does not say how many.
COUNTS_IMAGES = {"reference_statistics", "samples", "evaluation"}


def planned_settings(asset: str, state: DatasetState, experiment: Experiment | None = None) -> str | None:
    """Of a dataset's step, or of one after the training of `experiment`. None where they are not known: the
    images, or the shards that it takes to count them, are yet to be made."""
    dataset, raw = state.dataset, state.found["raw_images"].made
    if asset == "raw_images" or (raw is None and asset in LOOKS_AT_IMAGES):
        return None
    shards = state.counted_shards
    needs_shards = asset in COUNTS_IMAGES and dataset.evaluation.samples is None
    if shards is None and needs_shards:
        return None
    shape = {key: getattr(dataset, key) for key in OF_IMAGES}
    images = [raw and raw.fingerprint]
    if asset != "duplicates":
        images += [shape, dataset.removes_duplicates]
    networks = experiment and [_networks(experiment), shape]
    return _settings(asset, _planned_config(asset, state, raw, shards, experiment), images, networks)


class RecordedSettings:
    """Of the steps that a store holds; each manifest is read once."""

    def __init__(self, store: Store):
        self.store = store
        self._manifest = functools.cache(self._read)

    def of(self, made: Manifest, dataset: str) -> str | None:
        """None where what it was made from is there no longer."""
        images = self._images(made, dataset) if made.asset in LOOKS_AT_IMAGES else None
        networks = self._networks(made) if made.asset in LOOKS_AT_NETWORKS else None
        config = dict(made.config)
        if "extractors" in config:  # by name: a classifier that was trained again takes no longer
            config["extractors"] = sorted(config["extractors"])
        if made.asset == "evaluation":
            config["samples"] = made.details.get("samples")
        return _settings(made.asset, config, images, networks)

    # -- inside

    def _images(self, made: Manifest, dataset: str) -> list[Any] | None:
        """The images that were collected, and what was made of them."""
        if made.asset == "duplicates":
            return [made.inputs.get("raw_images")]  # the rest is in its configuration
        shards: Manifest | None = made
        if "reference_statistics" in made.inputs:
            shards = self._input(made, "reference_statistics", dataset)
        if shards and shards.asset != "image_shards":
            shards = self._input(shards, "image_shards", dataset)
        if shards is None:
            return None
        return [shards.inputs.get("raw_images"), _shape(shards.config), "duplicates" in shards.inputs]

    def _networks(self, made: Manifest) -> list[Any] | None:
        trained = self._input(made, "trained_gan", made.partition)
        try:
            return trained and [
                _networks(recorded_experiment(trained.config, trained.partition)),
                _shape(trained.details),
            ]
        except GanError:
            return None

    def _input(self, made: Manifest, asset: str, partition: str) -> Manifest | None:
        return self._manifest(asset, partition, made.inputs.get(asset, ""))

    def _read(self, asset: str, partition: str, fingerprint: str) -> Manifest | None:
        try:
            return self.store.read_manifest(asset, partition, fingerprint) if fingerprint else None
        except DamagedError:
            return None


# --- inside -----------------------------------------------------------------------------------------------


def _settings(asset: str, config: dict[str, Any], images: Any, networks: Any) -> str | None:
    """As text. None where something that the step looks at is not known."""
    looks_at = {}
    if asset in LOOKS_AT_IMAGES:
        looks_at["images"] = images
    if asset in LOOKS_AT_NETWORKS:
        looks_at["networks"] = networks
    if any(one is None for one in looks_at.values()):
        return None
    config = {key: value for key, value in config.items() if key != "seed"}
    return json.dumps({"config": config, **looks_at}, sort_keys=True)


def _planned_config(
    asset: str,
    state: DatasetState,
    raw: Manifest | None,
    shards: Manifest | None,
    experiment: Experiment | None,
) -> dict[str, Any]:
    """As `RecordedSettings` has it."""
    dataset = state.dataset
    if asset == "duplicates":
        return steps.duplicates(dataset, raw).config
    if asset == "image_shards":
        return steps.shards_config(dataset)
    if asset == "classifier":
        return steps.classifier_config(dataset)
    if asset == "samples":
        return steps.samples_config(experiment, dataset, shards)
    if asset == "analysis":
        return steps.analysis_config(dataset)
    return {
        "extractors": sorted(dataset.evaluation.extractors),
        "metrics": steps.metric_versions(dataset),
        "samples": steps.sample_count(dataset, shards),
    }


def _networks(experiment: Experiment) -> dict[str, Any]:
    config = experiment.training_config()
    return {key: config[key] for key in OF_NETWORKS}


def _shape(of: dict[str, Any]) -> dict[str, Any]:
    return {key: of.get(key) for key in OF_IMAGES}
