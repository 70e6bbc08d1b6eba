"""The moment after one epoch: recorded, and of no effect on anything else."""

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

from gan_core.evaluation.in_training import InTrainingEvaluation
from gan_core.images import to_uint8
from gan_core.sampling import load_generator
from gan_core.store import Store
from gan_core.training import train_gan
from gan_core.training.engine import Engine
from gan_core.training.records.results import FIRST_EPOCH
from gan_core.training.state import fixed_inputs


def quiet(line: str) -> None:
    pass


def test_it_is_what_is_drawn_and_measured_at_that_moment(
    store, make_shards, make_experiment, dataset, monkeypatch
):
    """50 images in batches of 8: the first epoch ends with the seventh batch, 56 images."""
    measured, measure = [], InTrainingEvaluation.measure
    monkeypatch.setattr(InTrainingEvaluation, "measure", lambda *given: measured.append(0) or measure(*given))
    shards = make_shards(store)
    long = train_gan(store, make_experiment(evaluate_every=56), dataset, shards, emit=quiet)
    measured_of_long = list(measured)
    short = train_gan(
        store, make_experiment(name="epoch", length={"images": 56}), dataset, shards, emit=quiet
    )
    rows = pandas.read_parquet(store.local(long, "evaluations.parquet")).to_dict("records")
    assert long.details["first_epoch"] == rows[0] and rows[0]["images_seen"] == 56
    assert len(measured_of_long) == 1 + len(rows)  # that of the beginning is no row; none is made twice
    # A run that ends there has the same generator: what it draws is what was kept.
    experiment = make_experiment()
    latents, labels = fixed_inputs(experiment, 0, "cpu")
    drawn = to_uint8(load_generator(store, short)(latents, labels)).numpy()
    kept = np.asarray(Image.open(store.local(long, FIRST_EPOCH)))
    assert np.array_equal(kept, np.concatenate(list(drawn[:, 0]), axis=1))


def test_it_changes_nothing_else(store, tmp_path, make_shards, make_experiment, dataset, monkeypatch):
    experiment, shards = make_experiment(ema_decay=0.9), make_shards(store)
    recorded = train_gan(store, experiment, dataset, shards, emit=quiet)
    monkeypatch.setattr(Engine, "_look_at_first_epoch", lambda engine: None)
    other = Store(tmp_path / "other")
    without = train_gan(other, experiment, dataset, make_shards(other), emit=quiet)
    assert FIRST_EPOCH in recorded.files and FIRST_EPOCH not in without.files
    assert without.details["first_epoch"] is None
    assert recorded.fingerprint == without.fingerprint
    counting = {name: entry.sha256 for name, entry in recorded.files.items() if entry.counts}
    others = {name: entry.sha256 for name, entry in without.files.items() if entry.counts}
    del counting[FIRST_EPOCH]
    assert counting == others


@pytest.mark.parametrize("length", [{"images": 40}, {"epochs": 1}])
def test_a_run_of_one_epoch_or_less_has_none(store, make_shards, make_experiment, dataset, length):
    manifest = train_gan(store, make_experiment(length=length), dataset, make_shards(store), emit=quiet)
    assert manifest.details["first_epoch"] is None and FIRST_EPOCH not in manifest.files


def test_a_checkpoint_of_an_earlier_version_goes_on_without(make_experiment):
    from gan_core.training.state import TrainingState

    def fresh() -> TrainingState:
        shape = {"channels": 1, "image_size": 16, "n_classes": 0}
        return TrainingState(make_experiment(), **shape, device=torch.device("cpu"))

    saved = fresh().state_dict()
    del saved["first_epoch"]
    state = fresh()
    state.load_state_dict(saved)
    assert state.first_epoch is None


def test_an_fid_of_another_classifier_goes_from_it_too(make_experiment):
    from gan_core.training.state import TrainingState

    shape = {"channels": 1, "image_size": 16, "n_classes": 0}
    state = TrainingState(make_experiment(), **shape, device=torch.device("cpu"))
    state.measure_by("one")
    state.first_epoch = {
        "images_seen": 56,
        "samples": state.draw_fixed(),
        "row": {"fid": 3.0, "diversity": 1},
    }
    assert state.measure_by("one") and state.first_epoch["row"]["fid"] == 3.0
    assert not state.measure_by("another") and state.first_epoch["row"] == {"diversity": 1}
