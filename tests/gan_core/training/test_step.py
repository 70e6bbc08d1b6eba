"""One training step against an obvious implementation, and what it must not do."""

import copy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gan_core.training import step as step_module
from gan_core.training.ema import GeneratorEMA
from gan_core.training.optimizers import learning_rate_factor
from gan_core.training.state import TrainingState
from gan_core.training.step import train_step

WASSERSTEIN = {"name": "wasserstein", "gradient_penalty": 10}
ACGAN = {"name": "acgan", "d_scale": 0.7, "g_scale": 0.3, "on_fakes": True}


def fresh_state(experiment) -> TrainingState:
    return TrainingState(experiment, channels=1, image_size=16, n_classes=3, device=torch.device("cpu"))


def real_images() -> tuple[torch.Tensor, torch.Tensor]:
    numbers = torch.Generator().manual_seed(9)
    images = torch.randint(0, 256, (8, 1, 16, 16), generator=numbers, dtype=torch.uint8)
    return images, torch.arange(8) % 3


def obvious_step(state: TrainingState, images, labels) -> dict[str, float]:
    """D's and G's update written out, two forward passes of G, on copies that share nothing."""
    experiment = state.experiment
    generator, discriminator = state.generator, state.discriminator
    noise = torch.Generator()
    noise.set_state(state.noise.generator.get_state())
    rate = experiment.optimizers.generator.learning_rate
    betas = experiment.optimizers.generator.betas
    g_optimizer = torch.optim.Adam(generator.parameters(), rate, betas, foreach=False, fused=False)
    d_optimizer = torch.optim.Adam(discriminator.parameters(), rate, betas, foreach=False, fused=False)
    real = images.float() / 127.5 - 1
    z = torch.randn(8, 6, generator=noise)
    fake_labels = torch.randint(3, (8,), generator=noise) if experiment.conditional else None
    fake = generator(z, fake_labels).detach()
    of_real, of_fake = discriminator(real), discriminator(fake)
    wasserstein = experiment.objective.name == "wasserstein"
    if wasserstein:
        d_loss = of_fake.score.mean() - of_real.score.mean()
        share = torch.rand(8, generator=noise).view(8, 1, 1, 1)
        points = (share * real + (1 - share) * fake).requires_grad_()
        gradient = torch.autograd.grad(discriminator(points).score.sum(), points, create_graph=True)[0]
        total = d_loss + 10 * ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
    else:
        d_loss = -torch.log(torch.sigmoid(of_real.score)).mean()
        d_loss = d_loss - torch.log(1 - torch.sigmoid(of_fake.score)).mean()
        total = d_loss
    losses = {"d_loss": d_loss.item()}
    if experiment.conditional:
        of_class = -of_real.class_logits.log_softmax(1)[range(8), labels].mean()
        of_class = of_class - of_fake.class_logits.log_softmax(1)[range(8), fake_labels].mean()
        total = total + 0.7 * of_class
        losses["d_class_loss"] = of_class.item()
    d_optimizer.zero_grad()
    total.backward()
    d_optimizer.step()

    statistics = copy.deepcopy({k: v for k, v in generator.state_dict().items() if "running" in k})
    output = discriminator(generator(z, fake_labels))
    g_loss = -output.score.mean() if wasserstein else -torch.log(torch.sigmoid(output.score)).mean()
    total, losses["g_loss"] = g_loss, g_loss.item()
    if experiment.conditional:
        of_class = -output.class_logits.log_softmax(1)[range(8), fake_labels].mean()
        total, losses["g_class_loss"] = total + 0.3 * of_class, of_class.item()
    g_optimizer.zero_grad()
    total.backward()
    g_optimizer.step()
    generator.load_state_dict(statistics, strict=False)  # G's second pass must not count twice
    return losses


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"objective": WASSERSTEIN},
        {"conditioning": ACGAN},
        {"objective": WASSERSTEIN, "conditioning": ACGAN},
    ],
    ids=["dcgan", "wgan-gp", "acgan", "acgan-wgan-gp"],
)
def test_step_equals_the_obvious_one(make_experiment, values):
    state, obvious = (fresh_state(make_experiment(**values)) for _ in range(2))
    images, labels = real_images()
    expected = obvious_step(obvious, images, labels)
    train_step(state, images, labels if values.get("conditioning") else None, 800)
    means = state.meter.means()
    for name, value in expected.items():
        assert means[name] == pytest.approx(value, rel=1e-4, abs=1e-6)
    for network in ("generator", "discriminator"):
        mine, theirs = getattr(state, network).state_dict(), getattr(obvious, network).state_dict()
        for name in mine:
            if "num_batches" not in name:  # the obvious step passes G twice
                # Adam's first step has the size of the rate: a gradient near 0 may round either way.
                torch.testing.assert_close(mine[name], theirs[name], rtol=1e-3, atol=2e-5, msg=name)


@pytest.mark.parametrize(
    ("architecture", "passes"),
    [
        ({"discriminator_norm": "layer"}, 1),
        ({"discriminator_norm": "none"}, 1),
        ({"discriminator_norm": "none", "dropout": 0.3}, 2),
        ({"discriminator_norm": "batch"}, 2),
        ({"discriminator_norm": "none", "minibatch_discrimination": 3}, 2),
        ({"discriminator_norm": "none", "minibatch_stddev": True}, 2),
    ],
    ids=str,
)
def test_real_and_generated_images_share_a_batch_only_where_none_sees_another(
    make_experiment, architecture, passes
):
    experiment = make_experiment(
        architecture={"width": 4, **architecture}, conditioning={"name": "projection"}
    )
    state = fresh_state(experiment)
    images, labels = real_images()
    real, fake = images.float() / 127.5 - 1, torch.zeros(8, 1, 16, 16)
    counts = []
    state.discriminator.register_forward_pre_hook(lambda _, given: counts.append(len(given[0])))
    of_real, of_fake = step_module._discriminate(state, real, labels, fake, labels.flip(0))
    assert counts == [16 // passes] * passes
    if not architecture.get("dropout"):
        for found, (shown, of_class) in ((of_real, (real, labels)), (of_fake, (fake, labels.flip(0)))):
            expected = state.discriminator(shown, of_class)
            torch.testing.assert_close(found.score, expected.score)
            assert found.class_logits is None


def spectral_state(make_experiment, settled: bool) -> TrainingState:
    """D with spectral norm whose weights have moved since its vectors were found, or whose vectors follow."""
    state = fresh_state(make_experiment(architecture={"width": 4, "spectral_norm": True}))
    numbers = torch.Generator().manual_seed(3)
    state.discriminator.double()
    with torch.no_grad():
        for parameter in state.discriminator.parameters():
            noise = torch.randn(parameter.shape, generator=numbers).to(parameter)
            parameter.add_(0.02 * noise)  # as large as the weights are at first
        for _ in range(500 if settled else 0):
            for module in state.discriminator.modules():
                if hasattr(module, "parametrizations"):
                    assert module.weight.isfinite().all()  # a step of the iteration
    return state


@pytest.mark.parametrize("settled", [False, True])
def test_one_batch_under_spectral_norm_takes_one_step_of_the_power_iteration(make_experiment, settled):
    """And both halves are judged by it; of two batches the second would be judged by a further one."""
    images, _ = real_images()
    real = images.double() / 127.5 - 1
    fake = torch.rand(real.shape, generator=torch.Generator().manual_seed(1)).double() * 2 - 1
    state = spectral_state(make_experiment, settled)
    apart = copy.deepcopy(state.discriminator)
    with torch.no_grad():
        of_real, of_fake = step_module._discriminate(state, real, None, fake, None)
        state.discriminator.eval()  # by the vectors as they are now
        for found, shown in ((of_real, real), (of_fake, fake)):
            torch.testing.assert_close(found.score, state.discriminator(shown).score, rtol=1e-9, atol=0)
        first, second = apart(real).score, apart(fake).score
    torch.testing.assert_close(first, of_real.score, rtol=1e-9, atol=0)
    difference = ((second - of_fake.score) / of_fake.score).abs().max()
    assert difference < 1e-6 if settled else difference > 1e-3


def test_generator_is_updated_every_n_critic_steps(make_experiment):
    state = fresh_state(make_experiment(n_critic=3))
    images, _ = real_images()
    changed = []
    for _ in range(6):
        before = state.generator.project.weight.clone()
        train_step(state, images, None, 800)
        changed.append(not torch.equal(before, state.generator.project.weight))
    assert changed == [False, False, True, False, False, True]
    assert state.images_seen == 48
    assert state.meter.counts["g_loss"] == 2


class Transfers(TorchDispatchMode):
    """Counts the operations that make the host wait for a device."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket in (
            torch.ops.aten._local_scalar_dense,
            torch.ops.aten.nonzero,
            torch.ops.aten.is_nonzero,
        ):
            self.count += 1
        return function(*args, **(kwargs or {}))


RELATIVISTIC = {
    "name": "relativistic",
    "r1": 1,
    "r2": 1,
    "gradients_at": "original",
    "differentiable_augmentation": ["color", "translation"],
}
SCHEDULES = {
    name: {"to": 0.5}
    for name in ("learning_rate", "beta2", "r1", "ema_half_life", "augmentation_probability")
}


@pytest.mark.parametrize(
    "values",
    [
        {"objective": WASSERSTEIN, "conditioning": ACGAN, "ema_decay": 0.9, "horizontal_flips": True},
        {"objective": RELATIVISTIC, "ema_half_life": 9, "schedules": SCHEDULES},
    ],
    ids=["acgan-wgan-gp", "relativistic"],
)
def test_a_step_reads_nothing_back(make_experiment, values):
    experiment = make_experiment(**values)
    state = fresh_state(experiment)
    images, labels = real_images()
    with Transfers() as transfers:
        train_step(state, images, labels if experiment.conditional else None, 800)
        assert transfers.count == 0
        state.meter.means()["d_loss"]
        torch.ones(1).item()
        assert transfers.count > 0  # what the counter counts


def test_linear_decay(make_experiment):
    constant, linear = make_experiment(), make_experiment(learning_rate_decay="linear")
    assert learning_rate_factor(constant, 799, 800) == 1
    assert [learning_rate_factor(linear, seen, 800) for seen in (0, 200, 800, 804)] == [1, 0.75, 0, 0]
    state = fresh_state(linear)
    images, _ = real_images()
    for step in range(4):
        train_step(state, images, None, 800)
        assert state.optimizers["generator"].param_groups[0]["lr"] == pytest.approx(
            2e-4 * (1 - step * 8 / 800)
        )
        assert state.optimizers["discriminator"].param_groups[0]["lr"] == pytest.approx(
            2e-4 * (1 - step / 100)
        )


def test_average_closed_form():
    network = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), torch.nn.BatchNorm1d(1))
    torch.nn.init.zeros_(network[0].weight)
    average = GeneratorEMA(network, decay=0.9)
    torch.nn.init.ones_(network[0].weight)
    network[1].running_mean.fill_(2.0)
    network[1].num_batches_tracked.fill_(7)
    for _ in range(5):
        average.update(network)
    assert average.module[0].weight.item() == pytest.approx(1 - 0.9**5, rel=1e-6)
    assert average.module[1].running_mean.item() == pytest.approx(2 * (1 - 0.9**5), rel=1e-6)
    assert average.module[1].num_batches_tracked.item() == 7


def test_building_a_state_leaves_the_global_random_numbers_alone(make_experiment):
    before = torch.get_rng_state()
    first, second = fresh_state(make_experiment()), fresh_state(make_experiment())
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.generator.project.weight, second.generator.project.weight)
    other = fresh_state(make_experiment(seed=1))
    assert not torch.equal(first.generator.project.weight, other.generator.project.weight)


def updated(make_experiment, images, steps=1, **values) -> TrainingState:
    state = fresh_state(make_experiment(**values))
    for _ in range(steps):
        train_step(state, images, None, 800)
    return state


def test_weights_stay_within_the_clip(make_experiment):
    images, _ = real_images()
    rmsprop = {"name": "rmsprop", "learning_rate": 0.01}
    state = updated(
        make_experiment,
        images,
        steps=3,
        objective={"name": "wasserstein", "weight_clip": 0.02},
        optimizers={"generator": rmsprop, "discriminator": rmsprop},
    )
    largest = max(weight.abs().max().item() for weight in state.discriminator.parameters())
    assert largest == pytest.approx(0.02)
    assert max(weight.abs().max().item() for weight in state.generator.parameters()) > 0.02


@pytest.mark.parametrize(
    ("config", "reference"),
    [
        (
            {"name": "adam", "learning_rate": 1e-3, "betas": [0.0, 0.9], "weight_decay": 0.1},
            lambda weights: torch.optim.Adam(weights, 1e-3, (0.0, 0.9), weight_decay=0.1, foreach=False),
        ),
        (
            {"name": "rmsprop", "learning_rate": 1e-3, "smoothing": 0.9, "momentum": 0.5},
            lambda weights: torch.optim.RMSprop(weights, 1e-3, 0.9, momentum=0.5, foreach=False),
        ),
        (
            {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01},
            lambda weights: torch.optim.SGD(weights, 0.1, 0.9, weight_decay=0.01, foreach=False),
        ),
    ],
    ids=["adam", "rmsprop", "sgd"],
)
def test_optimizers_against_torchs_plain_ones(make_experiment, config, reference):
    images, _ = real_images()
    state = fresh_state(make_experiment(optimizers={"discriminator": config, "generator": config}))
    copied = copy.deepcopy(state.discriminator)
    optimizer = reference(list(copied.parameters()))
    for _ in range(3):
        train_step(state, images, None, 800)
        for mine, theirs in zip(state.discriminator.parameters(), copied.parameters(), strict=True):
            theirs.grad = mine.grad.clone()
        optimizer.step()
    for mine, theirs in zip(state.discriminator.parameters(), copied.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


def test_each_network_has_its_own_rate(make_experiment):
    images, _ = real_images()
    sgd = {"name": "sgd", "momentum": 0.0}
    rates = {"generator": 0.3, "discriminator": 0.01}
    optimizers = {name: sgd | {"learning_rate": rate} for name, rate in rates.items()}
    state = fresh_state(make_experiment(optimizers=optimizers))
    for name, rate in rates.items():
        assert state.optimizers[name].param_groups[0]["lr"] == rate
    before = {name: [w.detach().clone() for w in getattr(state, name).parameters()] for name in rates}
    train_step(state, images, None, 800)
    for name, rate in rates.items():
        for old, new in zip(before[name], getattr(state, name).parameters(), strict=True):
            torch.testing.assert_close(new.detach(), old - rate * new.grad, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "values",
    [
        {"objective": {"name": "hinge"}, "architecture": {"width": 4, "spectral_norm": True}},
        {"objective": {"name": "least_squares", "label_smoothing": 0.1}},
        {"objective": {"name": "minimax", "instance_noise": 0.3}},
        {"objective": {"r1": 10, "differentiable_augmentation": ["color", "translation", "cutout"]}},
        {"architecture": {"width": 4, "minibatch_discrimination": 3, "dropout": 0.3}},
        {"architecture": {"width": 4, "minibatch_stddev": True, "initialization": "orthogonal"}},
        {"architecture": {"name": "mlp", "width": 8}, "latent": {"size": 1, "distribution": "uniform"}},
        {"output": {"activation": "sigmoid"}},
    ],
    ids=str,
)
def test_every_option_trains_and_repeats_itself(make_experiment, values):
    images, _ = real_images()
    first, second = (updated(make_experiment, images, steps=3, **values) for _ in range(2))
    assert first.not_finite() == []
    fresh = fresh_state(make_experiment(**values))
    for network in ("generator", "discriminator"):
        states = [getattr(state, network).state_dict() for state in (first, second, fresh)]
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
        assert not all(torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_accuracies_are_shares_of_the_batch(make_experiment):
    images, _ = real_images()
    state = fresh_state(make_experiment())
    with torch.no_grad():
        state.discriminator.score.bias.fill_(1e3)  # it takes everything for real
    train_step(state, images, None, 800)
    means = state.meter.means()
    assert (means["d_real_accuracy"], means["d_fake_accuracy"]) == (1, 0)
