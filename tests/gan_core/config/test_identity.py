"""What a fingerprint is made of: a key that is new and changes nothing leaves it alone."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Literal

import pytest

from gan_core import steps
from gan_core.config import (
    AbsentMeans,
    Dataset,
    EvaluationConfig,
    Experiment,
    Objective,
    config_changes,
    load_configs,
    recorded_experiment,
)
from gan_core.config.base import Config
from gan_core.errors import ConfigError
from gan_core.objectives import PENALTIES
from gan_core.objectives.penalties import Penalty
from gan_core.store import Manifest

CONFIGS = load_configs(Path(__file__).parents[3] / "configs")
BASE = {"name": "a", "dataset": "digits", "length": {"images": 100}}


def experiment(**values) -> Experiment:
    return Experiment.model_validate({**BASE, **values})


class ObjectiveWithMore(Objective):
    something: float = 0.0


class Regularization(Config):
    strength: float = 0.0
    kind: Literal["one", "two"] = "one"


class ExperimentWithMore(Experiment):
    """An experiment as a later version of the project may have it, all that is new being off."""

    objective: ObjectiveWithMore = ObjectiveWithMore()
    regularization: Regularization = Regularization()
    teacher: str | None = None
    warm_up: int = 0


@pytest.mark.parametrize("name", sorted(CONFIGS.experiments))
def test_new_keys_that_are_off_leave_every_shipped_experiment_alone(name):
    shipped = CONFIGS.experiments[name]
    values = shipped.model_dump(mode="json", exclude_unset=True)
    later = ExperimentWithMore.model_validate(values)
    values["objective"] = {**values.get("objective", {}), "something": 0}
    written_out = ExperimentWithMore.model_validate(
        {**values, "warm_up": 0, "regularization": {"strength": 0, "kind": "one"}, "teacher": None}
    )
    assert shipped.training_identity() == later.training_identity() == written_out.training_identity()
    assert later.training_config() != shipped.training_config()  # the manifest shows them


@pytest.mark.parametrize(
    "on",
    [
        {"objective": {"something": 0.1}},
        {"regularization": {"kind": "two"}},
        {"teacher": "b"},
        {"warm_up": 1},
    ],
    ids=str,
)
def test_new_keys_that_are_on_count(on):
    plain = ExperimentWithMore.model_validate(BASE)
    assert ExperimentWithMore.model_validate({**BASE, **on}).training_identity() != plain.training_identity()


def test_a_new_penalty_is_a_new_key_that_is_off(monkeypatch):
    before = experiment().training_identity()
    monkeypatch.setitem(PENALTIES, "new", type("New", (Penalty,), {"label": "new"}))
    assert experiment().training_identity() == before
    assert experiment(objective={"new": 0}).training_identity() == before
    assert experiment(objective={"new": 1, "r1": 0}).training_identity()["objective"] == {"new": 1.0}


def test_what_counts_is_what_the_whole_configuration_tells_apart():
    """Two shipped experiments have one fingerprint where their whole configurations are equal."""
    by_identity, by_config = defaultdict(list), defaultdict(list)
    for name, item in CONFIGS.experiments.items():
        by_identity[json.dumps(item.training_identity(), sort_keys=True)].append(name)
        by_config[json.dumps(item.training_config(), sort_keys=True)].append(name)
    assert sorted(by_identity.values()) == sorted(by_config.values())


@pytest.mark.parametrize("name", sorted(CONFIGS.experiments))
def test_it_makes_no_difference_whether_a_default_was_written_out(name):
    item = CONFIGS.experiments[name]
    again = Experiment.model_validate(item.model_dump(mode="json"))
    assert again.training_identity() == item.training_identity()


def test_what_is_really_built_counts():
    assert experiment(architecture={"width": 64}).training_identity() == experiment().training_identity()
    of_resnet = experiment(architecture={"name": "resnet", "width": 128})
    assert of_resnet.training_identity() == experiment(architecture={"name": "resnet"}).training_identity()
    assert of_resnet.training_identity()["architecture"]["width"] == 128
    narrow = experiment(architecture={"name": "resnet", "width": 64}).training_identity()
    assert narrow != experiment(architecture={"name": "resnet"}).training_identity()
    sigmoid = experiment(output={"activation": "sigmoid"}).training_identity()
    assert sigmoid["output"] == {"activation": "sigmoid", "image_range": [0.0, 1.0]}


# --- a default that is changed on purpose -----------------------------------------------------------------


class ExperimentWithLargerBatches(Experiment):
    batch_size: Annotated[int, AbsentMeans(64)] = 128


def test_a_default_changed_on_purpose():
    def larger(**values):
        return ExperimentWithLargerBatches.model_validate({**BASE, **values}).training_identity()

    assert larger(batch_size=64) == experiment(batch_size=64).training_identity()  # who said the old value
    assert larger(batch_size=128) == experiment(batch_size=128).training_identity()  # who said the new one
    assert larger() == larger(batch_size=128) != experiment().training_identity()  # who relied on the default
    assert ExperimentWithLargerBatches.absences() == Experiment.absences()


def test_a_manifest_from_before_a_key_existed_has_what_its_absence_meant():
    config = experiment(batch_size=64).training_config()
    del config["batch_size"]
    old = ExperimentWithLargerBatches.recorded({**config, "name": "a"})
    assert old.batch_size == 64
    assert old.training_identity() == experiment(batch_size=64).training_identity()


def test_a_changed_default_inside_a_section():
    class Later(Objective):
        label_smoothing: Annotated[float, AbsentMeans(0.0)] = 0.1

    class LaterExperiment(Experiment):
        objective: Later = Later()

    relied = LaterExperiment.model_validate(BASE)
    assert relied.training_identity()["objective"] == {"label_smoothing": 0.1}
    explicit = LaterExperiment.model_validate({**BASE, "objective": {"label_smoothing": 0}})
    assert explicit.training_identity() == experiment().training_identity()
    assert LaterExperiment.recorded(BASE).objective.label_smoothing == 0.0


# --- what a manifest holds --------------------------------------------------------------------------------


def test_an_old_manifest_is_compared_by_what_counts():
    trained = experiment(architecture={"width": 8}).training_config()
    for key in ("ema_decay", "publish"):
        del trained[key]
    del trained["latent"]["distribution"]
    trained["objective"] |= {"gradient_penalty": 0.0, "r1": 0.0}  # as they were once written out
    assert config_changes(trained, experiment(architecture={"width": 8})) == []
    now = experiment(architecture={"width": 8}, batch_size=32, objective={"instance_noise": 0.1}, seed=1)
    changes = ["batch_size 64 → 32", "objective.instance_noise 0.0 → 0.1", "seed 0 → 1"]
    assert config_changes(trained, now) == changes
    assert recorded_experiment(trained, "b").name == "b"


def test_a_manifest_that_this_version_cannot_read_says_what_to_do():
    trained = {**experiment().training_config(), "momentum_of_old": 3}
    with pytest.raises(ConfigError, match="cannot read.*momentum_of_old.*python -m gan_core train a --force"):
        recorded_experiment(trained, "a")
    changes = config_changes(trained, experiment())
    assert len(changes) == 1
    assert "momentum_of_old" in changes[0]


# --- steps ------------------------------------------------------------------------------------------------


def test_the_fingerprint_of_a_training_is_of_what_counts():
    made = Manifest(asset="", partition="", fingerprint="f", code_version="", config={}, inputs={})
    step = steps.trained_gan(experiment(), made)
    later = steps.trained_gan(ExperimentWithMore.model_validate(BASE), made)
    assert later.fingerprint == step.fingerprint
    assert later.config != step.config
    assert steps.trained_gan(experiment(seed=1), made).fingerprint != step.fingerprint


def test_the_fingerprint_of_shards_is_of_what_counts():
    class LaterEvaluation(EvaluationConfig):
        truncation: float = 1.0

    class LaterDataset(Dataset):
        resize: Literal["lanczos", "area"] = "lanczos"
        evaluation: LaterEvaluation = LaterEvaluation()

    for dataset in CONFIGS.datasets.values():
        values = dataset.model_dump(mode="json")
        later = LaterDataset.model_validate(values)
        keys = {"image_size", "channels", "crop", "max_shard_mb"}
        assert later.identity(include=keys | {"resize"}) == dataset.identity(include=keys)
        assert later.identity() == dataset.identity()
        other = LaterDataset.model_validate({**values, "resize": "area"})
        assert other.identity() != dataset.identity()


def test_what_step_makes_is_named_by_its_identity(tmp_path):
    from gan_core.store import Store

    store = Store(tmp_path)
    one = steps.Step("samples", "a", {"count": 1, "new": 0}, identity={"count": 1})
    two = steps.Step("samples", "a", {"count": 1})
    made = one.produce(store, lambda work: None)
    assert made.fingerprint == one.fingerprint == two.fingerprint
    assert made.config == {"count": 1, "new": 0}
    assert two.reuse(store).fingerprint == made.fingerprint
