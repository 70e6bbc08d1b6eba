"""What an experiment's keys mean together, and what of them decides a training."""

import pytest
from pydantic import ValidationError

from gan_core.config import Experiment


def test_what_follows_from_other_keys_is_filled_in():
    def built(**values):
        return Experiment.model_validate({"name": "a", "dataset": "b", "length": {"images": 1}, **values})

    assert built().architecture.width == 64
    assert built(architecture={"name": "dense_dcgan"}).architecture.discriminator_width == 32
    assert built(architecture={"width": 16}).architecture.discriminator_width == 16
    assert built(architecture={"spectral_norm": True}).architecture.discriminator_norm == "none"
    assert built(objective={"r1": 1}).architecture.discriminator_norm == "layer"
    assert built(architecture={"name": "mlp"}).architecture.generator_norm == "none"
    assert built(output={"activation": "sigmoid"}).output.image_range == (0, 1)
    again = Experiment.model_validate({**built().training_config(), "name": "c"})
    assert again.training_config() == built().training_config()


def test_watching_changes_the_fingerprint_only_where_it_decides_something():
    def config(**values):
        given = {"name": "a", "dataset": "b", "length": {"images": 1}, **values}
        return Experiment.model_validate(given).training_config()

    assert config(evaluate_every=7, log_every=3, checkpoint_every=9, keep_checkpoints=5) == config()
    assert config(publish="best", evaluate_every=7) != config(publish="best")
    assert config(stop_on=["mode_collapse"], evaluate_every=7) != config(stop_on=["mode_collapse"])


def test_tags_are_words_and_decide_nothing():
    given = {"name": "a", "dataset": "b", "length": {"images": 1}}
    tagged = Experiment.model_validate({**given, "tags": ["draft", "v2.1"]})
    assert tagged.tags == ("draft", "v2.1")
    assert tagged.training_config() == Experiment.model_validate(given).training_config()
    for wrong, said in ((["two words"], "pattern"), (["a", "b", "a"], "`a` is there twice")):
        with pytest.raises(ValidationError, match=said):
            Experiment.model_validate({**given, "tags": wrong})


def test_discriminator_norm_follows_the_penalty():
    plain = Experiment(name="a", dataset="d", length={"images": 1})
    penalised = Experiment(
        name="a", dataset="d", length={"images": 1}, objective={"name": "wasserstein", "gradient_penalty": 10}
    )
    assert plain.architecture.discriminator_norm == "batch"
    assert penalised.architecture.discriminator_norm == "layer"


def test_training_config_leaves_out_what_does_not_change_the_result():
    one = Experiment(name="a", dataset="d", length={"images": 1}, description="x", checkpoint_every=5)
    two = Experiment(name="b", dataset="d", length={"images": 1})
    assert one.training_config() == two.training_config()
    assert one.training_config() != two.model_copy(update={"seed": 1}).training_config()
