"""Steps that were recorded as CUDA graphs do what plain steps do, or are not used."""

import re

import pytest
import torch

from gan_core.data.epoch_order import EpochOrder
from gan_core.data.feed import ResidentFeed, TrainingFeed
from gan_core.training import cuda_graphs, engine
from gan_core.training.cuda_graphs import (
    CHECKS,
    GIVEN_UP,
    OTHERS,
    CallRecorder,
    CapturedSteps,
    CudaRecorder,
    may_capture,
    obstacle,
)
from gan_core.training.graph_check import Moment
from gan_core.training.optimizers import CUDA_GRAPHS, graphs_wanted
from gan_core.training.processes.ranks import Ranks
from gan_core.training.state import TrainingState
from gan_core.training.step import train_step
from gan_core.training.step_inputs import STEPS_AT_ONCE, Batches, StepInputs
from gan_core.training.train import train_gan

TOTAL = 800


def fresh_state(experiment, device: str) -> TrainingState:
    return TrainingState(experiment, channels=1, image_size=16, n_classes=3, device=torch.device(device))


WARM_UP = 2


@pytest.fixture
def recorded_on_a_cpu(monkeypatch):
    """Optimisers as they are on a GPU, and a short warm-up: nothing is to be found out there."""
    monkeypatch.setattr("gan_core.training.optimizers.graphs_wanted", lambda device: True)
    monkeypatch.setattr(cuda_graphs, "WARM_UP", WARM_UP)


def images_of(device: str = "cpu", count: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    numbers = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 1, 16, 16), generator=numbers, dtype=torch.uint8)
    return images.to(device), (torch.arange(count) % 3).to(device)


def resident(device: str = "cpu") -> ResidentFeed:
    return ResidentFeed(*images_of(device), EpochOrder([20, 30], 30, 0))


class HandedOver(TrainingFeed):
    """The batches of a resident feed, each once and in order, of which nothing stays on the device."""

    def __init__(self):
        self.feed, self.place = resident(), 0
        super().__init__(self.feed.order)

    def batch(self, start, size):
        assert start == self.place, "a streamed feed does not go back"
        self.place += size
        return self.feed.batch(start, size)

    def end_after(self, total_images): ...

    def interrupt(self): ...

    def describe(self): ...

    def close(self): ...


def captured_steps(state, recorder, say=print, feed=None) -> CapturedSteps:
    return CapturedSteps(Batches(state, feed or resident(state.device.type)), TOTAL, recorder, say)


def plain_steps(state: TrainingState, steps: int) -> None:
    batches = Batches(state, resident(state.device.type))
    for _ in range(steps):
        images, labels, fresh = batches.next()
        train_step(state, images, labels, TOTAL, fresh)


def assert_same(one: TrainingState, other: TrainingState) -> None:
    """All that steps change, to the last bit."""
    assert (one.step, one.images_seen) == (other.step, other.images_seen)
    assert one.meter.means() == other.meter.means()
    mine, theirs = Moment(one), Moment(other)
    assert torch.equal(mine.noise, theirs.noise)
    assert mine.parts.keys() == theirs.parts.keys()
    for name, values in mine.parts.items():
        assert all(torch.equal(*pair) for pair in zip(values, theirs.parts[name], strict=True)), name


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


@pytest.mark.parametrize(
    ("backends", "why"), [("cpu:gloo,cuda:nccl", None), ("cpu:gloo,cuda:gloo", "through the host (gloo)")]
)
def test_of_several_processes_only_those_that_add_on_the_device(make_experiment, monkeypatch, backends, why):
    state = fresh_state(make_experiment(), "cpu")
    state.ranks = Ranks(0, 2)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_backend_config", lambda: backends)
    found = obstacle(state)
    assert found is None if why is None else why in found


class FaultyRecorder(CallRecorder):
    """A recording is a plain step here, with a `fault` of those that recordings can have."""

    def __init__(self, state: TrainingState, fault: str | None = None):
        self.state, self.fault, self.recorded, self.replays = state, fault, 0, 0

    def record(self, step):
        if self.fault == "refused":
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore of it")
        self.recorded += 1
        return FaultyReplay(self, step)


class FaultyReplay:
    def __init__(self, recorder, step):
        self.recorder, self.step = recorder, step
        self.noise = recorder.state.noise.generator.get_state()

    def replay(self):
        recorder, state = self.recorder, self.recorder.state
        recorder.replays += 1
        before = [weight.detach().clone() for weight in state.discriminator.parameters()]
        if recorder.fault == "noise held fast":
            state.noise.generator.set_state(self.noise)
        losses = self.step()
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
        if recorder.fault == "sums stay":
            for total in state.meter.kept.values():
                total.zero_()
        return losses


SMALL = {"conditioning": {"name": "acgan"}, "n_critic": 2, "ema_decay": 0.9, "horizontal_flips": True}
FAULTS = {
    None: None,
    "refused": r"RuntimeError: CUDA error: operation not permitted when stream is capturing$",
    "noise held fast": r"is .*, and .* by a plain step|are off by",
    "first images again": r"is .*, and .* by a plain step|are off by",
    "rates held fast": "the weights of the discriminator are off by",
    "D stays": "the weights of the discriminator are off by",
    "average stays": "the weights of the average are off by",
    "not a number": "the weights of the generator are off by",
    "late": "the weights of the generator are off by",
    "wrong loss": "d_loss is .*, and .* by a plain step",
    "sums stay": "the sums of losses are off by",
}


def spoil(inputs: StepInputs, fault: str) -> None:
    """What recorded steps read, always as it was first."""
    if fault == "first images again":
        inputs.feed = resident()
        inputs.feed.numbers = lambda start, size: torch.zeros(size, dtype=torch.int64)
    if fault == "rates held fast":
        inputs.total_images = 1  # by which every rate has fallen to 0


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_recording_does_wrong_is_found_and_undone(make_experiment, recorded_on_a_cpu, fault):
    experiment = make_experiment(**SMALL, learning_rate_decay="linear")
    plain, recorded = (fresh_state(experiment, "cpu") for _ in range(2))
    said, recorder = [], FaultyRecorder(recorded, fault)
    captured = captured_steps(recorded, recorder, said.append)
    spoil(captured.inputs, fault)
    steps = 2 * WARM_UP + 4 * CHECKS
    plain_steps(plain, steps)
    for step in range(steps):
        captured.advance(plain=step % 10 == 9)
    assert_same(plain, recorded)
    if fault is None:
        assert captured.given_up is None and not said
        assert recorder.recorded == 2
        # All after the warm-up but those of which gradients are looked at.
        assert recorder.replays == steps - 2 * WARM_UP - sum(
            step % 10 == 9 for step in range(2 * WARM_UP, steps)
        )
    else:
        assert said == [GIVEN_UP + captured.given_up]
        assert re.search(FAULTS[fault], captured.given_up)


@pytest.mark.parametrize("calls", range(4))
def test_a_fault_that_another_process_finds_ends_the_replays_of_all(
    make_experiment, recorded_on_a_cpu, calls
):
    """Whether it lacks memory for either copy, cannot record, or finds that its replay differs."""

    class WithAnother(Ranks):
        asked = 0

        def any(self, flag):
            self.asked += 1
            return flag or self.asked == calls + 1

    plain, recorded = (fresh_state(make_experiment(**SMALL), "cpu") for _ in range(2))
    recorded.ranks, said = WithAnother(), []
    captured = captured_steps(recorded, CallRecorder(), said.append)
    steps = 2 * WARM_UP + 3
    plain_steps(plain, steps)
    for _ in range(steps):
        captured.advance()
    assert_same(plain, recorded)
    assert said == [GIVEN_UP + OTHERS] and not captured.recordings


@pytest.mark.parametrize("copies", [0, 1])
def test_where_there_is_no_memory_to_compare_steps_stay_plain(
    make_experiment, recorded_on_a_cpu, monkeypatch, copies
):
    """No matter whether it lacks for the copy before the step or for the one after it."""
    made: list[Moment] = []

    def moment(state) -> Moment:
        if len(made) == copies:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB.\nmore of it")
        made.append(Moment(state))
        return made[-1]

    monkeypatch.setattr(cuda_graphs, "Moment", moment)
    plain, recorded = (fresh_state(make_experiment(**SMALL), "cpu") for _ in range(2))
    said, recorder = [], FaultyRecorder(recorded)
    captured = captured_steps(recorded, recorder, said.append)
    plain_steps(plain, 2 * WARM_UP + 4)
    for _ in range(2 * WARM_UP + 4):
        captured.advance()
    (line,) = said
    assert line.endswith("run as they are: OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 MiB.")
    assert not recorder.recorded
    assert_same(plain, recorded)


EVERYTHING_MOVES = {
    "objective": {
        "name": "relativistic",
        "r1": 0.5,
        "lecam": 0.3,
        "instance_noise": 0.1,
        "differentiable_augmentation": ["translation"],
        "augmentation_probability": 0,
        "augmentation_target": 0.1,
    },
    "conditioning": {"name": "acgan"},
    "n_critic": 3,
    "ema_half_life": 0,
    "schedules": {"learning_rate": {"to": 1e-5}, "r1": {"to": 0.05}, "ema_half_life": {"to": 100}},
}


@pytest.mark.parametrize("feed", [resident, HandedOver])
def test_several_steps_at_once_are_those_steps(make_experiment, recorded_on_a_cpu, monkeypatch, feed):
    """Over the ends of epochs, and the streamed kind a step at a time."""
    monkeypatch.setattr("gan_core.training.score_averages.FIRST_STEP", 20)
    plain, recorded = (fresh_state(make_experiment(**EVERYTHING_MOVES), "cpu") for _ in range(2))
    captured, calls = captured_steps(recorded, CallRecorder(), feed=feed()), []
    while recorded.step < 60:
        calls.append(min(captured.at_once, 60 - recorded.step, 13))
        captured.advance(calls[-1])
    assert captured.given_up is None
    plain_steps(plain, 60)
    assert_same(plain, recorded)
    assert max(calls) == (13 if feed is resident else 1)


def test_a_training_by_several_steps_at_once_is_the_same(
    store, make_shards, make_experiment, dataset, recorded_on_a_cpu, monkeypatch
):
    """Rows, evaluations, samples, checkpoints, the first epoch: all that is due comes where it did."""
    experiment = make_experiment(**SMALL, learning_rate_decay="linear", length={"images": 480})
    shards = make_shards(store)
    together, moments = [], {}

    def advance(captured, steps, *, plain):
        together.append(steps)
        plainly(captured, steps, plain=plain)

    def noting(name, done):
        def note(self, *arguments, **options):
            moments[by_replays].append((name, self.state.images_seen))
            return done(self, *arguments, **options)

        return note

    plainly = CapturedSteps.advance
    monkeypatch.setattr(CapturedSteps, "advance", advance)
    for name in ("_add_row", "_sample", "_evaluate", "_save", "_look_at_first_epoch"):
        monkeypatch.setattr(engine.Engine, name, noting(name, getattr(engine.Engine, name)))
    monkeypatch.setattr(engine, "CudaRecorder", lambda *_: CallRecorder())
    results = {}
    for by_replays in (False, True):
        moments[by_replays] = []
        monkeypatch.setattr(engine, "may_capture", lambda state, wanted=by_replays: wanted)
        manifest = train_gan(store, experiment, dataset, shards, force=True, device="cpu")
        assert manifest.details["numerics"]["cuda_graphs"] is by_replays
        results[by_replays] = manifest.version
    assert results[True] == results[False]
    assert moments[True] == moments[False]
    assert 1 < max(together) <= STEPS_AT_ONCE and sum(together) == 60


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
    captured = captured_steps(recorded, CudaRecorder(recorded.device, recorded.noise.generator))
    while recorded.step < 60:
        before_row = 19 - recorded.step % 20
        captured.advance(max(1, min(captured.at_once, before_row)), plain=before_row == 0)
        plain_steps(plain, recorded.step - plain.step)
        if recorded.step in (20, 40):  # as after a row
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
