"""How different two generated images look: LPIPS between pairs (Zhang et al. 2018), by the package `lpips`.

Its linear weights come with the package; the weights of its network, AlexNet, have to be at hand.
"""

import functools
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from gan_core.errors import EvaluationError
from gan_core.evaluation.extractors.base import (
    as_colour,
    hub_folder,
    normalised,
    read_state,
    resized,
    sha256_once,
)
from gan_core.evaluation.figures import Figure
from gan_core.evaluation.metrics.base import (
    Comparison,
    Figures,
    ImageSet,
    Interval,
    Metric,
    Statistic,
    add_metric,
)
from gan_core.evaluation.metrics.diversity.thumbnails import REAL_THUMBNAILS, THUMBNAILS

if TYPE_CHECKING:
    import numpy
    import torch

    from gan_core.evaluation.statistics.thumbnails import Thumbnails

VARIABLE = "GAN_LPIPS_WEIGHTS"
URL = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
BATCH = 64


def weights_file() -> Path:
    """The file of AlexNet's weights: GAN_LPIPS_WEIGHTS, or where torchvision would keep its download.

    Nothing is downloaded here. An `EvaluationError` says what is missing and how to get it.
    """
    _require_package()
    given = os.environ.get(VARIABLE)
    path = Path(given).expanduser() if given else hub_folder() / "checkpoints" / URL.rpartition("/")[2]
    if not path.is_file():
        raise EvaluationError(
            f"the metric `lpips` needs AlexNet's weights, and {path} is not there: download {URL} to that "
            f"place, or set {VARIABLE} to a copy"
        )
    return path


def _require_package() -> None:
    import importlib.util

    for package in ("lpips", "torchvision"):
        if importlib.util.find_spec(package) is None:
            raise EvaluationError(
                f"the metric `lpips` needs the package {package}, which is not installed: "
                "`pip install lpips torchvision`, or leave the metric out"
            )


def _sha256() -> str:
    return sha256_once(weights_file())


def network(path: Path) -> "torch.nn.Module":
    """The package's LPIPS with these weights of AlexNet; an `EvaluationError` for another file."""
    return _network(path, sha256_once(path))


@functools.lru_cache(maxsize=1)
def _network(path: Path, sha256: str) -> "torch.nn.Module":
    import lpips

    from gan_core.devices import default_device

    try:
        state = read_state(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package asks torchvision in words that are deprecated
            # `pnet_rand` keeps it from downloading: the weights that it draws are replaced here.
            made = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
        wanted = {name: f"features.{name.partition('.')[2]}" for name in made.net.state_dict()}
        made.net.load_state_dict({name: state[given] for name, given in wanted.items()})
        if not all(weight.isfinite().all() for weight in made.net.parameters()):
            raise ValueError("some are NaN or infinite")
    except (KeyError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise EvaluationError(
            f"{path} does not hold AlexNet's weights as torchvision has them ({reason}): download {URL} "
            f"again, or set {VARIABLE} to a copy"
        ) from error
    return made.to(default_device()).eval()


def distances(first: "torch.Tensor", second: "torch.Tensor", made: "torch.nn.Module") -> "numpy.ndarray":
    """LPIPS of each pair of images, uint8 (N, 1 or 3, H, W) both: float64 (N,), 0 for equal images.

    Sides below 64 pixels are brought to 64 (bicubic): the network's strides leave nothing of smaller ones.
    """
    import torch

    device, found = next(made.parameters()).device, []
    with torch.inference_mode():
        for pair in zip(first.split(BATCH), second.split(BATCH), strict=True):
            found.append(made(*(_input(images).to(device) for images in pair)).flatten().cpu())
    return torch.cat(found).double().numpy()


def _input(images: "torch.Tensor") -> "torch.Tensor":
    from gan_core.evaluation.statistics.thumbnails import SIDE

    return normalised(resized(as_colour(images), SIDE), "symmetric")


def _of_thumbnails(thumbnails: "Thumbnails", seed: int) -> "numpy.ndarray":
    """Of pairs of any images, each in one pair (p,)."""
    import numpy

    from gan_core.evaluation.statistics.thumbnails import disjoint_pairs

    pairs = disjoint_pairs(numpy.zeros(len(thumbnails), dtype=numpy.int64), seed)
    first, second = (thumbnails.images[pairs[:, side]] for side in (0, 1))
    return distances(first, second, network(weights_file()))


def _derive(images: ImageSet, train: ImageSet | None) -> "numpy.ndarray | None":
    # Once for all experiments; the pairs of real images have a seed of their own.
    few = REAL_THUMBNAILS not in images or len(images[REAL_THUMBNAILS]) < 2
    return None if few else _of_thumbnails(images[REAL_THUMBNAILS], seed=0)


REAL_DISTANCES = Statistic(
    "lpips",
    derive=_derive,
    to_arrays=lambda values: {"pairs": values},
    of_arrays=lambda arrays: arrays["pairs"],
)


def _generated(comparison: Comparison) -> "numpy.ndarray":
    return comparison.once("lpips", lambda: _of_thumbnails(comparison.generated[THUMBNAILS], comparison.seed))


def compute(comparison: Comparison) -> Figures:
    return {
        "lpips": float(_generated(comparison).mean()),
        "lpips_real": float(comparison.real[REAL_DISTANCES].mean()),
    }


def interval(comparison: Comparison) -> Interval | None:
    """No image is in two pairs: the values are independent."""
    from gan_core.evaluation.statistics.intervals import mean_interval

    return mean_interval(_generated(comparison))


def settings(comparison: Comparison) -> str:
    """The network, and how many pairs of either side."""
    pairs = f"{len(_generated(comparison))}/{len(comparison.real[REAL_DISTANCES])}"
    return f"lpips=alex-{_sha256()[:12]} {pairs} pairs"


add_metric(
    "lpips",
    Metric(
        figures={
            "lpips": Figure(
                "LPIPS between samples",
                "real",
                "How different two generated images look to a network fitted to human judgements (Zhang et "
                "al. 2018). Higher is more diverse, up to that of real images; above it is no merit: noise "
                "is high, too. It says nothing of quality.",
            ),
            "lpips_real": Figure("LPIPS between real images", None, "The same of pairs of training images."),
        },
        compute=compute,
        generated=(THUMBNAILS,),
        real=(REAL_THUMBNAILS, REAL_DISTANCES),
        interval=interval,
        settings=settings,
        weights=_sha256,
        by_default=False,
        in_tables=False,
        question="variety",
        position=64,
    ),
)
