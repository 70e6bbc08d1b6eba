"""Drawing samples: repeatable, even by class, and what the step `samples` writes."""

import io
from collections import Counter

import numpy as np
import pytest
import torch
import webdataset
from PIL import Image
from safetensors.torch import save_file

from gan_core import steps
from gan_core.config import Dataset, Experiment
from gan_core.data.decoding import ShardFormat, decode_into
from gan_core.data.pixels import encode_png
from gan_core.data.tars import read_tar, write_tar
from gan_core.errors import ConfigError, EvaluationError, StoreError
from gan_core.images import grid_array, grid_png, to_network_range, to_uint8
from gan_core.models import build_generator
from gan_core.sampling import (
    count_classes,
    draw_labels,
    draw_samples,
    generate,
    load_generator,
    untrained_generator,
)
from gan_core.steps import Step
from gan_core.store import Build, Manifest, Store

CLASSES = ["a", "b", "c"]


def make_experiment(conditioning: str, size: int = 6) -> Experiment:
    return Experiment.model_validate(
        {
            "name": "small",
            "dataset": "tiny",
            "architecture": {"width": 4},
            "latent": {"size": size},
            "conditioning": {"name": conditioning},
            "length": {"images": 100},
        }
    )


def make_dataset(samples: int | None = 45, channels: int = 3, labels: str = "data") -> Dataset:
    return Dataset.model_validate(
        {
            "name": "tiny",
            "source": {"kind": "images"},
            "image_size": 16,
            "channels": channels,
            "classes": CLASSES,
            "evaluation": {"samples": samples, "seed": 3, "labels": labels},
        }
    )


def make_generator(experiment: Experiment, *, seed: int = 0, channels: int = 3) -> torch.nn.Module:
    """A generator that looks trained: weights and statistics far from the initial ones."""
    torch.manual_seed(seed)
    generator = build_generator(experiment, channels=channels, image_size=16, n_classes=3)
    for _ in range(20):
        labels = torch.arange(32) % 3
        generator(torch.randn(32, 6), labels)
    with torch.no_grad():
        generator.layers[-1].weight.mul_(300)
    return generator.eval()


def make_trained(store: Store, experiment: Experiment, channels: int = 3) -> Manifest:
    def build(work: Build) -> None:
        generator = make_generator(experiment, channels=channels)
        save_file(generator.state_dict(), work.folder / "generator.safetensors")
        work.details = {
            "classes": CLASSES,
            "n_classes": 3 if experiment.conditional else 0,
            "image_size": 16,
            "channels": channels,
        }

    return store.produce(
        "trained_gan",
        "small",
        config=experiment.training_config(),
        inputs={},
        code_version="1",
        build=build,
    )


COUNTS = {"a": 18, "b": 0, "c": 12}


def make_shards(images: int = 30) -> Manifest:
    """What sampling reads of the shards: how many train images there are, and of which classes."""
    values = {"asset": "image_shards", "partition": "tiny", "fingerprint": "0" * 64, "code_version": "1"}
    details = {"splits": {"train": {"images": images, "classes": COUNTS}}, "classes": CLASSES}
    return Manifest(**values, config={}, inputs={}, details=details)


def drawn(generator, count, **options) -> tuple[torch.Tensor, torch.Tensor | None]:
    batches = list(generate(generator, count, **options))
    labels = None if batches[0][1] is None else torch.cat([labels for _, labels in batches])
    return torch.cat([images for images, _ in batches]), labels


@pytest.mark.parametrize("conditioning", ["none", "acgan"])
def test_the_batch_size_changes_nothing(conditioning):
    generator = make_generator(make_experiment(conditioning))
    images, labels = drawn(generator, 1100, seed=5, batch_size=128)
    assert images.shape == (1100, 3, 16, 16)
    assert images.dtype == torch.uint8
    assert images.float().std() > 30
    for batch_size in (1, 37, 1100):
        other, other_labels = drawn(generator, 1100, seed=5, batch_size=batch_size)
        assert (other.int() - images.int()).abs().max() <= 1  # the arithmetic's rounding, no other latent
        assert (other != images).float().mean() < 1e-3
        assert labels is None or torch.equal(labels, other_labels)


def test_fewer_samples_are_the_first_ones_and_another_seed_gives_others():
    generator = make_generator(make_experiment("none"))
    images, _ = drawn(generator, 256, seed=0)
    assert torch.equal(drawn(generator, 128, seed=0)[0], images[:128])
    assert torch.equal(drawn(generator, 256, seed=0)[0], images)
    assert (drawn(generator, 256, seed=1)[0] != images).any(dim=(1, 2, 3)).all()
    assert len(images.flatten(1).unique(dim=0)) == 256


def test_batches_are_bounded():
    generator = make_generator(make_experiment("none"))
    assert [len(images) for images, _ in generate(generator, 10, seed=0, batch_size=4)] == [4, 4, 2]


def test_classes_come_in_turn_or_as_asked():
    generator = make_generator(make_experiment("acgan"))
    images, labels = drawn(generator, 45, seed=0)
    assert Counter(labels.tolist()) == {0: 15, 1: 15, 2: 15}
    ones, asked = drawn(generator, 45, seed=0, labels=torch.ones(45, dtype=torch.int64))
    assert asked.tolist() == [1] * 45
    same = (ones == images).all(dim=(1, 2, 3))
    assert same.tolist() == (labels == 1).tolist()


def test_a_loaded_generator_is_the_saved_one(tmp_path):
    store, experiment = Store(tmp_path), make_experiment("acgan")
    trained = make_trained(store, experiment)
    before = torch.get_rng_state()
    loaded = load_generator(store, trained)
    assert torch.equal(torch.get_rng_state(), before)
    assert not loaded.training
    z, labels = torch.randn(6, 6), torch.arange(6) % 3
    torch.testing.assert_close(loaded(z, labels), make_generator(experiment)(z, labels))


def test_an_untrained_generator_has_weights_of_its_seed(tmp_path):
    trained = make_trained(Store(tmp_path), make_experiment("acgan"))
    before = torch.get_rng_state()
    one, same, other = (untrained_generator(trained, seed).state_dict() for seed in (4, 4, 5))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["project.weight"], other["project.weight"])


def test_weights_of_another_network_are_refused_by_name(tmp_path):
    store = Store(tmp_path)
    trained = make_trained(store, make_experiment("none"))
    other = trained.model_copy(update={"config": make_experiment("none", size=7).training_config()})
    with pytest.raises(StoreError, match="does not fit the network .*train small --force"):
        load_generator(store, other)


def test_a_damaged_generator_is_refused(tmp_path):
    store = Store(tmp_path)
    trained = make_trained(store, make_experiment("none"))
    path = store.local(trained, "generator.safetensors")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(StoreError, match="does not match its manifest"):
        load_generator(store, trained)


def test_labels_are_drawn_one_by_one_in_the_proportions_of_the_data():
    counts, count = [100, 0, 1, 899], 20_000
    labels = draw_labels("data", counts, count, seed=0)
    shares = np.bincount(labels.numpy(), minlength=4) / count
    expected = np.array(counts) / 1000
    assert (np.abs(shares - expected) <= 5 * np.sqrt(expected * (1 - expected) / count)).all()
    assert torch.equal(draw_labels("data", counts, 100, seed=0), labels[:100])
    assert not torch.equal(draw_labels("data", counts, count, seed=1), labels)
    # Drawn for themselves: the number of a class in 100 labels spreads binomially; fixed numbers would not.
    of_class = (labels.view(-1, 100) == 0).sum(dim=1).double()
    assert of_class.var().item() == pytest.approx(100 * 0.1 * 0.9, rel=0.35)
    assert draw_labels("even", counts, 6, seed=0).tolist() == [0, 1, 2, 3, 0, 1]
    with pytest.raises(EvaluationError, match="no shares of classes.*evaluation.labels: even"):
        draw_labels("data", [0, 0], 3, seed=0)


def test_the_label_policy_counts_for_conditional_generators_only(tmp_path):
    """Images of an unconditional one are the same: neither they nor what was drawn in turn is drawn again."""
    shards, store = make_shards(), Store(tmp_path)
    by_conditioning = {}
    for conditioning in ("none", "acgan"):
        experiment = make_experiment(conditioning)
        trained = make_trained(store, experiment)
        by_conditioning[conditioning] = [
            steps.samples(experiment, make_dataset(labels=policy), trained, shards)
            for policy in ("data", "even")
        ]
    data, even = by_conditioning["none"]
    assert data.fingerprint == even.fingerprint and "labels" not in data.config
    data, even = by_conditioning["acgan"]
    assert data.fingerprint != even.fingerprint
    assert (data.config["labels"], even.config["labels"]) == ("data", "even")
    before = {name: value for name, value in even.config.items() if name != "labels"}
    assert even.fingerprint == Step("samples", "small", before, even.inputs).fingerprint
    shards.details["splits"]["train"]["classes"] = {"a": 1, "b": 1, "c": 28}
    other = steps.samples(make_experiment("acgan"), make_dataset(), trained, shards)
    assert other.fingerprint != data.fingerprint


def test_shards_that_do_not_say_how_many_are_of_each_class_are_counted(tmp_path):
    store = Store(tmp_path)

    def build(work: Build) -> None:
        for number, labels in enumerate(([0, 2, 2], [2])):
            png = encode_png(np.zeros((1, 16, 16), np.uint8))
            samples = [(f"{index:06d}", png, label) for index, label in enumerate(labels)]
            write_tar(work.folder / f"train-{number:06d}.tar", samples)
        names = ["train-000000.tar", "train-000001.tar"]
        split = {"images": 4, "shards": names, "images_per_shard": [3, 1]}
        work.details = {"splits": {"train": split}, "classes": CLASSES, "image_size": 16, "channels": 1}

    shards = store.produce("image_shards", "tiny", config={}, inputs={}, code_version="1", build=build)
    assert count_classes(store, shards) == [1, 0, 3]
    assert count_classes(store, make_shards()) == list(COUNTS.values())


def test_shards_of_other_classes_are_refused(tmp_path):
    store, experiment, shards = Store(tmp_path), make_experiment("acgan"), make_shards()
    shards.details["classes"] = ["a", "b"]
    shards.details["splits"]["train"]["classes"] = {"a": 10, "b": 20}
    with pytest.raises(ConfigError, match="knows 3 classes, but the shards of tiny have 2"):
        draw_samples(store, experiment, make_dataset(), make_trained(store, experiment), shards)


@pytest.mark.parametrize(
    ("conditioning", "channels", "policy"), [("none", 1, "data"), ("acgan", 3, "even"), ("acgan", 3, "data")]
)
def test_samples_artefact(tmp_path, conditioning, channels, policy):
    store, experiment = Store(tmp_path), make_experiment(conditioning)
    trained, dataset = (
        make_trained(store, experiment, channels),
        make_dataset(channels=channels, labels=policy),
    )
    lines: list[str] = []
    manifest = draw_samples(store, experiment, dataset, trained, make_shards(), emit=lines.append)
    assert sorted(manifest.files) == ["grid.png", "samples-000000.tar"]
    assert manifest.details["samples"] == ["samples-000000.tar"]
    assert manifest.details["conditional"] == (conditioning == "acgan")
    assert manifest.figures["samples"] == 45

    assert manifest.details["labels"] == (policy if conditioning == "acgan" else None)

    asked = {"even": None, "data": draw_labels("data", [18, 0, 12], 45, seed=3)}[policy]
    expected, _ = drawn(load_generator(store, trained), 45, seed=3, labels=asked)
    images, labels = np.empty(expected.shape, np.uint8), np.empty(45, np.int64)
    one = ShardFormat("tiny", expected.shape[1:], classes=3 if conditioning == "acgan" else 0)
    decode_into(store.local(manifest, "samples-000000.tar"), None, images, labels, one)
    assert np.array_equal(images, expected.numpy())
    if conditioning == "none":
        assert labels.tolist() == [-1] * 45
    else:
        assert labels.tolist() == ([0, 1, 2] * 15 if asked is None else asked.tolist())

    grid = Image.open(io.BytesIO(store.local(manifest, "grid.png").read_bytes()))
    rows = 3 if conditioning == "acgan" else 10
    assert grid.size == (3 * (10 * 18 - 2), 3 * (rows * 18 - 2))
    assert draw_samples(store, experiment, dataset, trained, make_shards(), emit=lines.append).reused


def test_samples_read_back_with_webdataset(tmp_path):
    store, experiment = Store(tmp_path), make_experiment("acgan")
    manifest = draw_samples(
        store, experiment, make_dataset(6, labels="even"), make_trained(store, experiment), make_shards()
    )
    path = store.local(manifest, "samples-000000.tar")
    samples = list(webdataset.WebDataset(str(path), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [f"{index:06d}" for index in range(6)]
    assert [int(sample["cls"]) for sample in samples] == [0, 1, 2, 0, 1, 2]


def test_many_samples_are_split_over_tars(tmp_path, monkeypatch):
    monkeypatch.setattr("gan_core.sampling.SAMPLES_PER_TAR", 20)
    store, experiment = Store(tmp_path), make_experiment("none")
    manifest = draw_samples(
        store, experiment, make_dataset(45), make_trained(store, experiment), make_shards(), emit=print
    )
    sizes = [len(list(read_tar(store.local(manifest, name)))) for name in manifest.details["samples"]]
    assert sizes == [20, 20, 5]


def test_by_default_as_many_are_drawn_as_there_are_train_images(tmp_path):
    store, experiment = Store(tmp_path), make_experiment("none")
    trained = make_trained(store, experiment)
    manifest = draw_samples(store, experiment, make_dataset(None), trained, make_shards(12), emit=print)
    assert manifest.figures["samples"] == 12


def test_the_training_of_another_experiment_is_refused(tmp_path):
    store, experiment = Store(tmp_path), make_experiment("none")
    trained = make_trained(store, experiment)
    other = experiment.model_copy(update={"name": "other"})
    with pytest.raises(ConfigError, match="`other` was given the training of `small`"):
        draw_samples(store, other, make_dataset(), trained, make_shards(), emit=print)


def test_ranges_go_there_and_back():
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_network_range(values)), values)
    assert to_network_range(values)[[0, 255]].tolist() == [-1, 1]
    assert to_uint8(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


def test_grid():
    images = torch.stack([torch.full((3, 4, 4), value, dtype=torch.uint8) for value in (10, 20, 30)])
    grid = grid_array(images, columns=2)
    assert grid.shape == (10, 10, 3)
    assert [grid[0, 0, 0], grid[0, 6, 0], grid[6, 0, 0], grid[6, 6, 0], grid[4, 0, 0]] == [
        10,
        20,
        30,
        255,
        255,
    ]
    picture = Image.open(io.BytesIO(grid_png(images[:, :1], columns=5, scale=2)))
    assert picture.mode == "L"
    assert picture.size == (2 * 16, 2 * 4)
    with pytest.raises(ValueError, match="at least 1 image"):
        grid_array(images[:0], columns=2)
