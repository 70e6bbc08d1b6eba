"""The steps of all kinds of shipped experiments on a GPU, as far as a machine without one can tell.

Each kind is run at its real size on fake tensors on `cuda`: no operator has operands on two devices, none
reads a value or copies between device and host, and types are as documented. Gradients are followed through
fake tensors on the CPU, second ones included, since torch does not do it on `cuda` without a driver.

Not covered: values and speed; kernels that a GPU lacks or that wait inside (torch's rules for shapes stand
for them); gradients on `cuda` itself; streams, CUDA graphs and what a recording forbids; NCCL; the feed's
copies to the device; memory.
"""

import contextlib
from collections.abc import Callable

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorDeviceMismatchError

from gan_core.config import Experiment, Optimizer
from gan_core.data.epoch_order import EpochOrder
from gan_core.data.feed import ResidentFeed
from gan_core.evaluation.classifier.network import ClassifierNetwork
from gan_core.objectives.penalties.gradient_penalty import gradient_penalty
from gan_core.sampling import generate, generate_on_device, images_of
from gan_core.training.optimizers import build_optimizer
from gan_core.training.state import TrainingState
from gan_core.training.step import finish_step, prepare_step, update_networks
from gan_core.training.step_inputs import Batches, StepInputs
from tests.gan_core.training.fake_cuda import CUDA, Refused, fake_cuda, fake_tensors
from tests.gan_core.training.test_shipped_experiments import CONFIGS, EXPERIMENTS

CPU = torch.device("cpu")
BATCH_SIZE = 8  # minibatch discrimination keeps its square


def of_generator(experiment: Experiment) -> str:
    """What decides which operators G is made of."""
    architecture = experiment.architecture
    norm = architecture.generator_norm
    return repr((architecture.name, norm, experiment.output.activation, experiment.conditional))


def of_step(experiment: Experiment) -> str:
    """What decides which operators a step is made of."""
    return repr(
        (
            experiment.architecture.model_dump(exclude={"width", "discriminator_width"}),
            experiment.objective.name,
            sorted(experiment.objective.model_dump(exclude_defaults=True)),
            experiment.conditioning.model_dump(),
            [optimizer["name"] for optimizer in experiment.optimizers.model_dump().values()],
            experiment.output.activation,
            experiment.latent.distribution,
            bool(experiment.ema_decay),
        )
    )


def one_of_each(kind: Callable[[Experiment], str]) -> list[str]:
    return sorted({kind(CONFIGS.experiments[name]): name for name in reversed(EXPERIMENTS)}.values())


STEPS, GENERATORS = one_of_each(of_step), one_of_each(of_generator)


def fresh_state(experiment: Experiment, device: torch.device) -> TrainingState:
    dataset = CONFIGS.datasets[experiment.dataset]
    return TrainingState(
        experiment,
        channels=dataset.channels,
        image_size=dataset.image_size,
        n_classes=10 if dataset.labelled else 0,
        device=device,
    )


def step(state: TrainingState, watch=None) -> None:
    """One of D and, since its number says so, one of G."""
    state.step = state.experiment.n_critic - 1
    dataset = CONFIGS.datasets[state.experiment.dataset]
    shape = (BATCH_SIZE, dataset.channels, dataset.image_size, dataset.image_size)
    images = torch.zeros(shape, dtype=torch.uint8, device=state.device)
    labels = None
    if state.experiment.conditional:
        labels = torch.zeros(BATCH_SIZE, dtype=torch.int64, device=state.device)
    with watch.step() if watch else contextlib.nullcontext():
        losses = update_networks(state, images, labels, prepare_step(state, 1000))
        state.meter.add(losses | state.gradient_norms(of_generator=True))
        finish_step(state, BATCH_SIZE)


def changed(experiment: Experiment, **values) -> Experiment:
    return Experiment.model_validate({**experiment.model_dump(), **values})


@pytest.mark.parametrize("name", STEPS)
def test_a_step_stays_on_the_device(name):
    with fake_cuda() as watch:
        state = fresh_state(CONFIGS.experiments[name], CUDA)
        step(state, watch)
        assert {value.device for value in state.meter.sums.values()} == {CUDA}
        assert {"d_loss", "g_loss"} <= state.meter.sums.keys()
        for network in (state.generator, state.discriminator, state.sampler):
            values = network.state_dict().values()
            assert {value.device for value in values} == {CUDA}
            assert {value.dtype for value in values} <= {torch.float32, torch.int64}
        for optimizer in state.optimizers.values():
            moments = [value for state in optimizer.state.values() for value in state.values()]
            assert {value.device for value in moments} <= {CUDA}
        assert torch.float64 not in {dtype for _, dtype in watch.made}


def test_recorded_steps_take_all_they_are_given_from_the_device():
    """Images, labels, those that G is compared with, and what moves."""
    experiment = changed(
        CONFIGS.experiments["digits-wgan-gp-acgan-seed-0"], objective={"name": "relativistic", "r1": 1}
    )
    dataset = CONFIGS.datasets[experiment.dataset]
    with fake_cuda() as watch:
        state = fresh_state(experiment, CUDA)
        side, size = dataset.image_size, experiment.batch_size
        images = torch.zeros(2 * size, dataset.channels, side, side, dtype=torch.uint8, device=CUDA)
        labels = torch.zeros(2 * size, dtype=torch.int64, device=CUDA)
        feed = ResidentFeed(images, labels, EpochOrder([2 * size], 2 * size, 0))
        inputs = StepInputs(Batches(state, feed), 1000)
        with watch.step():
            given, labels, fresh = inputs.take(True)
            state.meter.sum_up(update_networks(state, given, labels, True, fresh))
        assert given.shape == images[:size].shape and given.dtype == torch.uint8
        assert fresh[0].shape == given.shape and labels.shape == fresh[1].shape == (size,)
        assert len(inputs.targets) == 3  # both rates and the level of noise


@pytest.mark.parametrize("name", STEPS)
def test_gradients_read_nothing(name):
    with fake_tensors():
        state = fresh_state(CONFIGS.experiments[name], CPU)
        step(state)
        for network in (state.generator, state.discriminator):
            assert all(weight.grad is not None for weight in network.parameters())


@pytest.mark.parametrize("name", GENERATORS)
def test_drawing_computes_on_the_device_and_gives_images_of_the_host(name):
    with fake_cuda() as watch:
        state = fresh_state(CONFIGS.experiments[name], CUDA)
        generator = state.sampler.eval()
        labels = torch.zeros(3, dtype=torch.int64) if generator.n_classes else None
        images = images_of(generator, torch.zeros(3, generator.latent.size), labels)
        assert (images.device, images.dtype) == (CUDA, torch.float32)
        ((drawn, _),) = generate(generator, 3, seed=0)
        assert drawn.device == state.draw_fixed().device == CPU
        ((stays, _),) = generate_on_device(generator, 3, seed=0)
        assert (stays.device, stays.dtype) == (CUDA, torch.uint8)
        assert drawn.dtype == torch.uint8
        assert watch.types_of("convolution", "addmm") == {torch.float32}


@pytest.mark.parametrize("conditioning", ["none", "acgan"])
def test_bf16_is_for_the_networks_alone(conditioning):
    experiment = changed(
        CONFIGS.experiments["digits-wgan-gp-acgan-seed-0"],
        precision="bf16",
        conditioning={"name": conditioning},
    )
    with fake_cuda() as watch:
        state = fresh_state(experiment, CUDA)
        step(state, watch)
        assert torch.bfloat16 in watch.types_of("convolution")
        assert {value.dtype for value in state.meter.sums.values()} == {torch.float32}
        weights = [*state.generator.parameters(), *state.discriminator.parameters()]
        assert {weight.dtype for weight in weights} == {torch.float32}
        assert {weight.grad.dtype for weight in weights} == {torch.float32}


def test_a_penalty_is_in_fp32_within_bf16():
    experiment = changed(CONFIGS.experiments["demo-wgan-gp"], precision="bf16")
    dataset = CONFIGS.datasets[experiment.dataset]
    with fake_cuda() as watch, torch.autocast("cuda", torch.bfloat16):
        discriminator = fresh_state(experiment, CUDA).discriminator
        images = torch.zeros(4, dataset.channels, dataset.image_size, dataset.image_size, device=CUDA)
        watch.made.clear()
        between = torch.zeros(4, device=CUDA)
        value = gradient_penalty(lambda points: discriminator(points).score, images, images, between)
        assert value.dtype == torch.float32
        assert torch.bfloat16 not in {dtype for _, dtype in watch.made}


@pytest.mark.parametrize(
    "values",
    [
        {"name": "adam", "weight_decay": 0.1},
        {"name": "rmsprop"},
        {"name": "rmsprop", "momentum": 0.9, "weight_decay": 0.1},
        {"name": "sgd"},
        {"name": "sgd", "momentum": 0.9},
    ],
    ids=str,
)
def test_optimisers_of_recorded_steps_keep_all_on_the_device(values):
    with fake_cuda() as watch:
        network = torch.nn.Linear(3, 2).to(CUDA)
        optimizer = build_optimizer(network, Optimizer.model_validate(values), CUDA)
        for weight in network.parameters():
            weight.grad = torch.zeros_like(weight)
        with watch.step():
            optimizer.step()
            optimizer.step()
        assert {group["lr"].device for group in optimizer.param_groups} == {CUDA}


@pytest.mark.parametrize("channels", [1, 3])
def test_features_are_made_on_the_device(channels):
    with fake_cuda() as watch:
        network = ClassifierNetwork(channels, 32, 10).to(CUDA, memory_format=torch.channels_last).eval()
        images = torch.zeros(4, channels, 32, 32, dtype=torch.uint8, device=CUDA)
        with torch.inference_mode(), watch.step():
            features, logits = network(images)
        assert {features.device, logits.device} == {CUDA}
        assert features.dtype == logits.dtype == torch.float32


def test_what_is_watched_for():
    with fake_cuda() as watch:
        here, there = torch.zeros(3), torch.zeros(3, device=CUDA)
        with pytest.raises(DataDependentOutputException):
            there.sum().item()
        with pytest.raises(FakeTensorDeviceMismatchError):
            there + here
        with watch.step():
            for wrong in (there.cpu, lambda: here.to(CUDA), lambda: there * here.sum()):
                with pytest.raises(Refused, match="tensor of the host"):
                    wrong()
    with fake_tensors(), pytest.raises(DataDependentOutputException):
        bool(torch.zeros(3).isfinite().all())
