"""What computes in 16 bits and what never does, and that a run in either precision is exact.

No processor is needed that is fast in bfloat16: others compute the same, only slower.
"""

import pytest
import torch
from torch import nn

from gan_core.objectives.penalties.base import squared_gradients
from gan_core.objectives.penalties.gradient_penalty import gradient_penalty
from gan_core.training import precision as precision_module
from gan_core.training.precision import precision_in_words, precision_on
from gan_core.training.state import TrainingState
from gan_core.training.step import _score_as, train_step
from gan_core.training.train import train_gan
from tests.gan_core.training.test_train import Interrupted, interrupt_after, quiet, results

CPU = torch.device("cpu")
WASSERSTEIN = {"name": "wasserstein", "gradient_penalty": 10}
PAIRS = {
    "dcgan": {"architecture": {"width": 4}},
    "acgan": {"architecture": {"width": 4}, "conditioning": {"name": "acgan"}},
    "projection": {"architecture": {"name": "resnet", "width": 4}, "conditioning": {"name": "projection"}},
    "spectral norm": {"architecture": {"width": 4, "spectral_norm": True, "minibatch_discrimination": 3}},
    "stddev": {"architecture": {"width": 4, "minibatch_stddev": True}},
    "wgan-gp": {"architecture": {"width": 4}, "objective": WASSERSTEIN},
}


@pytest.fixture
def fast(monkeypatch):
    """Let this processor pass for one that is fast in bfloat16."""
    monkeypatch.setattr(precision_module, "fast_bfloat16", lambda device: True)


def state_of(experiment) -> TrainingState:
    return TrainingState(experiment, channels=3, image_size=32, n_classes=3, device=CPU)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    numbers = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (8, 3, 32, 32), generator=numbers, dtype=torch.uint8), torch.arange(8) % 3


def types_of_outputs(network: nn.Module) -> dict[str, set[torch.dtype]]:
    """By the name of each layer with a weight, the types of what it gives from now on."""
    found: dict[str, set[torch.dtype]] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.BatchNorm2d | nn.GroupNorm):
            found[name] = set()
            module.register_forward_hook(
                lambda module, given, output, name=name: found[name].add(output.dtype)
            )
    return found


@pytest.mark.parametrize("pair", PAIRS)
def test_layers_compute_in_16_bits_and_heads_losses_and_weights_do_not(fast, make_experiment, pair):
    penalised = {"penalty_precision": "bf16"} if "objective" in PAIRS[pair] else {}
    state = state_of(make_experiment(precision="bf16", **penalised, **PAIRS[pair]))
    of_g, of_d = types_of_outputs(state.generator), types_of_outputs(state.discriminator)
    images, labels = batch()
    train_step(state, images, labels if state.experiment.conditional else None, 80)
    heads = {name for name in of_d if name in ("score", "classify", "embed") or name.startswith("minibatch")}
    assert {name: types for name, types in of_d.items() if name not in heads} == {
        name: {torch.bfloat16} for name in of_d if name not in heads
    }
    assert {name: of_d[name] for name in heads} == {name: {torch.float32} for name in heads}
    assert of_g == {name: {torch.bfloat16} for name in of_g}
    assert {value.dtype for value in state.meter.sums.values()} == {torch.float32}
    for network in (state.generator, state.discriminator):
        kept = network.state_dict().values()
        assert {value.dtype for value in kept if value.is_floating_point()} == {torch.float32}
        assert {weight.grad.dtype for weight in network.parameters()} == {torch.float32}
    z, classes = state.fixed_latents, state.fixed_labels
    with torch.autocast("cpu", torch.bfloat16):
        assert state.generator(z, classes).dtype == torch.float32


def test_statistics_of_norms_are_those_of_float64(fast, make_experiment):
    """Of activations far from 0, whose variance 16 bits would lose: 8 bits of mantissa."""
    state = state_of(make_experiment(precision="bf16", **PAIRS["dcgan"]))
    norm = next(module for module in state.generator.modules() if isinstance(module, nn.BatchNorm2d))
    given: list[torch.Tensor] = []
    norm.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0].detach()))
    images, _ = batch()
    norm.momentum = 1.0
    train_step(state, images, None, 80)
    (inputs,) = given
    exact = inputs.double()
    assert inputs.dtype == torch.bfloat16
    assert torch.allclose(norm.running_mean.double(), exact.mean((0, 2, 3)), rtol=1e-5, atol=1e-7)
    assert torch.allclose(norm.running_var.double(), exact.var((0, 2, 3)), rtol=1e-5, atol=1e-9)


def penalty_gradient(state: TrainingState, penalty: str) -> tuple[float, torch.Tensor]:
    numbers = torch.Generator().manual_seed(4)
    real, fake = (torch.rand(8, 3, 32, 32, generator=numbers) * 2 - 1 for _ in range(2))
    scores = _score_as(state, None)
    if penalty == "r1":
        value = squared_gradients(scores, real)
    else:
        value = gradient_penalty(scores, real, fake, torch.rand(8, generator=numbers))
    gradients = torch.autograd.grad(value, list(state.discriminator.parameters()), allow_unused=True)
    return value.item(), torch.cat([gradient.flatten() for gradient in gradients if gradient is not None])


@pytest.mark.parametrize("penalty", ["gradient_penalty", "r1"])
def test_penalties_are_in_32_bits_unless_told_otherwise(fast, make_experiment, penalty):
    wide = {"architecture": {"width": 16}, "objective": {penalty: 1.0}}
    plain, mixed, all_16 = (
        penalty_gradient(state_of(make_experiment(**wide, **precisions)), penalty)
        for precisions in (
            {},
            {"precision": "bf16"},
            {"precision": "bf16", "penalty_precision": "bf16"},
        )
    )
    assert mixed[0] == plain[0] and torch.equal(mixed[1], plain[1])
    assert all_16[0] != plain[0]
    # WGAN-GP's is of what norms, here near 1, are away from 1: there 16 bits leave less of it.
    assert all_16[0] == pytest.approx(plain[0], rel=0.01 if penalty == "r1" else 0.1)
    assert torch.cosine_similarity(all_16[1], plain[1], dim=0) > (0.999 if penalty == "r1" else 0.9)


def test_the_device_decides_where_it_may(monkeypatch, make_experiment):
    wanted = {name: make_experiment(precision=name) for name in ("fp32", "bf16", "auto")}
    for fast, found in ((True, ["fp32", "bf16", "bf16"]), (False, ["fp32", "fp32", "fp32"])):
        monkeypatch.setattr(precision_module, "fast_bfloat16", lambda device, fast=fast: fast)
        assert [precision_on(experiment, CPU) for experiment in wanted.values()] == found
        assert precision_in_words(wanted["fp32"], CPU) is None
        assert f"precision auto: {found[2]} on cpu" in precision_in_words(wanted["auto"], CPU)
        asked = precision_in_words(wanted["bf16"], CPU)
        assert asked is None if fast else "is many times slower in it: this run uses fp32" in asked


def test_a_run_says_and_records_what_it_took(store, make_shards, make_experiment, dataset, monkeypatch):
    shards = make_shards(store)
    for fast, precision in ((False, "fp32"), (True, "bf16")):
        monkeypatch.setattr(precision_module, "fast_bfloat16", lambda device, fast=fast: fast)
        lines: list[str] = []
        experiment = make_experiment(name=precision, precision="auto", length={"images": 16})
        manifest = train_gan(store, experiment, dataset, shards, emit=lines.append)
        assert manifest.details["precision"] == precision
        assert [line for line in lines if f"precision auto: {precision} on cpu" in line]


def test_on_a_device_that_is_not_fast_auto_is_fp32_to_the_last_bit(
    store, make_shards, make_experiment, dataset, monkeypatch
):
    monkeypatch.setattr(precision_module, "fast_bfloat16", lambda device: False)
    shards = make_shards(store)
    files = []
    for precision in ("fp32", "auto"):
        experiment = make_experiment(name=precision, precision=precision, length={"images": 80})
        manifest = train_gan(store, experiment, dataset, shards, emit=quiet)
        files.append(store.local(manifest, "generator.safetensors").read_bytes())
    assert files[0] == files[1]


def test_a_run_in_16_bits_that_was_interrupted_ends_with_the_same_bytes(
    fast, store, tmp_path, make_shards, make_experiment, dataset
):
    experiment = make_experiment(precision="bf16", conditioning={"name": "acgan"}, ema_decay=0.9)
    other = type(store)(tmp_path / "other")
    whole = train_gan(other, experiment, dataset, make_shards(other), emit=quiet)
    shards = make_shards(store)
    with pytest.raises(Interrupted):
        train_gan(
            store, experiment, dataset, shards, emit=quiet, observe=interrupt_after(45), observe_interval=0
        )
    lines: list[str] = []
    again = train_gan(store, experiment, dataset, shards, emit=lines.append)
    assert [line for line in lines if "going on from" in line]
    assert results(store, again) == results(other, whole)


def test_a_run_that_goes_on_elsewhere_says_so(store, make_shards, make_experiment, dataset, monkeypatch):
    monkeypatch.setattr(precision_module, "fast_bfloat16", lambda device: True)
    experiment, shards = make_experiment(precision="auto"), make_shards(store)
    with pytest.raises(Interrupted):
        train_gan(
            store, experiment, dataset, shards, emit=quiet, observe=interrupt_after(45), observe_interval=0
        )
    monkeypatch.setattr(precision_module, "fast_bfloat16", lambda device: False)
    lines: list[str] = []
    manifest = train_gan(store, experiment, dataset, shards, emit=lines.append)
    assert [line for line in lines if "made in bf16" in line and "goes on in fp32" in line]
    assert manifest.details["precision"] == "fp32"


def test_a_checkpoint_of_an_earlier_version_was_made_in_fp32_on_a_cpu(
    fast, store, make_shards, make_experiment, dataset, monkeypatch
):
    whole_state = TrainingState.state_dict
    monkeypatch.setattr(
        TrainingState,
        "state_dict",
        lambda self: {name: value for name, value in whole_state(self).items() if name != "precision"},
    )
    experiment, shards = make_experiment(precision="bf16"), make_shards(store)
    with pytest.raises(Interrupted):
        train_gan(
            store, experiment, dataset, shards, emit=quiet, observe=interrupt_after(45), observe_interval=0
        )
    lines: list[str] = []
    train_gan(store, experiment, dataset, shards, emit=lines.append)
    assert [line for line in lines if "made in fp32" in line and "goes on in bf16" in line]


def test_what_was_asked_for_is_in_the_fingerprint_and_what_was_found_is_not(make_experiment, monkeypatch):
    found = set()
    for precision in ("fp32", "bf16", "auto"):
        configs = []
        for fast in (True, False):
            monkeypatch.setattr(precision_module, "fast_bfloat16", lambda device, fast=fast: fast)
            configs.append(str(make_experiment(precision=precision).training_config()))
        assert configs[0] == configs[1]
        found.add(configs[0])
    assert len(found) == 3


@pytest.mark.parametrize(
    ("keys", "wrong"),
    [
        ({}, "penalties are in 16 bits only where the run is"),
        ({"precision": "auto", "objective": {"name": "hinge"}}, "the objective has no penalty"),
    ],
)
def test_a_precision_of_penalties_that_decides_nothing_is_refused(make_experiment, keys, wrong):
    with pytest.raises(ValueError, match=wrong):
        make_experiment(penalty_precision="bf16", **{"objective": {"r1": 1}, **keys})
