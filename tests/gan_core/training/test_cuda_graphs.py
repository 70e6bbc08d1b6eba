"""Steps that were recorded as CUDA graphs do what plain steps do, or are not used."""

import contextlib
import re

import pytest
import torch

from gan_core.training import cuda_graphs
from gan_core.training.cuda_graphs import CHECKS, WARM_UP, CapturedStep, CudaRecorder, may_capture
from gan_core.training.graph_check import Moment
from gan_core.training.optimizers import CUDA_GRAPHS, graphs_wanted
from gan_core.training.processes.ranks import Ranks
from gan_core.training.state import TrainingState
from gan_core.training.step import train_step, update_networks


def fresh_state(experiment, device: str) -> TrainingState:
    return TrainingState(experiment, channels=1, image_size=16, n_classes=3, device=torch.device(device))


def test_nothing_is_recorded_on_a_cpu(make_experiment, monkeypatch):
    monkeypatch.setenv(CUDA_GRAPHS, "1")
    assert not may_capture(fresh_state(make_experiment(), "cpu"))


@pytest.mark.parametrize(("asked", "given"), [(None, True), ("1", True), ("0", False)])
def test_a_gpu_records_unless_told_not_to(make_experiment, monkeypatch, asked, given):
    monkeypatch.delenv(CUDA_GRAPHS, raising=False)
    if asked:
        monkeypatch.setenv(CUDA_GRAPHS, asked)
    assert graphs_wanted(torch.device("cuda", 0)) is given
    state = fresh_state(make_experiment(), "cpu")
    state.device = torch.device("cuda", 0)
    assert may_capture(state) is given
    state.ranks = Ranks(0, 2)
    assert not may_capture(state)


class CpuRecorder:
    """A recording is a plain step here, with a `fault` of those that recordings can have."""

    def __init__(self, fault: str | None = None):
        self.fault, self.recorded, self.replays = fault, [], 0

    def stream(self):
        return contextlib.nullcontext()

    def record(self, state, given, updates_generator):
        if self.fault == "refused":
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore of it")
        self.state, self.updates_generator = state, updates_generator
        self.noise = state.noise.generator.get_state()
        self.first = given[0].clone()
        self.recorded.append(updates_generator)
        return Replay(self, updates_generator)


class Replay:
    def __init__(self, recorder, updates_generator):
        self.recorder, self.updates_generator = recorder, updates_generator

    def replay(self, given):
        images, labels, fresh = given
        recorder, state = self.recorder, self.recorder.state
        recorder.replays += 1
        before = [weight.detach().clone() for weight in state.discriminator.parameters()]
        if recorder.fault == "noise held fast":
            state.noise.generator.set_state(recorder.noise)
        if recorder.fault == "images held fast":
            images = recorder.first
        losses = update_networks(state, images, labels, self.updates_generator, fresh)
        if recorder.fault == "D stays":
            for weight, kept in zip(state.discriminator.parameters(), before, strict=True):
                weight.data.copy_(kept)
        if recorder.fault == "average stays":
            for value in state.ema.module.state_dict().values():
                value.fill_(0)
        if recorder.fault == "not a number":
            for weight in state.generator.parameters():
                weight.data.fill_(float("nan"))
        if recorder.fault == "late" and recorder.replays == CHECKS:
            state.generator.project.weight.data.add_(1)
        if recorder.fault == "wrong loss":
            losses = losses | {"d_loss": losses["d_loss"] + 1}
        return losses


SMALL = {"conditioning": {"name": "acgan"}, "n_critic": 2, "ema_decay": 0.9, "horizontal_flips": True}
FAULTS = {
    None: None,
    "refused": r"RuntimeError: CUDA error: operation not permitted when stream is capturing$",
    "noise held fast": r"is .*, and .* by a plain step|are off by",
    "images held fast": r"is .*, and .* by a plain step|are off by",
    "D stays": "the weights of the discriminator are off by",
    "average stays": "the weights of the average are off by",
    "not a number": "the weights of the generator are off by",
    "late": "the weights of the generator are off by",
    "wrong loss": "d_loss is .*, and .* by a plain step",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_recording_does_wrong_is_found_and_undone(make_experiment, fault):
    plain, recorded = (fresh_state(make_experiment(**SMALL), "cpu") for _ in range(2))
    said, recorder = [], CpuRecorder(fault)
    captured = CapturedStep(recorded, recorder, said.append)
    numbers = torch.Generator().manual_seed(0)
    steps = 2 * WARM_UP + 4 * CHECKS
    for step in range(steps):
        images = torch.randint(0, 256, (8, 1, 16, 16), generator=numbers, dtype=torch.uint8)
        train_step(plain, images, torch.arange(8) % 3, 800)
        captured(images, torch.arange(8) % 3, 800, plain=step % 10 == 9)
    assert (recorded.step, recorded.images_seen) == (plain.step, plain.images_seen) == (steps, 8 * steps)
    assert recorded.meter.means() == plain.meter.means()
    assert torch.equal(recorded.noise.generator.get_state(), plain.noise.generator.get_state())
    for name in ("generator", "discriminator", "sampler"):
        pairs = zip(*(getattr(one, name).state_dict().values() for one in (recorded, plain)), strict=True)
        assert all(torch.equal(*pair) for pair in pairs)
    if fault is None:
        assert captured.given_up is None and not said
        assert sorted(recorder.recorded) == [False, True]
        # All after the warm-up but those of which gradients are looked at.
        assert recorder.replays == steps - 2 * WARM_UP - sum(
            step % 10 == 9 for step in range(2 * WARM_UP, steps)
        )
    else:
        assert len(said) == 1 and said[0].endswith(captured.given_up)
        assert "run as they are" in said[0]
        assert re.search(FAULTS[fault], captured.given_up)


@pytest.mark.parametrize("copies", [0, 1])
def test_where_there_is_no_memory_to_compare_steps_stay_plain(make_experiment, monkeypatch, copies):
    """No matter whether it lacks for the copy before the step or for the one after it."""
    made: list[Moment] = []

    def moment(state) -> Moment:
        if len(made) == copies:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB.\nmore of it")
        made.append(Moment(state))
        return made[-1]

    monkeypatch.setattr(cuda_graphs, "Moment", moment)
    plain, recorded = (fresh_state(make_experiment(**SMALL), "cpu") for _ in range(2))
    said, recorder = [], CpuRecorder()
    captured = CapturedStep(recorded, recorder, said.append)
    numbers = torch.Generator().manual_seed(0)
    for _ in range(2 * WARM_UP + 4):
        images = torch.randint(0, 256, (8, 1, 16, 16), generator=numbers, dtype=torch.uint8)
        train_step(plain, images, torch.arange(8) % 3, 800)
        captured(images, torch.arange(8) % 3, 800, plain=False)
    (line,) = said
    assert line.endswith("run as they are: OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 MiB.")
    assert not recorder.recorded
    pairs = zip(recorded.sampler.state_dict().values(), plain.sampler.state_dict().values(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


@pytest.mark.gpu
@pytest.mark.parametrize(
    "values",
    [
        {},
        {
            "objective": {"name": "wasserstein", "gradient_penalty": 10},
            "conditioning": {"name": "acgan"},
            "n_critic": 3,
            "ema_decay": 0.9,
            "horizontal_flips": True,
            "learning_rate_decay": "linear",
        },
        {
            "objective": {"name": "hinge", "instance_noise": 0.1},
            "architecture": {"width": 4, "spectral_norm": True, "dropout": 0.2},
        },
        {
            "objective": {"name": "wasserstein", "weight_clip": 0.1},
            "optimizers": {name: {"name": "rmsprop"} for name in ("generator", "discriminator")},
        },
        {
            "objective": {
                "name": "relativistic",
                "r1": 0.5,
                "r2": 0.5,
                "gradients_at": "original",
                "differentiable_augmentation": ["translation"],
                "augmentation_probability": 0.1,
            },
            "ema_half_life": 0,
            "schedules": {
                "learning_rate": {"to": 1e-5, "images": 400},
                "r1": {"to": 0.05},
                "ema_half_life": {"to": 100},
                "augmentation_probability": {"to": 0.9},
            },
        },
    ],
    ids=["dcgan", "acgan-wgan-gp", "sngan", "wgan", "relativistic"],
)
def test_recorded_steps_equal_plain_ones(make_experiment, values, monkeypatch):
    monkeypatch.delenv(CUDA_GRAPHS, raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    plain, recorded = (fresh_state(make_experiment(**values), "cuda") for _ in range(2))
    captured = CapturedStep(recorded, CudaRecorder(recorded.device), print)
    numbers = torch.Generator("cuda").manual_seed(0)
    for step in range(60):
        images = torch.randint(0, 256, (8, 1, 16, 16), generator=numbers, device="cuda", dtype=torch.uint8)
        labels = torch.arange(8, device="cuda") % 3 if plain.experiment.conditional else None
        fresh = (images.flip(0), labels) if plain.objective.compares_pairs else None
        train_step(plain, images, labels, 800, fresh)
        captured(images, labels, 800, fresh, plain=step % 20 == 19)
        if step % 20 == 19 and step < 59:  # as after a row
            assert recorded.meter.means() == pytest.approx(plain.meter.means(), rel=1e-3, abs=1e-4)
            plain.meter.reset()
            recorded.meter.reset()
    assert captured.recordings and captured.given_up is None
    assert recorded.images_seen == plain.images_seen
    expected, found = plain.meter.means(), recorded.meter.means()
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)
    for network in ("generator", "discriminator"):
        mine, theirs = getattr(recorded, network).state_dict(), getattr(plain, network).state_dict()
        for name in mine:
            torch.testing.assert_close(mine[name], theirs[name], rtol=1e-2, atol=1e-3, msg=name)
