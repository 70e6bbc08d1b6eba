"""Apple's GPU: what it is chosen for, and that a step asks nothing of it that it cannot do.

Few machines that tests run on have one. So the CPU stands in for it here, and refuses what torch's `mps`
refuses or does wrongly; the tests at the end run where there is one.
"""

import functools
import io
from pathlib import Path

import pytest
import torch
import torchgen
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchgen.gen import parse_native_yaml
from torchgen.model import DispatchKey

from gan_core.data.feed import ResidentFeed, StreamedFeed, open_feed
from gan_core.devices import default_device, describe_device, training_device
from gan_core.errors import ConfigError
from gan_core.training.state import TrainingState
from gan_core.training.step import train_step
from gan_core.training.task import TrainingTask
from gan_core.training.train import run_training

MPS, CPU = torch.device("mps", 0), torch.device("cpu")
THERE_IS_ONE = torch.backends.mps.is_available()
EVERYTHING = {
    "acgan": {
        "conditioning": {"name": "acgan"},
        "horizontal_flips": True,
        "ema_decay": 0.9,
        "architecture": {"width": 4, "dropout": 0.5, "minibatch_stddev": True},
        "objective": {"differentiable_augmentation": ["color", "translation", "cutout"]},
    },
    "critic": {
        "objective": {"name": "wasserstein", "weight_clip": 0.1, "instance_noise": 0.1},
        "architecture": {"width": 4, "discriminator_norm": "layer", "minibatch_discrimination": 8},
        "optimizers": {"discriminator": {"name": "sgd", "momentum": 0.5}, "generator": {"name": "rmsprop"}},
    },
    "penalty": {
        "objective": {"name": "wasserstein", "gradient_penalty": 10},
        "architecture": {"width": 4, "discriminator_norm": "layer"},
        "latent": {"size": 6, "distribution": "uniform"},
    },
    "projection": {
        "objective": {"name": "hinge", "r1": 1},
        "conditioning": {"name": "projection"},
        "architecture": {"name": "resnet", "width": 4, "spectral_norm": True},
    },
    "mlp": {"architecture": {"name": "mlp", "width": 8}, "objective": {"name": "least_squares"}},
}


@pytest.fixture(params=EVERYTHING)
def experiment(request, make_experiment):
    return make_experiment(**EVERYTHING[request.param])


@pytest.fixture
def there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)


def test_one_process_trains_on_it_and_nothing_is_measured_on_it(there_is_one):
    assert training_device() == training_device("mps") == MPS
    assert training_device("cpu") == training_device(processes=2) == default_device() == CPU


@pytest.mark.parametrize(
    ("name", "processes", "said"),
    [("mps", 2, "2 processes cannot share"), ("gpu", 1, "no device `gpu`: choose one of cpu, cuda, mps")],
)
def test_what_it_is_refused_for(there_is_one, name, processes, said):
    with pytest.raises(ConfigError, match=said):
        training_device(name, processes)


@pytest.mark.skipif(THERE_IS_ONE, reason="there is one")
def test_it_is_refused_where_there_is_none():
    with pytest.raises(ConfigError, match=r"`mps` was asked for.*leave it out"):
        training_device("mps")


class Refused(AssertionError):
    """What Apple's GPU does not do, or torch does wrongly on it."""


class StandIn(TorchFunctionMode):
    """The CPU does what is asked of `mps` and refuses what that cannot do; all tensors say they are there."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function == torch.Tensor.device.__get__:
            return MPS
        kwargs = dict(kwargs or {})
        values = [*args, *kwargs.values()]
        if any(map(is_mps, values)):
            if any(value is torch.float64 for value in values):
                raise Refused(f"{function.__name__} in float64")
            if any(value is torch.channels_last for value in values):
                raise Refused(f"{function.__name__} with channels last")
            if kwargs.get("non_blocking") or any(value is True for value in args):
                raise Refused("a copy that nobody waits for")
        args = [CPU if is_mps(value) else value for value in args]
        return function(*args, **{name: CPU if is_mps(value) else value for name, value in kwargs.items()})


def is_mps(value) -> bool:
    return isinstance(value, torch.device) and value.type == "mps"


class Watch(TorchDispatchMode):
    """Notes which operators are called; refuses float64, and convolutions and norms of channels last."""

    def __init__(self):
        super().__init__()
        self.called: set[str] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.name()
        self.called.add(name)
        if ("conv" in name or "_norm" in name) and any(map(is_channels_last, tensors((args, kwargs)))):
            raise Refused(f"{name} with channels last")
        made = function(*args, **(kwargs or {}))
        if any(value.dtype == torch.float64 for value in tensors(made)):
            raise Refused(f"{name} makes float64")
        return made


def is_channels_last(value: torch.Tensor) -> bool:
    return (
        value.dim() == 4
        and value.is_contiguous(memory_format=torch.channels_last)
        and not value.is_contiguous()
    )


def tensors(tree) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


@functools.cache
def kernels() -> dict[str, set[str]]:
    """Of each of torch's own operators: the devices, or kinds of fallback, that it has a kernel for."""
    folder = Path(torchgen.__file__).parent / "packaged/ATen/native"
    parsed = parse_native_yaml(str(folder / "native_functions.yaml"), str(folder / "tags.yaml"))
    by_name = {str(function.func.name): function for function in parsed.native_functions}
    found = {}
    for name, function in by_name.items():
        delegate = by_name[str(function.structured_delegate)] if function.structured_delegate else function
        found[name] = {
            key.name for key, index in parsed.backend_indices.items() if index.has_kernel(delegate)
        }
    return found


def runs_on_mps(name: str) -> bool:
    """`name` as in `aten::add.Tensor`."""
    fallbacks = {key.name for key in DispatchKey if key.name.startswith("Composite")}
    return bool(kernels()[name.removeprefix("aten::")] & {"MPS", *fallbacks})


class CpuGenerator(torch.Generator):
    def __new__(cls, device="cpu"):
        return super().__new__(cls, "cpu")


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(torch, "Generator", CpuGenerator)
    with StandIn():
        yield


def fresh_state(experiment, device=MPS) -> TrainingState:
    return TrainingState(experiment, channels=1, image_size=32, n_classes=3, device=device)


def trained(state: TrainingState, steps: int, device=MPS) -> TrainingState:
    for step in range(state.step, state.step + steps):
        numbers = torch.Generator().manual_seed(step)
        images = torch.randint(0, 256, (8, 1, 32, 32), generator=numbers, dtype=torch.uint8).to(device)
        train_step(state, images, (torch.arange(8) % 3).to(device), 800)
    return state


def reloaded(state: TrainingState, experiment, device=MPS) -> TrainingState:
    """Another state that goes on from a checkpoint of this one."""
    checkpoint = io.BytesIO()
    torch.save(state.frozen(), checkpoint)
    checkpoint.seek(0)
    other = fresh_state(experiment, device)
    other.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
    return other


def weights(state: TrainingState) -> list[torch.Tensor]:
    return [*state.generator.state_dict().values(), *state.discriminator.state_dict().values()]


def test_steps_need_nothing_that_it_lacks(stand_in, experiment):
    with Watch() as watch:
        state = trained(fresh_state(experiment), 2 * experiment.n_critic)
        state.meter.means()
        state.gradient_norms(of_generator=True)
        assert not state.not_finite()
        assert state.draw_fixed().dtype == torch.uint8
    assert {"aten::addmm", "aten::convolution"} & watch.called
    called = [name for name in watch.called if name.startswith("aten::")]
    assert not [name for name in called if not runs_on_mps(name)]


def test_what_is_watched_for(stand_in):
    images = torch.zeros(2, 3, 4, 4)
    with pytest.raises(Refused, match="float64"):
        images.to(MPS, torch.float64)
    with pytest.raises(Refused, match="nobody waits"):
        images.to(MPS, non_blocking=True)
    with pytest.raises(Refused, match="channels last"):
        torch.nn.Conv2d(3, 3, 1).to(MPS, memory_format=torch.channels_last)
    with Watch():
        with pytest.raises(Refused, match="makes float64"):
            images.double()
        with pytest.raises(Refused, match="channels last"):
            torch.nn.Conv2d(3, 3, 1)(images.contiguous(memory_format=torch.channels_last))
    assert runs_on_mps("aten::add.Tensor") and not runs_on_mps("aten::linalg_eig")


def test_a_checkpoint_goes_on_exactly(stand_in, experiment):
    steps = 2 * experiment.n_critic
    undisturbed = trained(fresh_state(experiment), 2 * steps)
    resumed = trained(reloaded(trained(fresh_state(experiment), steps), experiment), steps)
    assert all(torch.equal(*pair) for pair in zip(weights(undisturbed), weights(resumed), strict=True))


@pytest.mark.parametrize("limit", [10**6, 12_000])
def test_images_come_there_as_they_are(stand_in, store, make_shards, limit):
    shards = make_shards(store, count=5)
    values = {"order_seed": 3, "window": 10, "batch_size": 8, "labelled": True, "memory_limit_bytes": limit}
    feeds = [open_feed(store, shards, "train", device=device, **values) for device in (MPS, CPU)]
    assert isinstance(feeds[0], StreamedFeed if limit == 12_000 else ResidentFeed)
    for start in range(0, 48, 8):
        there, here = (feed.batch(start, 8) for feed in feeds)
        assert torch.equal(there[0], here[0]) and torch.equal(there[1], here[1])
    for feed in feeds:
        feed.close()


def test_moments_are_laid_out_as_their_weights(stand_in, make_experiment):
    experiment = make_experiment()
    of_cpu = trained(fresh_state(experiment, CPU), 1, CPU)
    resumed = reloaded(of_cpu, experiment)
    for network, optimizer in resumed.optimizers.items():
        for before, (weight, moments) in zip(
            of_cpu.optimizers[network].state.values(), optimizer.state.items(), strict=True
        ):
            assert moments["exp_avg"].stride() == weight.stride()
            assert torch.equal(moments["exp_avg"], before["exp_avg"])


needs_one = pytest.mark.skipif(not THERE_IS_ONE, reason="needs a GPU of Apple")


@needs_one
def test_there_steps_are_finite_and_go_on_exactly(experiment):
    state = trained(fresh_state(experiment), 2 * experiment.n_critic)
    assert not state.not_finite()
    resumed = reloaded(state, experiment)
    drawn = [one.noise.latents(experiment.latent, 8).cpu() for one in (state, resumed)]
    assert torch.equal(*drawn)


@needs_one
def test_there_a_first_step_is_that_of_the_cpu(make_experiment):
    experiment = make_experiment(objective={"name": "least_squares"})
    there, here = fresh_state(experiment), fresh_state(experiment, CPU)
    latents = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        drawn = there.generator(latents.to(MPS), None)
        scores = there.discriminator(drawn, None).score
        assert torch.allclose(drawn.cpu(), here.generator(latents, None), atol=1e-4)
        assert torch.allclose(scores.cpu(), here.discriminator(drawn.cpu(), None).score, atol=1e-3)


@needs_one
def test_there_a_training_is_made(store, make_shards, dataset, make_experiment):
    experiment = make_experiment(length={"images": 160}, conditioning={"name": "acgan"})
    task = TrainingTask(experiment=experiment, dataset=dataset, shards=make_shards(store), device="mps")
    made = run_training(store, task)
    assert made.details["device"] == describe_device(MPS)
    assert made.figures["images_seen"] == 160
