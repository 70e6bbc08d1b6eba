"""The picture of samples over time."""

import io

import torch
from PIL import Image

from gan_core.images import evenly_chosen
from gan_core.training.records.progress_strip import progress_png


def test_first_and_last_are_always_chosen():
    assert evenly_chosen(3, 20) == [0, 1, 2]
    chosen = evenly_chosen(101, 20)
    assert (chosen[0], chosen[-1], len(set(chosen))) == (0, 100, 20)


def test_colour_images_are_drawn_as_they_are():
    colours = torch.tensor([[255, 0, 0], [0, 0, 255]], dtype=torch.uint8)
    samples = [(seen, colour.view(1, 3, 1, 1).expand(2, 3, 64, 64)) for seen, colour in enumerate(colours)]
    strip = Image.open(io.BytesIO(progress_png(samples)))
    assert strip.size == (96 + 64 * 2 + 2, 64 * 2 + 2)
    assert strip.getpixel((100, 10)) == (255, 0, 0)
    assert strip.getpixel((100, 100)) == (0, 0, 255)
    assert strip.getpixel((2, 2)) == (255, 255, 255)
