"""Interpolation, walk and class sweep on a real GAN."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.linalg import sqrtm

from gan_core.analysis.kinds import class_sweep, interpolation, walk
from gan_core.analysis.latents import slerp
from gan_core.analysis.pictures import animation_gif, numbered_png, rows_png


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_the_distances_half_way_are_those_of_scipy(trained):
    subject = trained.subject()
    found = interpolation.look(subject)
    ends = subject.latents(400, "interpolation").unflatten(0, (200, 2))
    middles = torch.stack([slerp(*pair, 3)[1] for pair in ends])
    sides = []
    for images in (subject.images("train", 200).images, subject.draw(middles)):
        features = subject.extractor.extract(images)[0].double().numpy()
        sides.append((features.mean(0), np.cov(features, rowvar=False)))
    (mean, sigma), (other, spread) = sides
    root = sqrtm(sigma @ spread).real
    expected = np.square(mean - other).sum() + np.trace(sigma + spread - 2 * root)
    assert found.figures["interpolation_spherical"] == pytest.approx(expected, rel=1e-3)
    assert [row["images of"] for row in found.table] == list(interpolation.WORDS.values())
    norms = [row["mean norm of the latents"] for row in found.table]
    assert norms[1] / norms[0] == pytest.approx(2**-0.5, abs=0.02)
    assert norms[2] / norms[0] == pytest.approx(1, abs=0.03)


def test_the_walk_is_closed_and_each_frame_is_another(trained):
    gif = opened(walk.look(trained.subject()).pictures["walk.gif"])
    assert gif.n_frames == walk.CORNERS * walk.STEPS_BETWEEN and gif.info["loop"] == 0
    frames = []
    for number in range(gif.n_frames):
        gif.seek(number)
        frames.append(np.asarray(gif.convert("L"), dtype=float))
    steps = [np.abs(a - b).mean() for a, b in zip(frames, [*frames[1:], frames[0]], strict=True)]
    assert min(steps) > 0 and steps[-1] < 3 * np.median(steps)


def test_the_sweep_counts_what_the_classifier_recognises(trained):
    subject = trained.subject("conditional")
    found = class_sweep.look(subject)
    z = subject.latents(20, "class_sweep")
    right = 0
    for label in range(10):
        images = subject.draw(z, subject.one_hot(torch.full((20,), label)))
        right += int((subject.extractor.extract(images)[1].argmax(1) == label).sum())
    assert found.figures["sweep_recognised"] == right / 200
    assert {"class_sweep.png", "between_classes.png"} == set(found.pictures)


def test_between_classes_begins_and_ends_with_them(trained):
    subject = trained.subject("conditional")
    z = subject.latents(1, "class_sweep")[0]
    caption, images = class_sweep._between(subject, z, torch.arange(10))[3]
    ends = subject.draw(z.expand(2, -1), subject.one_hot(torch.tensor([3, 4])))
    assert caption == "3 to 4"
    assert (images[[0, -1]].int() - ends.int()).abs().max() <= 1


def test_pictures_show_every_image_once():
    images = torch.arange(12, dtype=torch.uint8)[:, None, None, None].expand(12, 1, 16, 16) * 20
    rows = opened(rows_png([("first", images[:6]), ("second row", images[6:])], list("abcdef")))
    numbered = opened(numbered_png(images, 5))
    for picture in (rows, numbered):
        assert set(range(20, 240, 20)) <= set(np.unique(np.asarray(picture)).tolist())
    assert numbered.size == (5 * 50, 3 * 68)


def test_large_images_are_reduced_in_animations():
    frames = torch.randint(0, 256, (3, 2, 3, 128, 128), dtype=torch.uint8)
    assert opened(animation_gif(frames, 2)).size == (2 * 64 + 2, 64)
