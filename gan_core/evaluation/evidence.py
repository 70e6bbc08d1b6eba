"""What stands behind the figures of an evaluation: arrays for tests between experiments, and pictures.

Imports no torch.
"""

from pathlib import Path

import numpy as np

from gan_core.evaluation.metrics import METRICS, ImagesOf, Metric
from gan_core.store import Manifest, Store

Evidence = dict[str, dict[str, np.ndarray]]


def write_evidence(
    folder: Path,
    extractor: str,
    evidence: Evidence,
    metrics: dict[str, Metric],
    generated: ImagesOf,
    train: ImagesOf,
) -> None:
    """Write what stands behind the figures of one extractor into the artefact's folder.

    `evidence-<extractor>.npz` has the arrays of each metric, as `kid.cross`; `<metric>-<extractor>.png` is
    the picture of a metric that draws one, from the generated and the train images.
    """
    arrays = {f"{name}.{key}": array for name, of in evidence.items() for key, array in of.items()}
    np.savez(folder / _arrays_file(extractor), **arrays)
    for name, of_metric in evidence.items():
        draw = metrics[name].picture
        if draw and (png := draw(of_metric, generated, train)):
            (folder / _picture_file(name, extractor)).write_bytes(png)


def read_evidence(store: Store, evaluation: Manifest, metric: str) -> dict[str, np.ndarray]:
    """The arrays of one metric by the evaluation's first extractor; empty where there are none.

    Raises `StoreError` for a damaged file.
    """
    file = _arrays_file(_first_extractor(evaluation))
    if file not in evaluation.files:
        return {}
    with np.load(store.local(evaluation, file), allow_pickle=False) as arrays:
        prefix = f"{metric}."
        return {name.removeprefix(prefix): arrays[name] for name in arrays.files if name.startswith(prefix)}


def pictures_of(evaluation: Manifest) -> dict[str, str]:
    """The pictures by the evaluation's first extractor: by metric, the name of its file."""
    files = {name: _picture_file(name, _first_extractor(evaluation)) for name in METRICS}
    return {name: file for name, file in files.items() if file in evaluation.files}


def _first_extractor(evaluation: Manifest) -> str:
    return next(iter(evaluation.details.get("extractors", {})), "")


def _arrays_file(extractor: str) -> str:
    return f"evidence-{extractor}.npz"


def _picture_file(metric: str, extractor: str) -> str:
    return f"{metric}-{extractor}.png"
