import importlib.util
import math

import pytest
import torch
from torch import nn

from gan_core.bundles import onnx_file
from gan_core.config import Latent
from gan_core.errors import GanError
from gan_core.report.pages import play
from gan_core.report.pages.play import MOST_BYTES, principal_directions, render_play, why_no_play_page
from gan_core.store.manifest import FileEntry, Manifest
from tests.gan_core.report.pages.conftest import NAVIGATION


class FirstLayer(nn.Module):
    """What the directions are read from: a first layer of latents of `size`, with classes beside them."""

    def __init__(self, size: int, outputs: int, classes: int = 0):
        super().__init__()
        self.latent = type("Latent", (), {"size": size})
        self.project = nn.Linear(size + classes, outputs).requires_grad_(False)


@pytest.mark.parametrize(("size", "outputs"), [(40, 60), (60, 40), (3, 50), (50, 3)])
def test_directions_are_those_that_change_the_first_layer_most(size, outputs):
    torch.manual_seed(0)
    generator = FirstLayer(size, outputs)
    directions = principal_directions(generator)
    assert directions.shape == (min(8, size, outputs), size)
    torch.testing.assert_close(directions @ directions.T, torch.eye(len(directions)), atol=1e-6, rtol=0)
    strengths = (directions @ generator.project.weight.T).norm(dim=1)
    expected = torch.linalg.svdvals(generator.project.weight)[: len(directions)]
    torch.testing.assert_close(strengths, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(directions, principal_directions(generator), atol=0, rtol=0)


def test_directions_are_of_the_latent_alone():
    torch.manual_seed(0)
    generator = FirstLayer(12, 30, classes=5)
    generator.project.weight[:, 12:] *= 1000
    directions, of_latent = principal_directions(generator), generator.project.weight[:, :12]
    assert directions.shape == (8, 12)
    expected = torch.linalg.svdvals(of_latent)[0].item()
    assert (of_latent @ directions[0]).norm().item() == pytest.approx(expected, rel=1e-5)


def trained_of(size: int) -> Manifest:
    weights = FileEntry(path="generator.safetensors", size=size, sha256="0" * 64)
    return Manifest(
        asset="trained_gan",
        partition="big",
        fingerprint="f",
        code_version="1",
        config={},
        inputs={},
        files={"generator.safetensors": weights},
    )


def test_a_generator_that_is_too_large_has_no_page():
    assert why_no_play_page(trained_of(MOST_BYTES)) is None
    reason = why_no_play_page(trained_of(123_000_000))
    assert "big has 123 MB" in reason
    assert "at most 50 MB" in reason
    assert "python -m gan_core sample big" in reason
    with pytest.raises(GanError, match="big has 123 MB"):
        render_play(None, trained_of(123_000_000))


def test_without_the_packages_it_says_how_to_get_them(monkeypatch):
    find = importlib.util.find_spec
    without = {"onnxscript": None}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: without.get(name, name) and find(name))
    reason = why_no_play_page(trained_of(1))
    assert reason.endswith("needs onnxscript: `pip install 'gan-pipelines[publish]'`")


@pytest.mark.slow
def test_the_same_training_gives_the_same_page(trainings, pages):
    trained, place = trainings.trained["acgan"], "experiments/acgan.html"
    page = render_play(trainings.store, trained, NAVIGATION, experiment_page=place, emit=print)
    assert page == pages["acgan"].path.read_bytes()
    assert 4_200_000 < len(page) < 5_000_000
    assert page.count(b"<script src") == page.count(b"<link") == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dcgan", "uniform"])
def test_what_the_page_says_of_the_generator(trainings, pages, kind):
    text = pages[kind].path.read_text(encoding="utf-8")
    assert f"<code>trained_gan/{kind}/{trainings.trained[kind].fingerprint}</code>" in text
    assert '<a href="../index.html">Leader &amp; board</a>' in text
    assert f'<a href="../experiments/{kind}.html">' in text
    words = {
        "dcgan": ["average over training (EMA, decay 0.9), at 500 images seen", "16 values, normal, N(0, 1)"],
        "uniform": ["as trained (no EMA), at 500 images seen", "5 values, uniform between -1 and 1"],
    }
    for expected in [*words[kind], "32 × 32, grey", "of 64 images"]:
        assert expected in text
    assert text.count('type="range" id="direction-') == {"dcgan": 8, "uniform": 5}[kind]


@pytest.mark.slow
def test_the_difference_counts_in_the_range_of_minus_one_to_one(trainings, monkeypatch):
    """A generator with a sigmoid gives values in [0, 1], where the same grey level is half as far."""

    def write_onnx(generator, path, **_):
        path.write_bytes(b"")
        return {"opset": 20, "largest_difference": 0.7e-4}

    monkeypatch.setattr(onnx_file, "write_onnx", write_onnx)
    with pytest.raises(GanError, match=r"differ from PyTorch's by 0.00014, more than 0.0001"):
        render_play(trainings.store, trainings.trained["uniform"], emit=print)
    render_play(trainings.store, trainings.trained["dcgan"], emit=print)


@pytest.mark.slow
def test_images_that_are_not_pytorchs_make_no_page(trainings, monkeypatch):
    monkeypatch.setattr(onnx_file, "largest_difference", lambda *_: math.nan)
    with pytest.raises(GanError, match="differ from PyTorch's by nan"):
        render_play(trainings.store, trainings.trained["dcgan"], emit=print)


class Large(nn.Module):
    """Its images are of 786,432 bytes."""

    def __init__(self):
        super().__init__()
        self.latent, self.n_classes = Latent(size=4), 3
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, z, labels):
        return (self.shift + labels[:, None, None, None]).expand(-1, 3, 256, 256)


def test_what_the_browser_measures_itself_by_stays_small():
    check = play._check(Large())
    assert (check.latents.shape, check.images.shape, check.labels) == ((1, 4), (1, 3, 256, 256), [0])
