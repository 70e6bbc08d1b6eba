"""The same steps twice, in two stores: all have the same versions, so nothing follows from a repetition."""

import signal

import pytest

from gan_core import cli
from gan_core.store import Store
from gan_core.training.checkpoints import Checkpoints
from tests.few_images import train_briefly
from tests.small_project import DATASET, EXPERIMENT, write_config

CHAIN = ("shard few-digits", "reference few-digits", "train plain", "sample plain", "evaluate plain")
# The tables are not among them: they show how many images a second were trained on.
ASSETS = (
    *("raw_images", "image_shards", "classifier", "reference_statistics"),
    *("trained_gan", "samples", "evaluation", "untrained"),
)


@pytest.fixture
def run(tmp_path, monkeypatch):
    train_briefly(monkeypatch)
    write_config(tmp_path / "configs", DATASET)
    write_config(tmp_path / "configs", {**EXPERIMENT, "checkpoint_every": 250, "evaluate_every": 250})
    monkeypatch.setenv("GAN_CONFIGS", str(tmp_path / "configs"))
    before = signal.getsignal(signal.SIGTERM)
    yield lambda name, line: cli.main([*line.split(), "--store", str(tmp_path / name)])
    signal.signal(signal.SIGTERM, before)


def versions(store: Store) -> dict[str, str]:
    return {
        f"{asset}/{partition}": store.require(asset, partition).version
        for asset in ASSETS
        for partition in store.list_names(asset)
    }


def test_every_step_gives_the_same_version_again_also_after_an_interrupt(run, tmp_path, monkeypatch):
    for line in CHAIN:
        assert run("one", line) == 0
    for line in CHAIN:
        if line.startswith("train"):
            with monkeypatch.context() as patch:
                patch.setattr(Checkpoints, "save", interrupted_after(Checkpoints.save))
                assert run("two", line) == 130
        assert run("two", line) == 0
    one, two = Store(tmp_path / "one"), Store(tmp_path / "two")
    assert {name.partition("/")[0] for name in versions(one)} == set(ASSETS)
    assert versions(two) == versions(one)
    times = [store.require("trained_gan", "plain").files["times.parquet"].sha256 for store in (one, two)]
    assert times[0] != times[1]


def interrupted_after(save):
    """`save`, which then ends the training as Ctrl-C does."""

    def saved(self, state: dict, *, best: bool = False) -> None:
        save(self, state, best=best)
        if state["images_seen"] >= 500:
            raise KeyboardInterrupt

    return saved
