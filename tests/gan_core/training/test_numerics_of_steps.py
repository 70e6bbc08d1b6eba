"""Which numeric policy holds where in a training."""

import torch

from gan_core.evaluation.in_training import InTrainingEvaluation
from gan_core.numerics import MEASURING, training_numerics, training_policy
from gan_core.objectives.penalties.gradient_penalty import GradientPenalty
from gan_core.training import step
from gan_core.training.train import train_gan

CPU = torch.device("cpu")


def switches() -> tuple[bool, bool, bool]:
    return (
        torch.backends.cudnn.allow_tf32,
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.benchmark,
    )


def test_steps_penalties_and_evaluations(store, make_shards, make_experiment, dataset, monkeypatch):
    seen: dict[str, set] = {"generator": set(), "discriminator": set(), "penalty": set(), "evaluation": set()}

    def note(owner, name, key):
        plain = getattr(owner, name)

        def noting(*arguments):
            seen[key(arguments) if callable(key) else key].add(switches())
            return plain(*arguments)

        monkeypatch.setattr(owner, name, staticmethod(noting) if key == "penalty" else noting)

    note(step, "_descend", lambda arguments: arguments[1])
    note(GradientPenalty, "measure", "penalty")
    note(InTrainingEvaluation, "measure", "evaluation")
    before = switches()
    experiment = make_experiment(
        objective={"name": "wasserstein", "gradient_penalty": 10}, n_critic=2, length={"images": 240}
    )
    manifest = train_gan(store, experiment, dataset, make_shards(store), device="cpu")
    of_training = (True, True, True)
    without = (False, False, True)
    assert seen == {
        "generator": {of_training},
        "discriminator": {without},  # the gradient of a penalty is one of second order
        "penalty": {without},
        "evaluation": {(False, False, False)},
    }
    assert switches() == before
    assert manifest.details["numerics"] == training_numerics(CPU) | {"cuda_graphs": False}


def test_without_penalties_all_is_as_the_training(make_experiment, monkeypatch):
    assert training_policy(CPU) != MEASURING
    seen = set()
    monkeypatch.setattr(step, "_descend", lambda *_: seen.add(switches()))
    state = step.TrainingState(make_experiment(), channels=1, image_size=16, n_classes=3, device=CPU)
    with training_policy(CPU).applied():
        images = torch.zeros(8, 1, 16, 16, dtype=torch.uint8)
        step.train_step(state, images, None, 800)
    assert seen == {(True, True, True)}


def test_samples_over_time_are_drawn_as_those_that_are_measured(make_experiment):
    state = step.TrainingState(make_experiment(), channels=1, image_size=16, n_classes=3, device=CPU)
    seen = set()
    state.sampler.register_forward_pre_hook(lambda *_: seen.add(switches()))
    with training_policy(CPU).applied():
        state.draw_fixed()
        assert switches() == (True, True, True)
    assert seen == {(False, False, False)}
