"""What analyses look at: the networks and the latents are those that are meant."""

import torch

from gan_core.data.pixels import decode_png
from gan_core.data.tars import read_tar
from gan_core.images import to_uint8
from gan_core.sampling import draw_samples, generate, load_generator, sample_latents


def test_drawing_with_one_hot_classes_is_what_the_generator_draws(trained):
    subject = trained.subject("conditional")
    z, labels = subject.latents(200, "test"), torch.arange(200) % 10
    generator = load_generator(trained.store, subject.trained)
    expected = to_uint8(generator(z, labels), generator.image_range)
    assert (subject.draw(z, subject.one_hot(labels)).int() - expected.int()).abs().max() <= 1


def test_numbered_latents_are_those_of_the_samples(trained):
    subject = trained.subject()
    experiment = trained.configs.experiments["plain"]
    made = draw_samples(trained.store, experiment, trained.dataset, subject.trained, trained.shards, emit=str)
    tar = trained.store.local(made, "samples-000000.tar")
    stored = torch.stack([torch.from_numpy(decode_png(png).copy()) for _, png, _ in read_tar(tar)])
    drawn = subject.draw(sample_latents(subject.generator, 150, subject.seed))
    assert (drawn.int() - stored[:150].int()).abs().max() <= 1
    in_blocks = torch.cat([images for images, _ in generate(subject.generator, 150, seed=subject.seed)])
    assert (drawn.int() - in_blocks.int()).abs().max() <= 1


def test_an_untrained_discriminator_depends_on_its_seed_alone(trained):
    subject = trained.subject()
    before = torch.random.get_rng_state()
    first, again, other = (subject.discriminator(seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["score.weight"], other["score.weight"])
    assert not torch.equal(subject.discriminator().state_dict()["score.weight"], first["score.weight"])


def test_latents_of_two_purposes_differ(trained):
    subject = trained.subject()
    one, other = subject.latents(5, "one"), subject.latents(5, "other")
    assert torch.equal(one, subject.latents(9, "one")[:5]) and not torch.equal(one, other)


def test_images_are_spread_over_the_split(trained):
    subject = trained.subject()
    some, whole = subject.images("train", 10), subject.images("train", 10**6)
    assert len(whole) == subject.count("train") and len(some) == 10
    assert torch.equal(some.images[[0, -1]], whole.images[[0, -1]])
    assert subject.count("nowhere") == 0
