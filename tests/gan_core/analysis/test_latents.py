"""Paths between latents, against closed forms and an interpolation of rotations."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation, Slerp

from gan_core.analysis.latents import lerp, rescaled, slerp, typical_norm, walk
from gan_core.config import Latent
from gan_core.models.common import draw_latents

X, Y = torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0])


def test_a_line_has_its_ends_and_even_steps():
    path = lerp(torch.tensor([0.0, 2.0]), torch.tensor([4.0, -2.0]), 5)
    assert torch.equal(path, torch.tensor([[0.0, 2], [1, 1], [2, 0], [3, -1], [4, -2]]))


def test_a_quarter_circle_has_the_sines_and_cosines_of_even_angles():
    angles = torch.linspace(0, math.pi / 2, 7)
    expected = torch.stack([angles.cos(), angles.sin(), torch.zeros(7)], dim=1)
    torch.testing.assert_close(slerp(X, Y, 7), expected)


def test_the_great_circle_is_that_of_rotations():
    """The formula comes from unit quaternions: scipy interpolates the rotations that these stand for."""
    numbers = np.random.default_rng(0)
    first, second = (q / np.linalg.norm(q) for q in numbers.normal(size=(2, 4)))
    second = second * np.sign(first @ second)  # of the two quaternions of a rotation, the nearer one
    path = slerp(torch.from_numpy(first), torch.from_numpy(second), 9)
    rotations = Slerp([0, 1], Rotation.from_quat([first, second]))(np.linspace(0, 1, 9))
    assert np.abs((path.numpy() * rotations.as_quat()).sum(1)) == pytest.approx(np.ones(9))


def test_a_great_circle_keeps_the_norm_and_a_line_does_not():
    first, second = draw_latents(Latent(size=400), 2, torch.Generator().manual_seed(1))
    second = second * first.norm() / second.norm()
    torch.testing.assert_close(slerp(first, second, 11).norm(dim=1), first.norm().expand(11))
    assert lerp(first, second, 11)[5].norm() / first.norm() == pytest.approx(math.sqrt(0.5), abs=0.05)


@pytest.mark.parametrize("second", [X, 2 * X, -X, 0 * X, X + 1e-6 * Y])
def test_directions_without_a_great_circle_are_joined_by_a_line(second):
    torch.testing.assert_close(slerp(X, second, 5), lerp(X, second, 5))


def test_a_closed_walk_visits_every_corner_once_and_would_come_back():
    corners = torch.stack([X, Y, torch.tensor([0, 0, 1.0])])
    path = walk(corners, 4)
    assert path.shape == (12, 3)
    assert torch.equal(path[::4], corners)
    steps = torch.arccos((path * path.roll(-1, 0)).sum(1))  # the last one leads to the first frame
    torch.testing.assert_close(steps, torch.full((12,), math.pi / 8))


def test_an_open_walk_ends_at_the_last_corner():
    path = walk(torch.stack([X, Y, X + Y]), 2, closed=False, between=lerp)
    expected = torch.tensor([[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0.5, 1, 0], [1, 1, 0]])
    torch.testing.assert_close(path, expected)


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_the_typical_norm_is_that_of_drawn_latents(distribution):
    latent = Latent(size=300, distribution=distribution)
    drawn = draw_latents(latent, 3000, torch.Generator().manual_seed(0))
    assert typical_norm(latent) == pytest.approx(drawn.square().sum(1).mean().sqrt().item(), rel=0.005)
    means = drawn.view(1000, 3, -1).mean(1)
    assert means.norm(dim=1).mean().item() == pytest.approx(typical_norm(latent) / math.sqrt(3), rel=0.01)
    back = rescaled(means, latent)
    torch.testing.assert_close(back.norm(dim=1), torch.full((1000,), typical_norm(latent)))
    torch.testing.assert_close(torch.cosine_similarity(back, means), torch.ones(1000))


def test_what_is_no_path_is_refused():
    with pytest.raises(ValueError, match="at least 2 steps"):
        lerp(X, Y, 1)
    with pytest.raises(ValueError, match="two latents"):
        slerp(X, Y[:2], 5)
    with pytest.raises(ValueError, match="at least 2 corners"):
        walk(X[None], 3)
