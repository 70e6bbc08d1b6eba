"""Verifying a bundle: every byte, every image, every figure, and why something differs."""

import contextlib
import logging
import math
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from gan_core.bundles.agreement import (
    NO_ROUNDING,
    Row,
    compared,
    other_machine,
    other_protocol,
    other_versions,
)
from gan_core.bundles.card import card_text, recorded_results, results_of
from gan_core.bundles.contents import CARD, LIST, ONNX, STORE, Bundle
from gan_core.bundles.data import other_data
from gan_core.bundles.onnx_file import TOLERANCE, largest_difference, require_packages
from gan_core.bundles.remeasuring import Remeasuring, difference_of_grids
from gan_core.disks import disk_error, telling_of_disks
from gan_core.errors import DamagedError, EvaluationError, GanError
from gan_core.evaluation.metrics import METRICS, metric_of_figure
from gan_core.sampling import load_generator
from gan_core.store import Manifest, Store
from gan_core.store.provenance import provenance

logger = logging.getLogger("gan_core")
# So many values of the grid of samples may be one level of 255 beside: what lies on the border of two.
MOST_ROUNDED = 0.001
NO_CAUSE = "no cause is known: the files, versions and processor are those recorded"
# What readers of damaged files raise: ours, numpy's, Parquet's, safetensors', zip's.
UNREADABLE = (
    GanError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    RuntimeError,
    OSError,
    EOFError,
    MemoryError,
)
UNREADABLE += (zipfile.BadZipFile, zlib.error, ArithmeticError, AttributeError)


@dataclass
class Check:
    """Something that is no figure: what was looked at, whether it is as it should be, what was found."""

    what: str
    agrees: bool
    found: str


@dataclass
class Verification:
    """What was found. `damages`: by file, what is wrong with it. `notes` change nothing."""

    bundle: str
    damages: dict[str, str] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    list_sha256: str | None = None

    @property
    def agrees(self) -> bool:
        """Whether everything does, and there was something to agree."""
        found = [*self.checks, *self.rows]
        return not self.damages and bool(self.rows) and all(one.agrees for one in found)

    def record(self) -> dict[str, Any]:
        """As JSON."""
        figures = [{**asdict(row), "agrees": row.agrees} for row in self.rows]
        for figure in figures:  # JSON has no word for them
            for side in ("recorded", "measured"):
                if isinstance(figure[side], float) and not math.isfinite(figure[side]):
                    figure[side] = str(figure[side])
        return {
            "bundle": self.bundle,
            "list_sha256": self.list_sha256,
            "agrees": self.agrees,
            "damages": self.damages,
            "checks": [asdict(check) for check in self.checks],
            "figures": figures,
            "notes": self.notes,
        }


def verify_bundle(
    place: Path, store: Store | None = None, *, emit: Callable[[str], None] = logger.info
) -> Verification:
    """Check the bundle at `place`: the hash of every file, the samples drawn again by the generator and by
    its ONNX file, and every figure measured again by its protocol.

    With `store` the figures are measured against the images of the dataset that this store holds, whose
    inventory is compared, and what stands on real images alone is measured again as well. Nothing is written
    but a scratch folder in the temporary folder, which goes again.

    Raises `StoreError` where there is no bundle at all, and where `store` does not hold the dataset.
    """
    result = Verification(str(place))
    try:
        bundle = Bundle.open(place)
    except DamagedError as error:
        result.damages[LIST] = str(error)
        return result
    shards = store.require("image_shards", bundle.listed.dataset) if store else None
    result.list_sha256 = bundle.sha256
    result.damages = bundle.damages(emit)
    result.notes += [f"{name} is not of the bundle and was not read" for name in bundle.unlisted()]
    with tempfile.TemporaryDirectory(prefix="verify-") as folder, telling_of_disks({"TMPDIR": folder}):
        _verify_in(Path(folder), bundle, store, shards, result, emit)
    return result


def _verify_in(
    folder: Path,
    bundle: Bundle,
    store: Store | None,
    shards: Manifest | None,
    result: Verification,
    emit: Callable[[str], None],
) -> None:
    causes = [f"{name} {problem}" for name, problem in result.damages.items()]
    with _noted(result, "manifests and configurations"):
        again = Remeasuring(bundle, folder, emit)
        now = provenance()
        versions = other_versions(again.evaluation, now) + again.other_versions
        result.notes += versions
        _check_card(bundle, again.evaluation, result)
        _check_onnx(bundle, again, result, emit)
        other_input = any(name.startswith(f"{STORE}/") for name in result.damages)
        if store is not None:
            differences = _compare_data(bundle, store, shards, result, emit)
            causes += differences
            other_input = other_input or bool(differences)
            with _noted(result, "statistics of the real images"):
                again.recompute_reference(store, shards)
        causes += versions + other_machine(again.evaluation, now)
        samples = None
        with _noted(result, "samples"):
            samples = again.draw()
            if other_input:
                again.rounding = NO_ROUNDING
            _check_samples(bundle, again, samples, result)
        for extractor in again.extractors:
            result.rows += _rows(again, samples, extractor, causes, result, real=store is not None)


@contextlib.contextmanager
def _noted(result: Verification, what: str) -> Iterator[None]:
    """What cannot be done is a check that fails, but a disk that takes nothing more says nothing of a bundle.

    Files may be damaged, and whoever sealed a bundle may have put anything into them.
    """
    try:
        yield
    except UNREADABLE as error:
        if disk_error(error, {}) is not None:
            raise
        told = str(error) if isinstance(error, GanError) else f"{type(error).__name__}: {_short(error)}"
        result.checks.append(Check(what, False, told))


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200]


# --- checks that are no figures ---------------------------------------------------------------------------


def _check_card(bundle: Bundle, evaluation: Manifest, result: Verification) -> None:
    """Whether the model card says the figures of the evaluation, so that nobody reads others."""
    with _noted(result, CARD):
        require_packages("huggingface_hub")
        path = bundle.path(CARD)
        if path is None:
            raise EvaluationError("is missing")
        same = recorded_results(path) == results_of(bundle.dataset(), evaluation)
        found = (
            "its metadata has the figures of the evaluation"
            if same
            else ("its metadata has other figures than the evaluation, or other protocols")
        )
        result.checks.append(Check(CARD, same, found))
        if same and not _is_as_written(bundle, path):
            made_here = bundle.listed.made_with.get("commit") == provenance()["commit"]
            told = "its text is not what this version of the project writes of these artefacts"
            if made_here:
                result.checks.append(Check(f"{CARD}, text", False, told))
            else:  # another version may put it otherwise
                result.notes.append(f"{CARD}: {told}")


def _is_as_written(bundle: Bundle, card: Path) -> bool:
    """Whether the card says in all its text what is written of the bundle's artefacts."""
    made_of = ("raw_images", "image_shards", "reference_statistics", "trained_gan", "evaluation")
    artefacts = {asset: bundle.manifest(asset) for asset in made_of}
    text = card_text(bundle.experiment(), bundle.dataset(), artefacts, bundle.listed.onnx)
    return text == card.read_text(encoding="utf-8")


def _check_onnx(
    bundle: Bundle, again: Remeasuring, result: Verification, emit: Callable[[str], None]
) -> None:
    with _noted(result, ONNX):
        require_packages("onnxruntime")
        path = bundle.path(ONNX)
        if path is None:
            raise EvaluationError("is missing")
        generator = load_generator(again.scratch, again.trained)
        count = int(bundle.listed.onnx["compared"])
        largest = largest_difference(generator, path, count, again.dataset.evaluation.seed, emit)
        found = f"{count:,} images differ from those of the safetensors file by at most {largest:.1e}"
        result.checks.append(Check(ONNX, largest <= TOLERANCE, f"{found} (allowed: {TOLERANCE:g})"))


def _check_samples(bundle: Bundle, again: Remeasuring, samples: Manifest, result: Verification) -> None:
    if again.are_the_same(samples):
        result.checks.append(Check("samples", True, "the same bytes, image by image"))
        return
    gap = difference_of_grids(bundle, again.scratch, samples)
    found = f"{gap['share']:.2%} of the values of grid.png differ, by at most {gap['levels']} of 255 levels"
    rounded = gap["levels"] <= 1 and gap["share"] <= MOST_ROUNDED
    result.checks.append(Check("samples", rounded, f"other bytes: {found}"))


def _compare_data(
    bundle: Bundle, store: Store, shards: Manifest, result: Verification, emit: Callable[[str], None]
) -> list[str]:
    differences: list[str] = []
    with _noted(result, "dataset"):
        differences = other_data(bundle, store, shards, emit)
        found = "; ".join(differences) or "the same shards, byte for byte"
        result.checks.append(Check("dataset", not differences, found))
    return differences


# --- figures ----------------------------------------------------------------------------------------------


def _rows(
    again: Remeasuring,
    samples: Manifest | None,
    extractor: str,
    causes: list[str],
    result: Verification,
    *,
    real: bool,
) -> list[Row]:
    recorded = again.evaluation.details["extractors"][extractor]
    figures = {name: value for name, value in recorded.items() if name not in ("protocol", "protocols")}
    failed = len(result.checks)
    if samples is not None:
        with _noted(result, f"figures by {extractor}"):
            found = again.measure(samples, extractor)
            return [
                _row(again, extractor, name, value, found, causes, real=real)
                for name, value in figures.items()
                if value is not None or found.figures.get(name) is not None  # else it is no figure
            ]
    reasons = [check.found for check in result.checks[failed:]] or ["no samples could be drawn"]
    return [
        Row(extractor, name, value, None, "not measured", (*reasons, *causes))
        for name, value in figures.items()
        if value is not None
    ]


def _row(
    again: Remeasuring,
    extractor: str,
    name: str,
    value: float | None,
    found: Any,
    causes: list[str],
    *,
    real: bool,
) -> Row:
    protocols = again.evaluation.details["extractors"][extractor]["protocols"]
    if value is not None and name not in found.figures:
        return Row(extractor, name, value, None, "not measured", (_why_not(again, name), *causes))
    why = [*causes, *other_protocol(protocols.get(name), found.protocols.get(name))]
    row = compared(
        extractor,
        name,
        value,
        found.figures.get(name),
        images=min(int(again.evaluation.details[key]) for key in ("samples", "real_images")),
        rounding=again.rounding,
        again=real or not name.endswith("_floor"),
        why=tuple(why),
    )
    return row if row.agrees or row.why else replace(row, why=(NO_CAUSE,))


def _why_not(again: Remeasuring, figure: str) -> str:
    names = [name for name in again.why_not if name in METRICS and figure in METRICS[name].all_figures]
    if names:
        return again.why_not[names[0]]
    if figure.endswith("_floor") and metric_of_figure(figure):
        return "there are fewer real images than samples, and of fewer it would be another figure"
    return "this version of the project does not measure it"
