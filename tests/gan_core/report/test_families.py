"""Which configurations belong together."""

from gan_core.config import load_configs
from gan_core.report.families import families
from tests.gan_core.report.example import DATASET
from tests.small_project import write_config


def families_of(folder, *experiments):
    write_config(folder, DATASET)
    for item in experiments:
        write_config(folder, {"dataset": "digits", "length": {"images": 1_000}, **item})
    configs = load_configs(folder)
    assert not configs.mistakes, configs.mistakes
    return {family.name: family for family in families(configs)}


def test_a_grid_is_one_family_with_its_seeds_folded(tmp_path):
    found = families_of(
        tmp_path, {"name": "size", "grid": {"latent.size": [64, 8], "batch_size": [32, 128], "seed": [0, 1]}}
    )
    assert list(found) == ["size"]
    assert found["size"].keys == ("latent.size", "batch_size")
    assert [point.values for point in found["size"].points] == [(8, 32), (8, 128), (64, 32), (64, 128)]
    assert found["size"].points[0].experiments == (
        "size-size-8-batch-size-32-seed-0",
        "size-size-8-batch-size-32-seed-1",
    )
    assert found["size"].values(0) == [8, 64]


def test_a_configuration_of_another_file_continues_a_grid(tmp_path):
    found = families_of(
        tmp_path,
        {"name": "base", "grid": {"seed": [0, 1]}},
        {"name": "batch", "grid": {"batch_size": [32, 256], "seed": [0, 1]}},
        {"name": "other", "batch_size": 128, "n_critic": 5},
    )
    assert list(found) == ["batch"]
    assert [point.values for point in found["batch"].points] == [(32,), (64,), (256,)]
    assert found["batch"].points[1].experiments == ("base-seed-0", "base-seed-1")


def test_what_would_stand_alone_in_a_grid_is_not_in_it(tmp_path):
    found = families_of(
        tmp_path,
        {"name": "alone"},  # a latent of 100 and a batch of 64
        {"name": "beside", "latent": {"size": 8}},
        {"name": "size", "grid": {"latent.size": [8, 16], "batch_size": [32, 128]}},
    )
    assert "alone" not in found["size"].experiments
    assert "beside" in found["size"].experiments
    assert [family.keys for name, family in found.items() if name != "size"] == [("latent.size",)]


def test_configurations_that_differ_in_one_key_alone_belong_together(tmp_path):
    found = families_of(
        tmp_path,
        {"name": "first"},
        {"name": "second", "learning_rate_decay": "linear"},
        {"name": "third", "learning_rate_decay": "linear", "batch_size": 128, "seed": 3},
    )
    assert {(family.keys, tuple(sorted(family.experiments))) for family in found.values()} == {
        (("learning_rate_decay",), ("first", "second")),
        (("batch_size",), ("second", "third")),
    }
    assert list(found) == ["learning-rate-decay-of-first", "batch-size-of-third"]


def test_seeds_alone_and_other_datasets_are_no_family(tmp_path):
    write_config(tmp_path, {**DATASET, "name": "digits-32", "image_size": 32})
    found = families_of(
        tmp_path, {"name": "one", "grid": {"dataset": ["digits", "digits-32"], "seed": [0, 1]}}
    )
    assert found == {}


def test_a_grid_over_datasets_is_a_family_on_each(tmp_path):
    write_config(tmp_path, {**DATASET, "name": "digits-32", "image_size": 32})
    found = families_of(
        tmp_path, {"name": "one", "grid": {"dataset": ["digits", "digits-32"], "batch_size": [8, 16]}}
    )
    assert {name: (family.dataset, family.keys) for name, family in found.items()} == {
        "one-digits": ("digits", ("batch_size",)),
        "one-digits-32": ("digits-32", ("batch_size",)),
    }
