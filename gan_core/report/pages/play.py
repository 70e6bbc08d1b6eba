"""The page that holds a trained generator: it draws in the reader's browser, offline, from one HTML file.

The generator is inside as ONNX, with ONNX Runtime for browsers; nothing is fetched. The directions of the
sliders are those of Shen and Zhou 2021, "Closed-Form Factorization of Latent Semantics in GANs" (SeFa, arXiv
2007.06600): the unit latents that change the output of the generator's first layer most.
"""

import base64
import functools
import gzip
import importlib.util
import logging
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from gan_core.config import Experiment, Latent, recorded_experiment
from gan_core.errors import GanError
from gan_core.report.page import Navigation, Page, render_page
from gan_core.report.pages import page_kind
from gan_core.report.site import Site, play_path, versions
from gan_core.report.vendored import onnx_runtime_script, onnx_runtime_wasm
from gan_core.store import Manifest, Store
from gan_core.store.reading import reading

if TYPE_CHECKING:
    from torch import Tensor, nn

logger = logging.getLogger("gan_core")

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
WEIGHTS = "generator.safetensors"
# A page is a third larger than what it holds, and a browser needs several times that in memory.
MOST_BYTES = 50_000_000
COMPARED = 64
# Of a value in [-1, 1]: an eightieth of a grey level.
TOLERANCE = 1e-4
SAMPLES = 16
DIRECTIONS = 8
# What the page measures itself by in the browser: at most so many images of PyTorch, and of so many bytes.
CHECKED = 4
MOST_CHECKED_BYTES = 400_000
# How far a slider goes, in standard deviations of a coordinate.
REACH = 4
UNIFORM_DEVIATION = 3**-0.5


@page_kind("play")
def pages(site: Site) -> Iterator[Page]:
    for name in site.played:
        trained = site.artefacts.of("trained_gan", name)
        made_from = {"artefacts": versions({"trained_gan": trained}), "place": site.place(name)}
        made_from |= {"cannot": _foreseen(trained), "navigation": site.navigation}
        # PyTorch's export traces one model at a time.
        yield Page(play_path(name), made_from, functools.partial(_page, site, name), alone=True)


def _foreseen(trained: Manifest) -> str | None:
    try:
        return why_no_play_page(trained)
    except GanError as error:  # an edited manifest
        return str(error)


def _page(site: Site, name: str) -> bytes:
    """The page or, where there can be none, one that says why."""
    trained, experiment_page = site.artefacts.of("trained_gan", name), site.place(name)
    try:
        return render_play(site.store, trained, site.navigation, experiment_page=experiment_page)
    except GanError as error:
        logger.warning("%s", error)
        return render_page(
            "play/cannot.html", _title(name), site.navigation, path=play_path(name), reason=str(error)
        )


def _title(name: str) -> str:
    return f"Play with {name}"


def why_no_play_page(trained: Manifest) -> str | None:
    """One line where this training can have no play page: packages that are not installed, a generator that
    is too large. Told by the manifest alone."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        return (
            f"the page that draws in the browser needs {', '.join(missing)}: "
            "`pip install 'gan-pipelines[publish]'`"
        )
    with reading(f"trained_gan/{trained.partition}"):
        size = trained.files[WEIGHTS].size
    if size > MOST_BYTES:
        return (
            f"the generator of {trained.partition} has {size / 1e6:,.0f} MB, and a page that draws in the "
            f"browser holds at most {MOST_BYTES / 1e6:.0f} MB: draw with "
            f"`python -m gan_core sample {trained.partition}`"
        )
    return None


def render_play(
    store: Store,
    trained: Manifest,
    navigation: Navigation = (),
    *,
    experiment_page: str | None = None,
    emit: Callable[[str], None] = logger.info,
) -> bytes:
    """The play page of a `trained_gan` artefact as UTF-8 HTML; the same training gives the same bytes.

    `experiment_page`: the path, below the report's folder, of the page that it leads back to. Takes seconds:
    the generator is exported. Raises `GanError` where there can be no page (see `why_no_play_page`), and
    where the images of ONNX Runtime and of PyTorch differ by more than `TOLERANCE`.
    """
    if reason := why_no_play_page(trained):
        raise GanError(reason)
    from gan_core.sampling import load_generator

    experiment = recorded_experiment(trained.config, trained.partition)
    generator = load_generator(store, trained)
    exported = _exported(generator, trained.partition, emit)
    check, directions = _check(generator), principal_directions(generator)
    return render_page(
        "play/page.html",
        _title(trained.partition),
        navigation,
        path=play_path(trained.partition),
        experiment_page=experiment_page,
        made=_made(trained, generator, check.labels),
        facts=_facts(experiment, trained, exported),
        directions=len(directions),
        reach=_reach(generator.latent),
        most_scale=2 if generator.latent.distribution == "normal" else 1,
        directions_mean=_directions_mean(generator.latent),
        path_means=_path_means(generator.latent),
        contents={
            "model": _packed(exported.model),
            "directions": _packed(_floats(directions)),
            "check-latents": _packed(_floats(check.latents)),
            "check-images": _packed(_floats(check.images)),
            "wasm": _base64(onnx_runtime_wasm()),
        },
        runtime=Markup(onnx_runtime_script()),
    )


def _made(trained: Manifest, generator: "nn.Module", check_labels: list[int]) -> dict[str, Any]:
    """What the page's scripts are told."""
    with reading(f"trained_gan/{trained.partition}"):
        classes = list(trained.details.get("classes") or []) if generator.n_classes else []
        return {
            "experiment": trained.partition,
            "latent": generator.latent.model_dump(),
            "range": list(generator.image_range),
            "channels": int(trained.details["channels"]),
            "side": int(trained.details["image_size"]),
            # Shards may have no names for their classes.
            "classes": classes or [str(index) for index in range(generator.n_classes)],
            "samples": SAMPLES,
            "tolerance": TOLERANCE,
            "check_labels": check_labels,
        }


# --- the generator ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Exported:
    """The ONNX file, and how far its images are from PyTorch's, in [-1, 1]."""

    model: bytes
    opset: int
    difference: float


def _exported(generator: "nn.Module", name: str, emit: Callable[[str], None]) -> _Exported:
    from gan_core.bundles.onnx_file import write_onnx

    low, high = generator.image_range
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "generator.onnx")
        told = write_onnx(generator, path, seed=0, emit=emit, compared=COMPARED)
        model = path.read_bytes()
    difference = told["largest_difference"] * 2 / (high - low)
    if not difference <= TOLERANCE:
        raise GanError(
            f"the images that ONNX Runtime draws of {name} differ from PyTorch's by {difference:.2g}, more "
            f"than {TOLERANCE:g}: it has no play page; install the onnx and onnxruntime that "
            "requirements.lock names"
        )
    return _Exported(model, told["opset"], difference)


@dataclass(frozen=True)
class _Check:
    """What PyTorch draws: latents (n, z_dim), the classes asked for, images (n, C, H, W)."""

    latents: "Tensor"
    labels: list[int]
    images: "Tensor"


def _check(generator: "nn.Module") -> _Check:
    import torch

    from gan_core.sampling import images_of, sample_latents

    latents = sample_latents(generator, CHECKED, seed=0)
    labels = [index % max(generator.n_classes, 1) for index in range(CHECKED)]
    images = images_of(generator, latents, torch.tensor(labels) if generator.n_classes else None)
    count = max(1, min(CHECKED, MOST_CHECKED_BYTES // (images[0].numel() * 4)))
    return _Check(latents[:count], labels[:count], images[:count])


def principal_directions(generator: "nn.Module", count: int = DIRECTIONS) -> "Tensor":
    """Unit latents (at most `count`, z_dim), at right angles to each other, that change the output of the
    generator's first layer most, the strongest first: the right singular vectors of its weight (SeFa).

    Of the latent's part of the weight: classes are no direction. A sign is such that the largest coordinate
    is positive.
    """
    import numpy as np
    import torch
    from scipy.sparse.linalg import svds

    weight = generator.project.weight[:, : generator.latent.size].double().cpu().numpy()
    if min(weight.shape) > count:
        # From a start of its own: Lanczos' iteration otherwise begins anywhere.
        _, values, right = svds(weight, k=count, v0=np.ones(min(weight.shape)))
        right = right[np.argsort(-values)]
    else:
        right = np.linalg.svd(weight, full_matrices=False)[2]
    largest = np.abs(right).argmax(axis=1)
    signs = np.sign(right[np.arange(len(right)), largest])
    return torch.from_numpy(right * signs[:, None]).float()


# --- words ------------------------------------------------------------------------------------------------


def _facts(experiment: Experiment, trained: Manifest, exported: _Exported) -> list[tuple[str, Any]]:
    latent = experiment.latent
    with reading(f"trained_gan/{trained.partition}"):
        shape = f"{trained.details['image_size']} × {trained.details['image_size']}"
        colours = {1: "grey", 3: "RGB"}.get(trained.details["channels"], "")
    return [
        ("Experiment", trained.partition),
        ("Training", Markup("<code>trained_gan/{}/{}</code>").format(trained.partition, trained.fingerprint)),
        ("Weights", _weights(experiment, trained)),
        ("Latent", f"{latent.size:,} values, {_distribution(latent)}"),
        ("Images", f"{shape}, {colours}"),
        (
            "Agreement with PyTorch",
            f"a value in [-1, 1] differs by {exported.difference:.1e} at most, of {COMPARED} images "
            f"(at most {TOLERANCE:g} is accepted)",
        ),
        ("Format", f"ONNX, opset {exported.opset}, {len(exported.model) / 1e6:,.1f} MB"),
    ]


def _weights(experiment: Experiment, trained: Manifest) -> str:
    """Which of the weights of a training are drawn from."""
    average = "as trained (no EMA)"
    if experiment.ema_decay:
        average = f"the average over training (EMA, decay {experiment.ema_decay:g})"
    elif experiment.ema_half_life is not None:
        average = "the average over training (EMA)"
    with reading(f"trained_gan/{trained.partition}"):
        published = trained.details.get("published") or {}
        seen = published.get("images_seen", trained.figures.get("images_seen"))
        best = ", where the in-training FID was best" if published.get("which") == "best" else ""
    return f"{average}, at {seen:,} images seen{best}" if seen else average


def _distribution(latent: Latent) -> str:
    return "normal, N(0, 1)" if latent.distribution == "normal" else "uniform between -1 and 1"


def _directions_mean(latent: Latent) -> str:
    kept = (
        " What leaves the cube of the latents is brought back to it."
        if latent.distribution != "normal"
        else ""
    )
    return (
        "The directions of the latent that change the generator's first layer most, the strongest first; a "
        f"slider sets the latent's coordinate along one.{kept}"
    )


def _path_means(latent: Latent) -> str:
    if latent.distribution == "normal":
        return "Along a great circle, on which latents keep the norm that the generator knows."
    return "Along a straight line, which stays in the cube of the latents."


def _reach(latent: Latent) -> float:
    return round(REACH * (1 if latent.distribution == "normal" else UNIFORM_DEVIATION), 1)


# --- packing ----------------------------------------------------------------------------------------------


def _floats(values: "Tensor") -> bytes:
    """32-bit, little-endian, as a browser's `Float32Array` reads them."""
    return values.contiguous().numpy().astype("<f4").tobytes()


def _packed(content: bytes) -> Markup:
    return _base64(gzip.compress(content, compresslevel=9, mtime=0))


def _base64(content: bytes) -> Markup:
    return Markup(base64.b64encode(content).decode())
