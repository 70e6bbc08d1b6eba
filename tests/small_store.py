"""A small project, and the same with an experiment that was made by every step."""

from dataclasses import dataclass
from pathlib import Path

from gan_core.config import Configs, load_configs
from gan_core.planning import Plan, make_plan
from gan_core.store import Store
from tests.small_project import DATASET as FEW_DIGITS
from tests.small_project import EXPERIMENT, write_config

# Fewer than those: the classifier takes the most of the time.
DATASET = {**FEW_DIGITS, "limit": 120}
# As much work an image as `plain`, but another training.
SEED = {**EXPERIMENT, "name": "seed", "seed": 1, "length": {"images": 2000}}
# Another work an image.
WIDE = {**EXPERIMENT, "name": "wide", "architecture": {"width": 16}}


@dataclass(frozen=True)
class Project:
    folder: Path

    @property
    def store(self) -> Store:
        return Store(self.folder / "store")

    @property
    def configs(self) -> Configs:
        return load_configs(self.folder / "configs")

    def write(self, content: dict) -> None:
        write_config(self.folder / "configs", content)

    def plan(self, *names: str, **options) -> Plan:
        return make_plan(self.store, self.configs, names, **options)

    def train(self, name: str, **options) -> None:
        from gan_core.training import train_gan

        configs = self.configs
        experiment, dataset = configs.experiments[name], configs.datasets["few-digits"]
        shards = self.store.require("image_shards", dataset.name)
        classifier = self.store.current("classifier", dataset.name)
        train_gan(self.store, experiment, dataset, shards, classifier, **options)


def written(folder: Path) -> Project:
    project = Project(folder)
    for content in (DATASET, EXPERIMENT, SEED, WIDE):
        project.write(content)
    return project


def made(folder: Path) -> None:
    """`plain` was made by every step."""
    from gan_core.analysis.analyse import analyse_experiment
    from gan_core.data.raw import collect_raw_images
    from gan_core.data.shards import write_image_shards
    from gan_core.evaluation.classifier import train_classifier
    from gan_core.evaluation.evaluate import evaluate_samples
    from gan_core.evaluation.reference import compute_reference_statistics
    from gan_core.sampling import draw_samples

    project = written(folder)
    store, configs = project.store, project.configs
    dataset, plain = configs.datasets["few-digits"], configs.experiments["plain"]
    shards = write_image_shards(store, dataset, collect_raw_images(store, dataset))
    classifier = train_classifier(store, dataset, shards)
    reference = compute_reference_statistics(store, dataset, shards, classifier)
    project.train("plain")
    trained = store.require("trained_gan", "plain")
    samples = draw_samples(store, plain, dataset, trained, shards)
    evaluate_samples(store, dataset, samples, reference, classifier)
    analyse_experiment(store, plain, dataset, trained, shards, classifier)
