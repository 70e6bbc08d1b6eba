"""Three steps of the recipes that papers and peers publish, in float64, against plain loops.

The loops share no code with the engine: networks written out in `plain_networks`, torch's plain optimisers,
losses as the papers write them. Only the random numbers are the engine's.
"""

import pytest
import torch

from gan_core.training.state import TrainingState
from gan_core.training.step import train_step
from tests.gan_core.models.plain_networks import (
    PlainDeepDCGANDiscriminator,
    PlainDeepDCGANGenerator,
    PlainSNDCGANCritic,
    PlainSNDCGANGenerator,
    take_over,
)

STEPS, BATCH, LATENT, WIDTH, RATE = 3, 6, 5, 4, 2e-4


@pytest.fixture(autouse=True)
def in_float64(monkeypatch):
    """The engine in float64: where it asks for single precision it gets double."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def hinge(of_real, of_fake):
    return torch.relu(1 - of_real).mean() + torch.relu(1 + of_fake).mean()


def wasserstein(of_real, of_fake):
    return of_fake.mean() - of_real.mean()


def negative_mean(of_fake):
    return -of_fake.mean()


def gradient_penalty(critic, real, fake, share):
    points = (share * real + (1 - share) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()


def cross_entropy(of_real, of_fake):
    return -torch.log(torch.sigmoid(of_real)).mean() - torch.log(1 - torch.sigmoid(of_fake)).mean()


def negative_log(of_fake):
    return -torch.log(torch.sigmoid(of_fake)).mean()


class PlainTraining:
    """One step after another: D on a batch, then G by the same fakes, which the new D judges again.

    `fresh`: G draws new ones instead, so many times as many as D's. `apart`: D sees real and generated images
    in two batches, as it must where it has batch norm.
    """

    def __init__(
        self,
        state: TrainingState,
        generator,
        critic,
        d_loss,
        g_loss,
        betas,
        *,
        penalty=0,
        clip=0,
        apart=False,
        fresh=0,
    ):
        self.apart, self.fresh = apart, fresh
        self.noise = torch.Generator()
        self.noise.set_state(state.noise.generator.get_state())
        self.generator = take_over(generator, state.generator)
        self.critic = take_over(critic, state.discriminator)
        self.d_loss, self.g_loss, self.penalty, self.clip = d_loss, g_loss, penalty, clip
        self.of_generator, self.of_critic = (
            torch.optim.Adam(network.parameters(), RATE, betas, foreach=False)
            for network in (self.generator, self.critic)
        )

    def step(self, images) -> tuple[float, float]:
        real = images.double() / 127.5 - 1
        fake = self.generator(torch.randn(BATCH, LATENT, generator=self.noise))
        if self.apart:
            of_real, of_fake = self.critic(real), self.critic(fake.detach())
        else:
            of_real, of_fake = self.critic(torch.cat([real, fake.detach()])).split(BATCH)
        d_loss = total = self.d_loss(of_real, of_fake)
        if self.penalty:
            share = torch.rand(BATCH, 1, 1, 1, generator=self.noise)
            total = d_loss + self.penalty * gradient_penalty(self.critic, real, fake.detach(), share)
        self.of_critic.zero_grad()
        total.backward()
        self.of_critic.step()
        if self.clip:
            for parameter in self.critic.parameters():
                parameter.data.clamp_(-self.clip, self.clip)
        if self.fresh:
            fake = self.generator(torch.randn(self.fresh * BATCH, LATENT, generator=self.noise))
        g_loss = self.g_loss(self.critic(fake))
        self.of_generator.zero_grad()
        g_loss.backward()
        self.of_generator.step()
        return d_loss.item(), g_loss.item()


@pytest.fixture
def state_of(make_experiment):
    def build(betas, **values) -> TrainingState:
        rates = {name: {"learning_rate": RATE, "betas": betas} for name in ("generator", "discriminator")}
        experiment = make_experiment(
            **{"optimizers": rates, "latent": {"size": LATENT}, "batch_size": BATCH, **values}
        )
        shape = {"channels": 3, "image_size": 32, "n_classes": 0}
        return TrainingState(experiment, **shape, device=torch.device("cpu"))

    return build


def assert_same_losses(state: TrainingState, plain: PlainTraining) -> None:
    numbers = torch.Generator().manual_seed(1)
    for _ in range(STEPS):
        images = torch.randint(0, 256, (BATCH, 3, 32, 32), generator=numbers, dtype=torch.uint8)
        expected = plain.step(images)
        train_step(state, images, None, 10**6)
        means = state.meter.means()
        assert (means["d_loss"], means["g_loss"]) == pytest.approx(expected, rel=1e-9)
        state.meter.reset()
    last, of_plain = state.generator.layers[-1].weight, plain.generator.last.weight
    torch.testing.assert_close(last, of_plain, rtol=1e-9, atol=1e-9)


SNDCGAN = {
    "sngan": ({"name": "hinge"}, {"spectral_norm": True}, hinge, {}),
    "wgan": ({"name": "wasserstein", "weight_clip": 0.1}, {}, wasserstein, {"clip": 0.1}),
    "wgan-gp": ({"name": "wasserstein", "gradient_penalty": 10}, {}, wasserstein, {"penalty": 10}),
}


@pytest.mark.parametrize("fresh", [0, 1, 2])
@pytest.mark.parametrize("recipe", SNDCGAN)
def test_sndcgan_trains_as_a_plain_loop(state_of, recipe, fresh):
    """pytorch-gan-collections trains it with twice as many images of G's own."""
    objective, options, d_loss, extra = SNDCGAN[recipe]
    architecture = {"name": "sndcgan", "width": WIDTH, "initialization": "xavier"}
    architecture |= {"discriminator_norm": "none", **options}
    state = state_of((0.0, 0.9), architecture=architecture, objective=objective, **own_images(fresh))
    generator = PlainSNDCGANGenerator(LATENT, WIDTH)
    critic = PlainSNDCGANCritic(WIDTH, spectral="spectral_norm" in options)
    plain = PlainTraining(state, generator, critic, d_loss, negative_mean, (0.0, 0.9), fresh=fresh, **extra)
    assert_same_losses(state, plain)


@pytest.mark.parametrize("fresh", [0, 2])
def test_deep_dcgan_trains_as_a_plain_loop(state_of, fresh):
    architecture = {"name": "deep_dcgan", "width": WIDTH, "initialization": "xavier"}
    objective = {"name": "non_saturating"}
    state = state_of((0.5, 0.9), architecture=architecture, objective=objective, **own_images(fresh))
    networks = PlainDeepDCGANGenerator(LATENT, WIDTH), PlainDeepDCGANDiscriminator(WIDTH)
    plain = PlainTraining(state, *networks, cross_entropy, negative_log, (0.5, 0.9), apart=True, fresh=fresh)
    assert_same_losses(state, plain)


def own_images(factor: int) -> dict:
    """The keys with which G's step draws `factor` times as many images as D's; 0: it shares D's."""
    return {"fresh_fakes": True, "generator_batch_factor": factor} if factor else {}
