"""R3GAN's step (arXiv 2501.05441): the paired loss, R1 and R2, against their formulas in float64."""

import pytest
import torch

from gan_core.objectives import AUGMENTATIONS
from gan_core.training import train_gan
from gan_core.training.engine import Engine
from gan_core.training.state import TrainingState
from gan_core.training.step import train_step

OBJECTIVE = {"name": "relativistic", "r1": 1, "r2": 0.5}


def state_of(experiment) -> TrainingState:
    return TrainingState(experiment, channels=1, image_size=16, n_classes=3, device=torch.device("cpu"))


def real_images(seed: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    numbers = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (8, 1, 16, 16), generator=numbers, dtype=torch.uint8)
    return images, torch.arange(8) % 3


@pytest.fixture
def double(monkeypatch):
    """All networks and images in float64, so that what is compared agrees to rounding."""
    torch.set_default_dtype(torch.float64)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    yield
    torch.set_default_dtype(torch.float32)


def squared_gradient(scores: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    (gradient,) = torch.autograd.grad(scores.sum(), points, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


@pytest.mark.parametrize("conditioning", ["none", "projection"])
@pytest.mark.parametrize("read_ahead", [True, False], ids=["fresh", "own"])
def test_a_step_equals_the_obvious_one(make_experiment, double, conditioning, read_ahead):
    """Adam of the losses written out, with the networks' own numbers: D first, then G against the new D."""
    experiment = make_experiment(objective=OBJECTIVE, conditioning={"name": conditioning})
    state, obvious = state_of(experiment), state_of(experiment)
    (images, labels), (others, of_others) = real_images(), real_images(10)
    if conditioning == "none":
        labels = of_others = None
    fresh = (others, of_others) if read_ahead else None

    noise = torch.Generator()
    noise.set_state(obvious.noise.generator.get_state())
    z = torch.randn(8, 6, generator=noise)
    of_fakes = torch.randint(3, (8,), generator=noise) if labels is not None else None
    critic, fake = obvious.discriminator, obvious.generator(z, of_fakes)

    def scale(pixels):
        return pixels.double() / 127.5 - 1

    real, shown = scale(images).requires_grad_(), fake.detach().requires_grad_()
    of_real, of_fake = critic(real, labels).score, critic(shown, of_fakes).score
    r1, r2 = squared_gradient(of_real, real), squared_gradient(of_fake, shown)
    d_loss = torch.log1p(torch.exp(-(of_real - of_fake))).mean()
    (d_loss + 1 / 2 * r1 + 0.5 / 2 * r2).backward(inputs=list(critic.parameters()))
    obvious.optimizers["discriminator"].step()
    partners = critic(scale(others), of_others).score if read_ahead else critic(real, labels).score
    g_loss = torch.log1p(torch.exp(-(critic(fake, of_fakes).score - partners))).mean()
    g_loss.backward(inputs=list(obvious.generator.parameters()))
    obvious.optimizers["generator"].step()

    train_step(state, images, labels, 800, fresh)
    means = state.meter.means()
    expected = {"d_loss": d_loss, "g_loss": g_loss, "r1": r1, "r2": r2}
    assert {name: means[name] for name in expected} == pytest.approx(
        {name: value.item() for name, value in expected.items()}, rel=1e-9
    )
    for network in ("generator", "discriminator"):
        mine, theirs = getattr(state, network).state_dict(), getattr(obvious, network).state_dict()
        for name in mine:
            torch.testing.assert_close(mine[name], theirs[name], rtol=1e-7, atol=1e-9, msg=name)


def test_real_images_are_judged_again_only_where_g_compares_pairs(make_experiment):
    passes = {}
    for name in ("relativistic", "non_saturating"):
        experiment = make_experiment(
            architecture={"width": 4, "discriminator_norm": "none"}, objective={"name": name}
        )
        state, shown = state_of(experiment), []
        state.discriminator.register_forward_pre_hook(
            lambda _, given, shown=shown: shown.append((len(given[0]), torch.is_grad_enabled()))
        )
        train_step(state, real_images()[0], None, 800)
        passes[name] = shown
    assert passes["non_saturating"] == [(16, True), (8, True)]
    assert passes["relativistic"] == [(16, True), (8, True), (8, False)]


class Feed:
    """Counts its images, and goes forward only, as a streamed one does best."""

    def __init__(self):
        self.asked = []

    def __len__(self):
        return 40

    def batch(self, start, size):
        self.asked.append((start, size))
        return torch.arange(start, start + size).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 16, 16), None

    def end_after(self, total_images):
        self.until = total_images


@pytest.mark.parametrize(
    ("name", "n_critic", "asked", "compared"),
    [
        ("relativistic", 1, [0, 8, 16, 24], {0: 8, 8: 16, 16: 24}),
        ("relativistic", 2, [0, 8, 16], {0: None, 8: 16, 16: None}),
        ("non_saturating", 1, [0, 8, 16], {0: None, 8: None, 16: None}),
    ],
)
def test_g_is_compared_with_the_next_batch_which_is_read_once(
    make_experiment, monkeypatch, name, n_critic, asked, compared
):
    experiment = make_experiment(objective={"name": name}, n_critic=n_critic)
    state, feed, found = state_of(experiment), Feed(), {}
    engine = Engine(state, feed, 24, checkpoints=None, listeners=None)

    def step(state, images, labels, total_images, fresh):
        found[int(images[0, 0, 0, 0])] = None if fresh is None else int(fresh[0][0, 0, 0, 0])
        state.images_seen, state.step = state.images_seen + 8, state.step + 1

    monkeypatch.setattr("gan_core.training.engine.train_step", step)
    monkeypatch.setattr(state, "gradient_norms", lambda of_generator: {})
    engine.clock_start = 0
    while state.images_seen < 24:
        engine._advance(1)
    assert feed.asked == [(start, 8) for start in asked]
    assert found == compared
    assert feed.until == (32 if name == "relativistic" else 24)


def test_a_training_that_was_interrupted_ends_with_the_same_bytes(
    make_experiment, make_shards, dataset, store, tmp_path, monkeypatch
):
    from gan_core.store import Store

    values = {"objective": OBJECTIVE, "length": {"images": 120}, "horizontal_flips": True}
    shards = make_shards(store)
    whole = train_gan(store, make_experiment(**values), dataset, shards)
    advance, steps = Engine._advance, []

    def interrupted(engine, count):
        steps.append(engine.state.images_seen)
        if len(steps) == 13:
            raise KeyboardInterrupt
        advance(engine, count)

    monkeypatch.setattr(Engine, "_advance", interrupted)
    other = Store(tmp_path / "other")
    shards = make_shards(other)
    with pytest.raises(KeyboardInterrupt):
        train_gan(other, make_experiment(**values), dataset, shards)
    resumed = train_gan(other, make_experiment(**values), dataset, shards)
    assert steps.count(80) >= 2 and steps.count(0) == 1  # it went on from its checkpoint
    for file in ("generator.safetensors", "discriminator.safetensors"):
        assert resumed.files[file].sha256 == whole.files[file].sha256


def test_a_streamed_feed_gives_the_same_bytes(make_experiment, make_shards, dataset, store, tmp_path):
    """Of 50 images, 16 at a time: batches cross windows and epochs, and nothing is read twice."""
    from gan_core.store import Store

    values = {"objective": OBJECTIVE, "length": {"images": 160}, "shuffle_window": 16}
    resident = train_gan(store, make_experiment(**values), dataset, make_shards(store, count=5))
    other, lines = Store(tmp_path / "other"), []
    shards = make_shards(other, count=5)
    streamed = train_gan(
        other, make_experiment(**values), dataset, shards, memory_limit_bytes=12_000, emit=lines.append
    )
    assert any("streamed in windows of 16 images" in line for line in lines)
    for file in ("generator.safetensors", "discriminator.safetensors"):
        assert streamed.files[file].sha256 == resident.files[file].sha256


# --- where the gradients are taken ------------------------------------------------------------------------


@pytest.fixture
def halved():
    """An augmentation that halves every pixel: D's gradient at the original image is half of that it sees."""
    AUGMENTATIONS["halved"] = lambda images, noise, scale: images / 2
    yield
    del AUGMENTATIONS["halved"]


@pytest.mark.parametrize(("where", "share"), [("augmented", 1), ("original", 1 / 4)])
def test_gradients_are_taken_before_or_after_the_augmentation(make_experiment, double, halved, where, share):
    state = state_of(
        make_experiment(
            architecture={"width": 4, "discriminator_norm": "none"},
            objective={**OBJECTIVE, "gradients_at": where, "differentiable_augmentation": ["halved"]},
        )
    )
    images, _ = real_images()
    seen = ((images.double() / 127.5 - 1) / 2).requires_grad_()
    at_seen = squared_gradient(state.discriminator(seen).score, seen).item()
    train_step(state, images, None, 800)
    assert state.meter.means()["r1"] == pytest.approx(share * at_seen, rel=1e-9)


def test_gradients_at_the_original_images_train_d_as_the_formula_does(make_experiment, double):
    """Through color and translation, whose random numbers are those of the images that D judges."""
    augmentation = ["color", "translation"]
    objective = {**OBJECTIVE, "gradients_at": "original", "differentiable_augmentation": augmentation}
    experiment = make_experiment(
        architecture={"width": 4, "discriminator_norm": "none"},
        objective=objective,
        optimizers={name: {"name": "sgd"} for name in ("generator", "discriminator")},
    )
    state, obvious = state_of(experiment), state_of(experiment)
    images, _ = real_images()
    critic, noise = obvious.discriminator, obvious.noise
    fake = obvious.generator(noise.latents(experiment.latent, 8), None).detach().requires_grad_()
    real = (images.double() / 127.5 - 1).requires_grad_()
    scores = []
    for points in (real, fake):
        shown = points
        for name in augmentation:
            shown = AUGMENTATIONS[name](shown, noise, 1.0)
        scores.append(critic(shown).score)
    r1, r2 = (squared_gradient(of, at) for of, at in zip(scores, (real, fake), strict=True))
    loss = torch.log1p(torch.exp(scores[1] - scores[0])).mean() + r1 / 2 + 0.5 * r2 / 2
    gradients = torch.autograd.grad(loss, list(critic.parameters()), allow_unused=True)
    before = [weight.detach().clone() for weight in critic.parameters()]
    train_step(state, images, None, 800)
    means = state.meter.means()
    assert (means["r1"], means["r2"]) == pytest.approx((r1.item(), r2.item()), rel=1e-9)
    for old, new, gradient in zip(before, state.discriminator.parameters(), gradients, strict=True):
        expected = old if gradient is None else old - 2e-4 * gradient
        torch.testing.assert_close(new.detach(), expected, rtol=1e-10, atol=1e-12)
