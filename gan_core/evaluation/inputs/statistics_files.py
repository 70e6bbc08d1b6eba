"""Statistics of images in an `.npz` file, as pytorch-fid and clean-fid write and read them: `mu` (D,) and
`sigma` (D, D), float64. Ours name the extractor beside these, which those programs do not look at."""

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gan_core.data.sources.file_collections import fetch
from gan_core.data.sources.files import DAMAGE
from gan_core.durable import replace_durably
from gan_core.errors import EvaluationError, GanError
from gan_core.evaluation.extractors import FeatureExtractor
from gan_core.evaluation.metrics import ImageSet
from gan_core.evaluation.metrics.base import MOMENTS
from gan_core.evaluation.statistics.moments import FrechetReference, Gaussian
from gan_core.secrets import masked

# Rounding leaves less of an asymmetry than this share of the largest value.
ASYMMETRY = 1e-6
# So does it of negative eigenvalues, where a file was written in single precision.
NEGATIVITY = 1e-4


@dataclass(frozen=True)
class StatisticsFile:
    """Moments of real images that were computed before.

    `images` counts the images; `weights` is the sha256 of the weights of `extractor`, and `shape` what the
    images were (see `Protocol`). All are None in files of other programs.
    """

    location: str
    name: str
    gaussian: Gaussian
    images: int | None = None
    extractor: str | None = None
    weights: str | None = None
    shape: str | None = None

    @classmethod
    def open(cls, location: str, cache: Path, emit: Callable[[str], None]) -> "StatisticsFile":
        """Read a file; an `EvaluationError` for one without a mean and a covariance that belong together."""
        where = masked(location)
        try:
            with np.load(fetch(location, cache, emit), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except (*DAMAGE, KeyError) as error:
            if isinstance(error, GanError):
                raise
            raise EvaluationError(f"{where} is no file of statistics: {error}") from error
        mu, sigma = _moments_of(arrays, where)
        known = {name: str(arrays[name]) for name in ("extractor", "weights", "shape") if name in arrays}
        images = int(arrays["count"]) if "count" in arrays else None
        gaussian = Gaussian(mu, sigma, images or 0)
        return cls(where, where.rpartition("/")[2], gaussian, images, **known)

    @property
    def content_hash(self) -> str:
        """sha256 (64 hex digits) of the moments."""
        return hashlib.sha256(self.gaussian.mu.tobytes() + self.gaussian.sigma.tobytes()).hexdigest()

    def image_set(self, extractor: FeatureExtractor) -> ImageSet:
        """The real side of a comparison by this extractor; an `EvaluationError` where they are of another."""
        mine = (extractor.name, extractor.fingerprint)
        if self.extractor is not None and (self.extractor, self.weights) != mine:
            raise EvaluationError(
                f"{self.location} was computed by {self.extractor} with weights {str(self.weights)[:12]}, "
                f"but the images are measured by {mine[0]} with {mine[1][:12]}: use the same for both"
            )
        return ImageSet(self.images or 0, {MOMENTS.name: FrechetReference.of(self.gaussian)})

    def require_dimensions(self, dimensions: int, extractor: str) -> None:
        """An `EvaluationError` where an extractor gives features of another size."""
        if len(self.gaussian.mu) != dimensions:
            raise EvaluationError(
                f"{self.location} holds statistics of {len(self.gaussian.mu)} dimensions, but {extractor} "
                f"gives {dimensions}: name the extractor that they were computed by"
            )


def is_statistics(location: str, cache: Path, emit: Callable[[str], None]) -> bool:
    """Whether an .npz file holds statistics, not images."""
    if not location.lower().endswith(".npz"):
        return False
    try:
        with zipfile.ZipFile(fetch(location, cache, emit)) as archive:
            return {"mu.npy", "sigma.npy"} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False  # told by who reads it


def write_statistics(
    path: Path, gaussian: Gaussian | FrechetReference, extractor: FeatureExtractor, shape: str
) -> None:
    """Write moments for `StatisticsFile.open`, pytorch-fid and clean-fid; an `EvaluationError` where `path`
    does not end in .npz."""
    if path.suffix != ".npz":
        raise EvaluationError(f"{path} does not end in .npz: name a file that does")
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            np.savez_compressed(
                file,
                mu=gaussian.mu,
                sigma=gaussian.sigma,
                count=np.array(gaussian.count),
                extractor=np.array(extractor.name),
                weights=np.array(extractor.fingerprint),
                shape=np.array(shape),
            )
        replace_durably(temporary, path)
    except OSError as error:
        raise EvaluationError(f"{path} cannot be written: {error.strerror}: name another place") from error
    finally:
        temporary.unlink(missing_ok=True)


def _moments_of(arrays: dict[str, np.ndarray], where: str) -> tuple[np.ndarray, np.ndarray]:
    missing = [name for name in ("mu", "sigma") if name not in arrays]
    if missing:
        features = " (it holds features: name the file of moments)" if "feats" in arrays else ""
        raise EvaluationError(f"{where} holds no `{missing[0]}`{features}: statistics are `mu` and `sigma`")
    mu, sigma = (np.asarray(arrays[name], dtype=np.float64) for name in ("mu", "sigma"))
    if mu.ndim != 1 or sigma.shape != (len(mu), len(mu)):
        raise EvaluationError(
            f"{where}: `mu` has the shape {mu.shape} and `sigma` {sigma.shape}, not (D,) and (D, D)"
        )
    if not (np.isfinite(mu).all() and np.isfinite(sigma).all()):
        raise EvaluationError(f"{where}: `mu` or `sigma` holds NaN or infinity: compute them again")
    if np.abs(sigma - sigma.T).max() > ASYMMETRY * np.abs(sigma).max():
        raise EvaluationError(f"{where}: `sigma` is not symmetric, so it is no covariance: compute it again")
    if np.linalg.eigvalsh(sigma)[0] < -NEGATIVITY * np.abs(sigma).max():
        raise EvaluationError(
            f"{where}: `sigma` has negative eigenvalues, so it is no covariance: compute it again"
        )
    return mu, sigma
