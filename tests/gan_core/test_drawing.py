"""Images that a user asks for: folder, grid, walk, classes, truncation."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from gan_core import drawing
from gan_core.config import Experiment, Latent
from gan_core.drawing import STEPS_BETWEEN, WALK_CORNERS, Wish, draw
from gan_core.errors import ConfigError, GanError
from gan_core.models import build_generator
from gan_core.models.common import draw_latents
from gan_core.sampling import LEAST_TRUNCATION, generate, truncated

CLASSES = ["a", "b", "../c"]


def make_generator(conditioning="acgan", distribution="normal", channels=3):
    experiment = Experiment.model_validate(
        {
            "name": "small",
            "dataset": "tiny",
            "architecture": {"width": 4},
            "latent": {"size": 6, "distribution": distribution},
            "conditioning": {"name": conditioning},
            "length": {"images": 100},
        }
    )
    torch.manual_seed(0)
    generator = build_generator(experiment, channels=channels, image_size=16, n_classes=3)
    with torch.no_grad():
        generator.layers[-1].weight.mul_(300)
    return generator.eval().requires_grad_(False)


def pixels(path):
    return np.asarray(Image.open(path)).transpose(2, 0, 1)


def test_a_folder_holds_the_images_of_generate_by_class(tmp_path):
    generator = make_generator()
    told = draw(generator, CLASSES, Wish(count=7, seed=5), tmp_path / "out", emit=print)
    assert told == {
        "path": str(tmp_path / "out"),
        "count": 7,
        "seed": 5,
        "class": None,
        "truncation": None,
    }
    (expected, labels), *_ = generate(generator, 7, seed=5)
    names = ["a", "b", "2-_c"]  # no class leads out of the folder
    for number, (image, label) in enumerate(zip(expected.numpy(), labels.tolist(), strict=True)):
        assert np.array_equal(pixels(tmp_path / "out" / names[label] / f"{number:06d}.png"), image)
    assert len(list((tmp_path / "out").rglob("*.png"))) == 7
    assert json.loads((tmp_path / "out" / "drawn.json").read_text())["seed"] == 5


def test_one_class_is_drawn_where_it_is_asked_for(tmp_path):
    generator = make_generator()
    draw(generator, CLASSES, Wish(count=4, of_class="b"), tmp_path / "out", emit=print)
    (expected, _), *_ = generate(generator, 4, seed=0, labels=torch.ones(4, dtype=torch.int64))
    drawn = [pixels(path) for path in sorted((tmp_path / "out" / "b").iterdir())]
    assert np.array_equal(drawn, expected.numpy())


def test_many_images_are_drawn_in_batches_with_progress(tmp_path, monkeypatch):
    sizes = []

    def watched(*arguments, **values):
        for images, labels in generate(*arguments, **values):
            sizes.append(len(images))
            yield images, labels

    monkeypatch.setattr(drawing, "generate", watched)
    draw(make_generator("none", channels=1), [], Wish(count=300), tmp_path / "out", emit=print)
    assert sizes == [128, 128, 44]
    assert len(list((tmp_path / "out").glob("*.png"))) == 300


def test_a_grid_has_a_row_per_class(tmp_path):
    generator = make_generator()
    assert draw(generator, CLASSES, Wish(), tmp_path / "grid.png", emit=print)["count"] == 30
    picture = pixels(tmp_path / "grid.png")[:, ::3, ::3]  # each pixel is three wide
    assert picture.shape == (3, 3 * 18 - 2, 10 * 18 - 2)
    labels = torch.arange(3).repeat_interleave(10)
    (expected, _), *_ = generate(generator, 30, seed=0, labels=labels)
    assert np.array_equal(picture[:, 18:34, 36:52], expected[12].numpy())
    with pytest.raises(GanError, match="--force"):
        draw(generator, CLASSES, Wish(), tmp_path / "grid.png", emit=print)


def test_a_walk_is_an_animation_that_begins_at_the_first_image_and_is_closed(tmp_path):
    generator = make_generator("none", channels=1)
    draw(generator, [], Wish(seed=3), tmp_path / "walk.gif", emit=print)
    with Image.open(tmp_path / "walk.gif") as walk:
        assert walk.n_frames == WALK_CORNERS * STEPS_BETWEEN
        assert walk.info["loop"] == 0
        frames = []
        for number in range(walk.n_frames):
            walk.seek(number)
            frames.append(np.asarray(walk.convert("L"))[::3, ::3].astype(int))
    (corners, _), *_ = generate(generator, WALK_CORNERS, seed=3)
    for number in (0, 1, 7):
        gap = np.abs(frames[number * STEPS_BETWEEN] - corners[number, 0].numpy().astype(int))
        assert gap.mean() < 2  # a palette of 256 greys
    # No step is a jump, the last one to the first frame among them.
    steps = np.abs(np.diff([*frames, frames[0]], axis=0)).mean(axis=(1, 2))
    assert steps[-1] < 3 * steps.mean()


@pytest.mark.parametrize(
    ("conditioning", "wish", "expected"),
    [
        ("none", Wish(of_class="a"), "trained without classes and cannot be asked for one"),
        ("acgan", Wish(of_class="x"), r"no class `x`; it knows: a, b, \.\./c"),
        ("acgan", Wish(count=0), "--count is 0: a folder takes 1 to"),
        ("acgan", Wish(seed=-1), "--seed is -1"),
        ("acgan", Wish(truncation=0.0), "truncation is 0: choose 0.01 or more"),
        ("acgan", Wish(truncation=float("nan")), "truncation is nan"),
    ],
)
def test_wishes_that_cannot_be_are_refused_before_anything_is_written(tmp_path, conditioning, wish, expected):
    with pytest.raises(ConfigError, match=expected):
        draw(make_generator(conditioning), CLASSES, wish, tmp_path / "out", emit=print)
    assert list(tmp_path.iterdir()) == []


def test_a_walk_is_between_images_of_one_class(tmp_path):
    told = draw(make_generator(), CLASSES, Wish(count=2), tmp_path / "walk.gif", emit=print)
    assert told["class"] == "a" and told["count"] == 2


def test_a_format_that_is_not_written_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"--out is grid.jpg: name a picture \(\*.png\)"):
        draw(make_generator(), CLASSES, Wish(), tmp_path / "grid.jpg", emit=print)


def test_truncation_is_refused_for_latents_without_tails(tmp_path):
    generator = make_generator(distribution="uniform")
    with pytest.raises(ConfigError, match="uniform between -1 and 1 and have no tails"):
        draw(generator, CLASSES, Wish(truncation=0.5), tmp_path / "out", emit=print)


@pytest.mark.parametrize("truncation", [LEAST_TRUNCATION, 0.5, 2.0])
def test_truncated_latents_are_those_of_a_truncated_normal_distribution(truncation):
    latent, numbers = Latent(size=50), torch.Generator().manual_seed(1)
    z = draw_latents(latent, 400, numbers)
    found = truncated(z, truncation, latent, numbers)
    assert found.abs().max() <= truncation
    kept = z.abs() <= truncation
    assert torch.equal(found[kept], z[kept])
    values = found.flatten().double().numpy()
    assert stats.kstest(values, stats.truncnorm(-truncation, truncation).cdf).pvalue > 0.001
    assert truncated(z, None, latent, numbers) is z


def test_a_truncated_image_depends_on_its_number_and_seed_alone():
    generator = make_generator("none")
    (few, _), *_ = generate(generator, 5, seed=2, truncation=0.7)
    many = torch.cat([images for images, _ in generate(generator, 40, seed=2, truncation=0.7, batch_size=7)])
    assert (few.int() - many[:5].int()).abs().max() <= 1
    assert not torch.equal(few, next(iter(generate(generator, 5, seed=2)))[0])
