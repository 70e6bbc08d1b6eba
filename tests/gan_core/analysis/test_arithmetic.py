"""Latent arithmetic: on planted generators, whose answer is known, and by sample number on a real one."""

import numpy as np
import pytest
import torch

from gan_core.analysis import latent_sums, sum_pictures
from gan_core.analysis.kinds import arithmetic
from gan_core.analysis.pictures import LINE
from gan_core.analysis.sum_pictures import example
from gan_core.config import Latent
from gan_core.errors import ConfigError
from gan_core.models.common import draw_latents

CLASSES = ["left", "right", "top"]


class Planted:
    """A generator of 8x8 images: z[0] is how bright, the largest of z[1:4] which class, as a marked pixel.

    With `direction` False how bright an image is has nothing to do with where its latent is.
    """

    conditional, recognises_classes, classes, seed = False, True, CLASSES, 0

    def __init__(self, direction: bool):
        self.direction = direction
        self.generator = self
        self.latent = Latent(size=8)
        self.settings = {}

    def emit(self, line: str) -> None:
        pass

    def latents(self, count, purpose):
        seed = sum(purpose.encode())
        return draw_latents(self.latent, count, torch.Generator().manual_seed(seed))

    def one_hot(self, labels):
        return None

    def draw(self, z, classes=None):
        value = z[:, 0] / 4 + 0.5 if self.direction else ((z[:, 0] * 1e4).sin() * 1e3) % 1
        images = (value.clamp(0, 1) * 200).round()[:, None, None, None].expand(-1, 1, 8, 8).clone()
        images[torch.arange(len(z)), 0, 0, z[:, 1:4].argmax(1)] = 255
        return images.to(torch.uint8)

    def drawn(self, z, classes=None):
        yield from self.draw(z, classes).split(128)

    def recognised(self, images):
        return images[:, 0, 0, :3].argmax(1), torch.ones(len(images))


@pytest.fixture
def without_pictures(monkeypatch):
    monkeypatch.setattr(sum_pictures, "sums_png", lambda *_: b"")
    monkeypatch.setattr(arithmetic, "numbered", lambda *_: b"")


def test_a_direction_is_found_where_there_is_one_and_not_where_there_is_none(without_pictures):
    found = arithmetic.look(Planted(direction=True)).figures
    none = arithmetic.look(Planted(direction=False)).figures
    assert found["arithmetic_bright"] > 0.75 and found["arithmetic_without"] < 0.05
    assert found["arithmetic"] > 3 * found["arithmetic_chance"]
    assert found["arithmetic_bright"] > found["arithmetic_bright_control"] + 0.3
    assert none["arithmetic_bright"] == pytest.approx(none["arithmetic_bright_control"], abs=0.08)
    # Half of all images are brighter than the median, whatever is added.
    assert none["arithmetic_bright"] == pytest.approx(0.5, abs=0.08)
    assert none["arithmetic"] == pytest.approx(none["arithmetic_class"] / 2, abs=0.08)
    for figures in (found, none):
        assert figures["arithmetic_class_chance"] == pytest.approx(1 / 3, abs=0.08)
        assert figures["arithmetic_chance"] == pytest.approx(1 / 6, abs=0.07)
        assert figures["arithmetic_low"] < figures["arithmetic"] < figures["arithmetic_high"]


def test_exemplars_are_three_different_ones_of_the_right_class_and_quarter():
    pool = latent_sums.draw_pool(Planted(direction=True), 1000)
    sums = latent_sums.choose(pool, len(CLASSES), seed=0, count=60)
    pairs = list(zip(sums.first.tolist(), sums.second.tolist(), strict=True))
    assert len(set(pairs)) == 6 and all(a != b for a, b in pairs)
    for term, of, bright in (("A", sums.first, True), ("B", sums.first, False), ("C", sums.second, False)):
        for numbers, label in zip(sums.terms[term], of, strict=True):
            assert len(set(numbers)) == 3 and set(pool.seen.found[numbers]) == {label}
            members = pool.seen.brightness[pool.seen.found == label]
            bound = np.quantile(members, 0.75 if bright else 0.25)
            inside = (
                pool.seen.brightness[numbers] >= bound if bright else pool.seen.brightness[numbers] <= bound
            )
            assert inside.all()
    for term in ("A", "B"):  # of any brightness
        chosen = sums.control[term]
        assert (pool.seen.found[chosen] == sums.first[:, None]).all()
        ranks = np.array(
            [
                (pool.seen.brightness[pool.members(a)] < value).mean()
                for a, value in zip(sums.first, pool.seen.brightness[chosen[:, 0]], strict=True)
            ]
        )
        assert abs(ranks.mean() - 0.5) < 0.15 and ranks.min() < 0.2 and ranks.max() > 0.8
    assert np.array_equal(sums.control["C"], sums.terms["C"])


def test_of_unclear_samples_no_sum_is_made(without_pictures):
    subject = Planted(direction=True)
    subject.recognised = lambda images: (
        torch.zeros(len(images), dtype=torch.int64),
        torch.zeros(len(images)),
    )
    found = arithmetic.look(subject)
    assert set(found.figures) == set(arithmetic.FIGURES) and set(found.figures.values()) == {None}
    assert "fewer than two classes" in found.protocol


def test_the_sum_of_chosen_samples(trained):
    """By hand: the mean latents of these numbers, as `samples` draws them."""
    from gan_core.sampling import sample_latents

    given = {"a": [12, 40, 77], "b": [3, 4, 5], "c": [0, 1, 199]}
    subject = trained.subject(arithmetic=given)
    found = arithmetic.look(subject)
    z = sample_latents(subject.generator, 200, trained.dataset.evaluation.seed)
    result = (z[[12, 40, 77]].sum(0) - z[[3, 4, 5]].sum(0) + z[[0, 1, 199]].sum(0)) / 3
    assert found.table[0]["norm"] == f"{float(result.norm()):.2f}"
    brightness = float(subject.draw(result[None]).float().mean()) / 255
    assert found.table[0]["brightness"] == f"{brightness:.1%}"
    assert found.table[1]["norm"] == f"{16**0.5:.2f}"
    assert found.choices == given


def test_numbers_of_a_conditional_generator_are_places_in_its_grid(trained):
    subject = trained.subject("conditional", arithmetic={"a": [57], "b": [51], "c": [33]})
    latents, asked = arithmetic.numbered_inputs(subject, arithmetic.numbers_there(subject))
    assert asked.argmax(1)[[57, 51, 33]].tolist() == [5, 5, 3] and len(latents) == 100
    assert arithmetic.look(subject).pictures["arithmetic.png"].startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"a": [1], "b": [2], "c": [200]},
            "--c names sample 200, .* the numbers 0 to 199: samples_by_number.png shows the first 100",
        ),
        ({"a": [-1], "b": [2], "c": [3]}, "--a names sample -1"),
        ({"a": [1], "b": [2]}, "--c has none"),
    ],
)
def test_numbers_that_there_are_not(trained, given, told):
    with pytest.raises(ConfigError, match=told):
        arithmetic.check_numbers(trained.subject(), given)


def test_what_is_a_mean_and_what_the_sum_stands_below_it():
    black = torch.zeros(9, 1, 16, 16, dtype=torch.uint8)
    drawn = np.asarray(example(dict.fromkeys("ABC", (black[:3], black[:1])), black, "title"))
    line = drawn[-LINE:] < 128
    for left, right in ((0, 48), (80, 128), (150, 200), (220, drawn.shape[1])):
        assert line[:, left:right].any(), left
