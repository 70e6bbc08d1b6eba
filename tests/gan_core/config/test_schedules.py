"""The section `schedules`: what it takes, what contradicts it, and what of it a fingerprint is made of."""

import pytest

from gan_core.config import Experiment, load_configs
from tests.small_configs import DATASET, EXPERIMENT, text_of

BASE = {"name": "a", "dataset": "digits", "length": {"images": 100}}


@pytest.fixture
def read(tmp_path):
    """What is wrong with the smallest experiment and this addition."""

    def read(addition: str) -> str:
        for kind, name, text in (
            ("datasets", "tiny", DATASET),
            ("experiments", "first", EXPERIMENT + addition),
        ):
            (tmp_path / kind).mkdir(exist_ok=True)
            (tmp_path / kind / f"{name}.yaml").write_text(text)
        return text_of(load_configs(tmp_path))

    return read


@pytest.mark.parametrize(
    ("addition", "line", "expected"),
    [
        ("schedules: {lerning_rate: {to: 1}}", 4, "did you mean `schedules.learning_rate`?"),
        ("schedules: {r3: {to: 1}}", 4, "unknown key `schedules.r3`"),
        ("schedules: {learning_rate: {from: 1, to: 1}}", 4, "unknown key `schedules.learning_rate.from`"),
        ("schedules: {learning_rate: {images: 9}}", 4, "`schedules.learning_rate.to` is missing"),
        ("schedules: {learning_rate: 1.0e-5}", 4, "write keys of its own below it: to, images"),
        (
            "objective: {r1: 1}\nschedules: {r1: {to: -1}}",
            5,
            "`schedules.r1.to` is -1: input should be greater",
        ),
        ("objective: {r1: 1}\nschedules:\n  r1: {to: true}", 6, "not true or false"),
        ("schedules: {r1: {to: 1}}", 4, "begins at objective.r1, which is not set: set it"),
        ("schedules: {learning_rate: {to: 2}}", 4, "a rate above 1 trains nothing"),
        (
            "learning_rate_decay: linear\nschedules: {learning_rate: {to: 1.0e-5}}",
            5,
            "learning_rate_decay `linear` moves the rates too: remove one of them",
        ),
        ("schedules: {beta2: {to: 1}}", 4, "beta2 is below 1, not 1"),
        (
            "optimizers: {generator: {name: sgd}, discriminator: {name: sgd}}\nschedules: {beta2: {to: 0.9}}",
            5,
            "beta2 is a setting of `adam`",
        ),
        ("schedules: {ema_half_life: {to: 100}}", 4, "begins at ema_half_life, which is not set"),
        ("ema_decay: 0.9\nema_half_life: 100", 5, "say the same thing twice: remove one of them"),
        ("schedules: {augmentation_probability: {to: 0.5}}", 4, "set objective.differentiable_augmentation"),
        (
            "objective: {differentiable_augmentation: [color]}\n"
            "schedules: {augmentation_probability: {to: 1.5}}",
            5,
            "a probability is at most 1, not 1.5",
        ),
        ("objective: {augmentation_probability: 0.5}", 4, "set differentiable_augmentation, or remove it"),
        (
            "objective: {differentiable_augmentation: [color], augmentation_target: 0.6}",
            4,
            "augmentation_target raises augmentation_probability, which is 1 already: set it to 0",
        ),
        (
            "objective:\n  {differentiable_augmentation: [color], augmentation_target: 0.6, "
            "augmentation_probability: 0}\nschedules: {augmentation_probability: {to: 0.5}}",
            6,
            "objective.augmentation_target moves the probability too: remove one of them",
        ),
        ("objective: {gradients_at: original}", 4, "gradients_at is for r1 or r2: set the weight of one"),
        ("objective: {gradients_at: both, r1: 1}", 4, "`objective.gradients_at` is 'both'"),
    ],
)
def test_mistakes_name_the_key_and_the_remedy(read, addition, line, expected):
    found = read(addition + "\n")
    assert expected in found
    assert f"first.yaml:{line}:" in found


def test_a_schedule_counts_in_the_fingerprint_and_its_absence_does_not():
    def identity(**values):
        return Experiment.model_validate({**BASE, **values}).training_identity()

    assert identity() == identity(schedules={}) == identity(schedules={"learning_rate": None})
    assert identity(schedules={"beta2": {"to": 0.99}})["schedules"] == {"beta2": {"to": 0.99}}
    penalised = identity(objective={"r1": 1}, schedules={"r1": {"to": 0.5, "images": 70}})
    assert penalised["schedules"] == {"r1": {"to": 0.5, "images": 70}}
    assert penalised != identity(objective={"r1": 1})


def test_a_manifest_gives_the_schedules_back():
    values = {"objective": {"r1": 1}, "schedules": {"r1": {"to": 0.5}, "learning_rate": {"to": 1e-5}}}
    experiment = Experiment.model_validate({**BASE, **values})
    again = Experiment.recorded({**experiment.training_config(), "name": "a"})
    assert again.training_identity() == experiment.training_identity()
    assert again.schedules == experiment.schedules
