"""The picture of samples over time."""

import io

import torch
from PIL import Image

from gan_core.spacing import evenly_chosen
from gan_core.training.records.progress_strip import progress_png, strip_moments


def moment(images_seen: int):
    return images_seen, torch.full((2, 1, 4, 4), images_seen % 256, dtype=torch.uint8)


def test_first_and_last_are_always_chosen():
    assert evenly_chosen(3, 20) == [0, 1, 2]
    chosen = evenly_chosen(101, 20)
    assert (chosen[0], chosen[-1], len(set(chosen))) == (0, 100, 20)


def test_the_first_epoch_is_among_the_moments():
    samples = [moment(seen) for seen in range(0, 1_010, 10)]
    first_epoch = {"images_seen": 13, "samples": moment(13)[1]}
    shown = [seen for seen, _ in strip_moments(samples, first_epoch)]
    assert len(shown) == 20 and shown == sorted(shown)
    assert shown[0] == 0 and 13 in shown and shown[-1] == 1_000
    assert [seen for seen, _ in strip_moments(samples[:3], None)] == [0, 10, 20]


def test_an_epoch_that_ends_when_samples_were_drawn_is_one_moment():
    samples = [moment(0), moment(10), moment(20)]
    shown = strip_moments(samples, {"images_seen": 10, "samples": samples[1][1]})
    assert [seen for seen, _ in shown] == [0, 10, 20]


def test_colour_images_are_drawn_as_they_are():
    colours = torch.tensor([[255, 0, 0], [0, 0, 255]], dtype=torch.uint8)
    samples = [(seen, colour.view(1, 3, 1, 1).expand(2, 3, 64, 64)) for seen, colour in enumerate(colours)]
    strip = Image.open(io.BytesIO(progress_png(samples)))
    assert strip.size == (96 + 64 * 2 + 2, 64 * 2 + 2)
    assert strip.getpixel((100, 10)) == (255, 0, 0)
    assert strip.getpixel((100, 100)) == (0, 0, 255)
    assert strip.getpixel((2, 2)) == (255, 255, 255)
