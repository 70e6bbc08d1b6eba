"""A small GAN and a conditional one, trained for a second on 300 digits."""

from dataclasses import dataclass

import pytest

from gan_core.analysis.kinds import arithmetic, class_sweep, interpolation, linear_probe
from gan_core.analysis.subject import Subject
from gan_core.config import Configs, Dataset, load_configs
from gan_core.data.raw import collect_raw_images
from gan_core.data.shards import write_image_shards
from gan_core.evaluation.classifier import train_classifier
from gan_core.store import Manifest, Store
from gan_core.training import train_gan
from tests.small_project import DATASET, EXPERIMENT, write_config


@dataclass(frozen=True)
class Trained:
    """A store in which two experiments are trained: `plain` and `conditional`."""

    store: Store
    configs: Configs
    shards: Manifest
    classifier: Manifest

    @property
    def dataset(self) -> Dataset:
        return self.configs.datasets["few-digits"]

    def subject(self, experiment: str = "plain", **settings) -> Subject:
        trained = self.store.require("trained_gan", experiment)
        return Subject(self.store, self.dataset, trained, self.shards, self.classifier, str, settings)

    def inputs(self, experiment: str = "plain") -> tuple:
        """What `analyse_experiment` is given."""
        trained = self.store.require("trained_gan", experiment)
        known = self.configs.experiments[experiment]
        return self.store, known, self.dataset, trained, self.shards, self.classifier


@pytest.fixture(scope="session", autouse=True)
def small_numbers():
    """Shares of fewer images: what they are computed from is the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arithmetic, "POOL", 1000)
        patch.setattr(linear_probe, "DRAWS", 2)
        patch.setattr(linear_probe, "RESAMPLES", 500)
        patch.setattr(class_sweep, "MEASURED", 200)
        patch.setattr(interpolation, "MEASURED", 200)
        yield


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Trained:
    folder = tmp_path_factory.mktemp("analysis")
    write_config(folder / "configs", DATASET)
    write_config(folder / "configs", EXPERIMENT)
    acgan = {**EXPERIMENT, "name": "conditional", "conditioning": {"name": "acgan"}}
    write_config(folder / "configs", acgan)
    configs, store = load_configs(folder / "configs"), Store(folder / "store")
    dataset = configs.datasets["few-digits"]
    shards = write_image_shards(store, dataset, collect_raw_images(store, dataset, emit=str), emit=str)
    classifier = train_classifier(store, dataset, shards, emit=str)
    for experiment in configs.experiments.values():
        train_gan(store, experiment, dataset, shards, classifier, emit=str)
    return Trained(store, configs, shards, classifier)
