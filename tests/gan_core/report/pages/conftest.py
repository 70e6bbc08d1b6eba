"""Small generators that were trained for a moment, and their play pages."""

from types import SimpleNamespace

import pytest

from gan_core.config import load_configs
from gan_core.data.raw import collect_raw_images
from gan_core.data.shards import write_image_shards
from gan_core.report.pages.play import render_play
from gan_core.report.site import play_path
from gan_core.sampling import load_generator
from gan_core.store import Store
from gan_core.training.task import TrainingTask
from gan_core.training.train import run_training
from tests.small_project import DATASET, EXPERIMENT, write_config

SMALL = {"dataset": "digits-32", "length": {"images": 500}}
GENERATORS = {
    "dcgan": {"ema_decay": 0.9},
    "acgan": {"conditioning": {"name": "acgan"}},
    "resnet": {"architecture": {"name": "resnet", "width": 8}},
    "uniform": {"latent": {"size": 5, "distribution": "uniform"}, "output": {"activation": "sigmoid"}},
}
NAVIGATION = (("Leader & board", "index.html"), ("Datasets", "datasets.html"))


@pytest.fixture(scope="session")
def trainings(tmp_path_factory):
    """`store`, and `trained`: a manifest by the name of a generator."""
    folder = tmp_path_factory.mktemp("trainings")
    write_config(folder / "configs", {**DATASET, "name": "digits-32", "image_size": 32})
    for name, values in GENERATORS.items():
        write_config(folder / "configs", {**EXPERIMENT, **SMALL, **values, "name": name})
    configs, store = load_configs(folder / "configs"), Store(folder / "store")
    dataset = configs.dataset("digits-32")
    shards = write_image_shards(store, dataset, collect_raw_images(store, dataset))
    trained = {
        name: run_training(
            store, TrainingTask(experiment=configs.experiment(name), dataset=dataset, shards=shards)
        )
        for name in GENERATORS
    }
    return SimpleNamespace(store=store, trained=trained)


@pytest.fixture(scope="session")
def pages(trainings, tmp_path_factory):
    """By the name of a generator: the `path` of its play page, and the `generator` in PyTorch."""
    folder, made = tmp_path_factory.mktemp("report"), {}
    (folder / "play").mkdir()
    for name, trained in trainings.trained.items():
        path = folder / play_path(name)
        place = f"experiments/{name}.html"
        path.write_bytes(render_play(trainings.store, trained, NAVIGATION, experiment_page=place, emit=print))
        made[name] = SimpleNamespace(path=path, generator=load_generator(trainings.store, trained))
    return made
