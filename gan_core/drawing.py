"""Images of a generator as files that a user asks for: a folder of PNGs, a grid, a walk between latents."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from gan_core.analysis.latents import path_of, walk
from gan_core.data.pixels import encode_png
from gan_core.errors import ConfigError
from gan_core.images import enlargement, grid_png, picture, to_uint8
from gan_core.placing import new_file, new_folder
from gan_core.progress import Progress
from gan_core.sampling import (
    BATCH_SIZE,
    GRID_SIDE,
    check_truncation,
    generate,
    images_of,
    latent_batches,
)
from gan_core.steps import GRID_COLUMNS, GRID_ROWS

logger = logging.getLogger("gan_core")
DRAWN = "drawn.json"  # says what a folder of images is, and that it is ours
WALK_CORNERS, STEPS_BETWEEN, FRAME_MS = 8, 15, 60
# A picture or an animation of more is larger than anything shows, and is built in memory.
MOST_IN_A_GRID, MOST_CORNERS, MOST_IN_A_FOLDER = 1_000, 200, 10**7
# What somebody means who names such a file, and what is not written.
OTHER_FORMATS = (".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".apng", ".mp4", ".zip", ".npz", ".npy")
MOST_SEEDS = 2**63


@dataclass(frozen=True)
class Wish:
    """What is to be drawn: `count` images (None: as many as suit the place), by `seed`, of the class
    `of_class` (None: all in turn), with latents truncated at `truncation` (None: not)."""

    count: int | None = None
    seed: int = 0
    of_class: str | None = None
    truncation: float | None = None


def draw(
    generator: nn.Module,
    classes: list[str],
    wish: Wish,
    place: Path,
    *,
    force: bool = False,
    emit: Callable[[str], None] = logger.info,
) -> dict:
    """Draw to `place` and return what was drawn, as the command prints it.

    `*.png` is one picture, a row per class or of `GRID_COLUMNS` images; `*.gif` is a closed walk through
    `count` latents, along great circles where they are normal (`analysis.latents`); anything else is a folder
    of PNGs, in folders by class for a conditional generator. `classes` are the names of the generator's.

    Raises `ConfigError` for a class that the generator does not know, a truncation that it cannot have, and a
    seed or a count that cannot be; `GanError` for a place where something else is. Memory does not grow
    with the number of images of a folder.
    """
    if not 0 <= wish.seed < MOST_SEEDS:
        raise ConfigError(f"--seed is {wish.seed}: choose a whole number from 0 to {MOST_SEEDS - 1}")
    if place.suffix.lower() in OTHER_FORMATS:
        raise ConfigError(
            f"--out is {place.name}: name a picture (*.png), an animation (*.gif), or a folder for PNGs"
        )
    check_truncation(wish.truncation, generator.latent)
    if generator.n_classes and wish.of_class is None and place.suffix.lower() == ".gif":
        wish = replace(wish, of_class=classes[0])  # a walk is between images of one class
    label = _label(generator, classes, wish.of_class)
    if place.suffix.lower() == ".png":
        count = _within(wish.count, _grid_count(generator, label), MOST_IN_A_GRID, "a grid")
        with new_file(place, force=force) as path:
            path.write_bytes(_grid(generator, wish, count, label))
    elif place.suffix.lower() == ".gif":
        count = _within(wish.count, WALK_CORNERS, MOST_CORNERS, "a walk", least=2)
        with new_file(place, force=force) as path:
            _write_walk(generator, wish, count, label, path, emit)
    else:
        count = _within(wish.count, GRID_ROWS * GRID_COLUMNS, MOST_IN_A_FOLDER, "a folder")
        _write_folder(generator, classes, wish, count, label, place, force, emit)
    return {"path": str(place), **_described(wish, count)}


def _described(wish: Wish, count: int) -> dict:
    return {"count": count, "seed": wish.seed, "class": wish.of_class, "truncation": wish.truncation}


def _label(generator: nn.Module, classes: list[str], name: str | None) -> int | None:
    if name is None:
        return None
    if not generator.n_classes:
        raise ConfigError(
            f"class `{name}` was asked for, but this generator was trained without classes and cannot be "
            "asked for one: leave `--class` out, or train with `conditioning: {name: acgan}`"
        )
    if name not in classes:
        raise ConfigError(f"the generator knows no class `{name}`; it knows: {', '.join(classes)}")
    return classes.index(name)


def _within(count: int | None, default: int, most: int, what: str, least: int = 1) -> int:
    if count is None:
        return default
    if not least <= count <= most:
        raise ConfigError(f"--count is {count:,}: {what} takes {least} to {most:,}")
    return count


def _labels(generator: nn.Module, label: int | None, count: int) -> Tensor | None:
    """None: without classes, or all in turn."""
    return None if label is None else torch.full((count,), label)


# --- a grid -----------------------------------------------------------------------------------------------


def _grid_count(generator: nn.Module, label: int | None) -> int:
    rows = generator.n_classes if generator.n_classes and label is None else GRID_ROWS
    return min(rows, MOST_IN_A_GRID // GRID_COLUMNS) * GRID_COLUMNS


def _grid(generator: nn.Module, wish: Wish, count: int, label: int | None) -> bytes:
    """Of a conditional generator a class a row, where all classes are asked for and fill their rows."""
    labels = _labels(generator, label, count)
    if generator.n_classes and label is None and count == generator.n_classes * GRID_COLUMNS:
        labels = torch.arange(generator.n_classes).repeat_interleave(GRID_COLUMNS)
    drawn = generate(generator, count, seed=wish.seed, labels=labels, truncation=wish.truncation)
    images = torch.cat([images for images, _ in drawn])
    return grid_png(images, GRID_COLUMNS, scale=enlargement(images.shape[-1], GRID_SIDE))


# --- a walk -----------------------------------------------------------------------------------------------


def _write_walk(
    generator: nn.Module, wish: Wish, count: int, label: int | None, path: Path, emit: Callable[[str], None]
) -> None:
    frames = _frames(generator, wish, count, label, emit)
    first = next(frames)
    first.save(path, "GIF", save_all=True, append_images=frames, duration=FRAME_MS, loop=0, optimize=False)


def _frames(
    generator: nn.Module, wish: Wish, count: int, label: int | None, emit: Callable[[str], None]
) -> Iterator[Image.Image]:
    """One after the other."""
    corners = torch.cat(list(latent_batches(generator, count, wish.seed, BATCH_SIZE, wish.truncation)))
    latents = walk(corners, STEPS_BETWEEN, closed=True, between=path_of(generator.latent))
    progress = Progress("drawing the walk", len(latents), "frames", emit=emit)
    for z in latents.split(BATCH_SIZE):
        labels = _labels(generator, label, len(z))
        images = to_uint8(images_of(generator, z, labels), generator.image_range).cpu()
        for image in images:
            yield picture(image.permute(1, 2, 0), enlargement(image.shape[-1], GRID_SIDE)).quantize(256)
            progress.advance(1)


# --- a folder ---------------------------------------------------------------------------------------------


def _write_folder(
    generator: nn.Module,
    classes: list[str],
    wish: Wish,
    count: int,
    label: int | None,
    place: Path,
    force: bool,
    emit: Callable[[str], None],
) -> None:
    names = [_folder_name(index, name) for index, name in enumerate(classes)]
    progress = Progress("drawing images", count, emit=emit)
    labels = _labels(generator, label, count)
    drawn = generate(generator, count, seed=wish.seed, labels=labels, truncation=wish.truncation)
    with new_folder(place, DRAWN, force=force) as folder:
        number = 0
        for images, asked in drawn:
            of_each = [None] * len(images) if asked is None else asked.tolist()
            for image, one in zip(images.numpy(), of_each, strict=True):
                into = folder if one is None else folder / names[one]
                into.mkdir(exist_ok=True)
                (into / f"{number:06d}.png").write_bytes(encode_png(image))
                number += 1
            progress.update(number)
        (folder / DRAWN).write_text(json.dumps(_described(wish, count), indent=1))


def _folder_name(index: int, name: str) -> str:
    """The class's own name where that is a plain one, else its number before what of it is."""
    plain = re.sub(r"[^\w .+-]", "_", name).strip(". ")
    return name if plain == name else f"{index}-{plain}"
