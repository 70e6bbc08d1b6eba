"""Where a dataset's images are."""

from gan_core.config import Dataset


def test_locations_run_config_before_environment_before_yaml(monkeypatch):
    dataset = Dataset.model_validate(
        {"name": "my-set", "source": {"kind": "images", "train": "yaml"}, "image_size": 16, "channels": 3}
    )
    assert dataset.locations() == {"train": "yaml", "test": None}
    monkeypatch.setenv("GAN_SOURCE_MY_SET", "whole")
    assert dataset.locations() == {"train": "whole", "test": None}
    monkeypatch.setenv("GAN_SOURCE_MY_SET_TRAIN", "split")
    monkeypatch.setenv("GAN_SOURCE_MY_SET_TEST", "other")
    assert dataset.locations() == {"train": "split", "test": "other"}
    assert dataset.locations({"train": "given"}) == {"train": "given", "test": "other"}


def test_another_train_split_is_not_mixed_with_the_configured_test_split(monkeypatch):
    source = {"kind": "images", "train": "yaml-train", "test": "yaml-test"}
    dataset = Dataset.model_validate({"name": "x", "source": source, "image_size": 16, "channels": 3})
    assert dataset.locations() == {"train": "yaml-train", "test": "yaml-test"}
    monkeypatch.setenv("GAN_SOURCE_X_TEST", "other-test")
    assert dataset.locations() == {"train": "yaml-train", "test": "other-test"}
    monkeypatch.delenv("GAN_SOURCE_X_TEST")
    monkeypatch.setenv("GAN_SOURCE_X", "whole")
    assert dataset.locations() == {"train": "whole", "test": None}
