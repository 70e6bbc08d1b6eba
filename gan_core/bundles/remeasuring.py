"""What a bundle says, done again in a store of its own: samples drawn, figures measured."""

import io
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gan_core.bundles.agreement import OTHER_IMAGES, SAME_IMAGES
from gan_core.bundles.contents import STORE, Bundle, artefact_folder
from gan_core.config import Dataset, recorded_experiment
from gan_core.errors import EvaluationError
from gan_core.evaluation.evaluate import SampleSet, check_same_weights, measure_samples
from gan_core.evaluation.extractors import EXTRACTORS
from gan_core.evaluation.measuring import Measured, open_extractor
from gan_core.evaluation.metrics import METRICS, chosen_metrics
from gan_core.evaluation.reference import RealImages
from gan_core.sampling import draw_samples
from gan_core.store import MANIFEST, Build, Manifest, Store, sha256_of
from gan_core.store.store import CURRENT

logger = logging.getLogger("gan_core")


class Remeasuring:
    """A bundle's artefacts in a scratch store in `folder`, where what is made again does not meet what was.

    The files are those of the bundle, as they are now: who finds one changed wants to know what that changes.
    """

    def __init__(self, bundle: Bundle, folder: Path, emit: Callable[[str], None] = logger.info):
        self.bundle, self.emit = bundle, emit
        self.scratch = Store(folder)
        self.dataset = bundle.dataset()
        self.evaluation = bundle.manifest("evaluation")
        self.trained = self._adopt("trained_gan")
        self.shards = self._adopt("image_shards")
        self.reference = self._adopt("reference_statistics")
        self.classifier = self._adopt("classifier") if "classifier" in bundle.listed.artefacts else None
        self.rounding = SAME_IMAGES  # until samples are drawn that are others
        self.why_not = {}  # by metric, what keeps it from being measured here
        self.other_versions: list[str] = []
        self.metrics = tuple(self._metrics())

    @property
    def extractors(self) -> list[str]:
        return list(self.evaluation.details["extractors"])

    def draw(self) -> Manifest:
        """The samples, drawn again from the generator."""
        name = self.bundle.listed.experiment
        experiment = recorded_experiment(self.trained.config, name)
        samples = draw_samples(
            self.scratch, experiment, self.dataset, self.trained, self.shards, force=True, emit=self.emit
        )
        self.rounding = SAME_IMAGES if self.are_the_same(samples) else OTHER_IMAGES
        return samples

    def are_the_same(self, samples: Manifest) -> bool:
        """Whether these samples are, byte for byte, those that were measured."""
        recorded = self.bundle.manifest("samples")
        return all(
            name in samples.files and samples.files[name].sha256 == entry.sha256
            for name, entry in recorded.files.items()
            if name.startswith("samples-")
        )

    def measure(self, samples: Manifest, extractor: str) -> Measured:
        """Every figure of the evaluation by one extractor, of the samples drawn again."""
        dataset = self._measured_by(extractor)
        self._check_weights(extractor)
        drawn = SampleSet.open(self.scratch, samples)
        found = measure_samples(
            self.scratch, dataset, samples, drawn, self.reference, self.classifier, self.emit
        )
        return found[extractor][0]

    def recompute_reference(self, store: Store, shards: Manifest) -> None:
        """Compare with the images of these shards of another store from here on, and not with the statistics
        of the bundle."""
        metrics = chosen_metrics(self.metrics)

        def build(work: Build) -> None:
            described = {}
            for name in self.extractors:
                extractor = open_extractor(name, self.scratch, self.dataset, self.classifier)
                images = RealImages(store, self.dataset, shards, extractor, metrics)
                described[name] = images.measure(work.folder, self.emit)
            work.details = {
                "real_hash": shards.fingerprint[:8],
                "class_counts": self.reference.details["class_counts"],
                "extractors": described,
            }

        self.reference = self.scratch.produce(
            "reference_statistics",
            self.dataset.name,
            config={"recomputed": True, **self.reference.config},
            inputs={"image_shards": shards},
            code_version=self.reference.code_version,
            build=build,
        )

    def _metrics(self) -> Iterator[str]:
        """Those that were measured and can be here: others that were added since are not of the bundle."""
        for name, recorded in self.evaluation.config.get("metrics", {}).items():
            if name not in METRICS:
                self.why_not[name] = f"this version of the project has no metric `{name}`"
                continue
            try:
                here = METRICS[name].identity()
            except EvaluationError as error:  # it needs weights that are not at hand
                self.why_not[name] = str(error)
                continue
            if here != recorded:
                told = f"metric {name}: version {recorded} was recorded, here it is {here}"
                self.other_versions.append(told)
            yield name

    def _measured_by(self, extractor: str) -> Dataset:
        """The dataset's evaluation by one extractor, so that the others do not wait for its weights."""
        values = {"extractors": (extractor,), "metrics": self.metrics}
        evaluation = self.dataset.evaluation.model_copy(update=values)
        return self.dataset.model_copy(update={"evaluation": evaluation})

    def _check_weights(self, extractor: str) -> None:
        if extractor not in EXTRACTORS:
            raise EvaluationError(f"this version of the project has no extractor `{extractor}`")
        recorded = self.evaluation.config.get("extractors", {}).get(extractor)
        opened = open_extractor(extractor, self.scratch, self.dataset, self.classifier)
        if recorded is not None and opened.fingerprint != recorded:
            raise EvaluationError(
                f"the weights of {extractor} are {opened.fingerprint[:12]} here, and the figures were "
                f"measured with {recorded[:12]}: get those"
            )
        check_same_weights(self.dataset, {extractor: opened.fingerprint}, self.reference)

    def _adopt(self, asset: str) -> Manifest:
        manifest = self.bundle.manifest(asset)
        folder = Path(self.scratch.folder(asset, manifest.partition, manifest.fingerprint))
        folder.mkdir(parents=True)
        files = {}
        for name, entry in manifest.files.items():
            path = self.bundle.path(f"{artefact_folder(manifest)}/{entry.path}")
            files[name] = entry
            if path is not None:
                target = folder / entry.path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(path)
                values = {"size": path.stat().st_size, "sha256": sha256_of(path)}
                files[name] = entry.model_copy(update=values)
        adopted = manifest.model_copy(update={"files": files})
        (folder / MANIFEST).write_bytes(adopted.to_json())
        (folder.parent / CURRENT).write_text(json.dumps({"fingerprint": adopted.fingerprint}))
        return adopted


def difference_of_grids(bundle: Bundle, scratch: Store, samples: Manifest) -> Mapping[str, Any]:
    """The picture of samples drawn again against the bundle's: `levels`, the largest difference of a value of
    255, and `share` of values that differ."""
    recorded = bundle.manifest("samples")
    place = bundle.path(f"{artefact_folder(recorded)}/{recorded.files['grid.png'].path}")
    if place is None:
        raise EvaluationError(f"{STORE}/samples has no grid.png to compare with: get the bundle again")
    before, again = (
        np.asarray(Image.open(io.BytesIO(path.read_bytes()), formats=("PNG",))).astype(np.int16)
        for path in (place, scratch.local(samples, "grid.png"))
    )
    if before.shape != again.shape:
        return {"levels": 255, "share": 1.0}
    gap = np.abs(before - again)
    return {"levels": int(gap.max()), "share": float((gap > 0).mean())}
