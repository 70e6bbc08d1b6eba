"""What decides each artefact: enough to find out whether it is there, without importing what makes it.

A step's module (sharding, training, evaluation, …) imports torch and takes seconds to load. To see that
nothing has changed takes the configuration, the inputs' manifests and the code version, which are here.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from gan_core.analysis import chosen_analyses
from gan_core.config import Dataset, Experiment, recorded_experiment
from gan_core.device_leases import on_a_device
from gan_core.errors import StoreError
from gan_core.evaluation.extractors import EXTRACTORS, ExtractorSources
from gan_core.evaluation.metrics import chosen_metrics
from gan_core.remedies import how_to_make
from gan_core.store import MANIFEST, Build, Manifest, Store, fingerprint
from gan_core.store.lease import Lease
from gan_core.store.reading import reading
from gan_core.versions import CODE_VERSIONS

logger = logging.getLogger("gan_core")
# What is made on a GPU where there is one; a training, which may take several, sees to its own.
ON_A_DEVICE = {
    *("classifier", "reference_statistics", "samples", "evaluation", "untrained"),
    *("analysis", "chosen_analysis", "external_evaluation"),
}


@dataclass(frozen=True)
class Step:
    """One artefact before it is made. `config` goes into its manifest. The fingerprint is made of the inputs'
    versions, of the asset's code version, and of `identity`: what counts of the configuration, so that a new
    key that changes nothing leaves it alone (see `Config.identity`). None: all of `config` counts.
    """

    asset: str
    partition: str
    config: dict[str, Any]
    inputs: dict[str, Manifest] = field(default_factory=dict)
    identity: dict[str, Any] | None = None

    @property
    def code_version(self) -> str:
        return CODE_VERSIONS[self.asset]

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.counts, self.inputs, self.code_version)

    @property
    def counts(self) -> dict[str, Any]:
        """What of the configuration the fingerprint is made of."""
        return self.config if self.identity is None else self.identity

    def reuse(self, store: Store) -> Manifest | None:
        """The artefact, as `produce` would reuse it; None where it would be made."""
        return store.reuse(self.asset, self.partition, self.fingerprint)

    def produce(
        self,
        store: Store,
        build: Callable[[Build], None],
        *,
        force: bool = False,
        emit: Callable[[str], None] = logger.info,
    ) -> Manifest:
        """The artefact, made by `build` where it is not there; see `Store.produce`.

        Of several processes that would make it one does, and the others wait as long as it lives and take
        what it made, also with `force`: it was published after they had asked.
        """
        if not force and (found := self.reuse(store)):
            return found
        before = self._published(store)
        artefact = (self.asset, self.partition, self.fingerprint)
        with Lease(store, *artefact, emit, reads=self.inputs.values()) as lease:

            def build_ours(work: Build) -> None:
                with self._device(emit):
                    build(work)
                lease.check()

            return self.make(store, build_ours, force=force and self._published(store) == before)

    def make(self, store: Store, build: Callable[[Build], None], *, force: bool = False) -> Manifest:
        """Like `produce`, by one who holds the lease on the artefact."""
        return store.produce(
            self.asset,
            self.partition,
            config=self.config,
            inputs=self.inputs,
            code_version=self.code_version,
            identity=self.identity,
            build=build,
            force=force,
        )

    def _device(self, emit: Callable[[str], None]) -> AbstractContextManager[None]:
        """A GPU of its own while it is made, where it is made on one."""
        if self.asset not in ON_A_DEVICE:
            return nullcontext()
        return on_a_device(f"{self.asset} of `{self.partition}`", emit)

    def _published(self, store: Store) -> bytes | None:
        """The manifest as it is: a damaged one, too, is what `force` replaces."""
        return store.read_bytes(f"{self.asset}/{self.partition}/{self.fingerprint}/{MANIFEST}")


# In the details of `raw_images`.
CHOSEN = "chosen"


def chosen_images(dataset: Dataset) -> dict[str, Any]:
    """Which images of its source a dataset takes. The fingerprint of `raw_images` knows only their bytes."""
    chosen = dataset.model_dump(mode="json", include={"splits", "test_fraction", "limit"})
    stack = dataset.source.stack
    return chosen | {"stack": stack and stack.model_dump(mode="json")}


def duplicates(dataset: Dataset, raw: Manifest) -> Step:
    """Whether the duplicates are left out of the shards does not count: they are the same."""
    settings = dataset.deduplicate
    config = {"asked": settings is not None}
    if settings is not None:
        keys = {"image_size", "channels", "crop"}
        config |= {"method": settings.method, "threshold": settings.threshold}
        config |= dataset.model_dump(mode="json", include=keys)
    return Step("duplicates", dataset.name, config, {"raw_images": raw})


# What of a dataset's configuration decides its shards.
OF_SHARDS = {"image_size", "channels", "crop", "max_shard_mb"}


def shards_config(dataset: Dataset) -> dict[str, Any]:
    """The `config` of the step `image_shards`."""
    return dataset.model_dump(mode="json", include=OF_SHARDS)


def image_shards(dataset: Dataset, raw: Manifest, found: Manifest | None = None) -> Step:
    """`found`: the duplicates, which count only where they are left out. Raises `StoreError` where these are
    not found yet."""
    config, identity = shards_config(dataset), dataset.identity(include=OF_SHARDS)
    inputs = {"raw_images": raw}
    if dataset.removes_duplicates:
        if found is None or found.fingerprint != duplicates(dataset, raw).fingerprint:
            raise StoreError(
                f"dataset `{dataset.name}` leaves near-duplicates out, and those of these images by these "
                f"settings are not found yet: {how_to_make('duplicates', dataset.name)}"
            )
        inputs["duplicates"] = found
    return Step("image_shards", dataset.name, config, inputs, identity)


# How the classifier is trained. Training ends after so many epochs or images, whichever is less: digits need
# the epochs, CIFAR-10 ends by the images (minutes on two cores). After one part in `check_after` of the
# steps, `check_images` that were held back until then decide whether images are mirrored.
CLASSIFIER_TRAINING = {
    "max_epochs": 15,
    "max_images": 640_000,
    "batch_size": 128,
    "learning_rate": 4e-3,
    "weight_decay": 5e-2,
    "check_after": 10,
    "check_images": 2000,
}


def classifier_task(dataset: Dataset) -> str:
    """What a dataset's classifier learns: its labels, the digit in each channel, or an image's rotation."""
    if dataset.source.stack is not None:
        return "stacked"
    return "labels" if dataset.labelled else "rotation"


def classifier(dataset: Dataset, shards: Manifest) -> Step:
    return Step("classifier", dataset.name, classifier_config(dataset), {"image_shards": shards})


def classifier_config(dataset: Dataset) -> dict[str, Any]:
    """The `config` of the step `classifier`."""
    return {"task": classifier_task(dataset), "seed": dataset.evaluation.seed, **CLASSIFIER_TRAINING}


# How many images are drawn where a dataset does not say: as many as it has to compare with. More cost time
# and leave the real side as uncertain as before; from 10,000 on, another image hardly moves a figure.
MAX_DEFAULT_SAMPLES = 10_000


def sample_count(dataset: Dataset, shards: Manifest) -> int:
    """How many images are drawn of every generator: `evaluation.samples`, or by default as many as there are
    train images, at most `MAX_DEFAULT_SAMPLES`."""
    if dataset.evaluation.samples is not None:
        return dataset.evaluation.samples
    with reading(f"image_shards/{dataset.name}", how_to_make("image_shards", dataset.name, force=True)):
        return min(shards.details["splits"]["train"]["images"], MAX_DEFAULT_SAMPLES)


def reference_statistics(dataset: Dataset, shards: Manifest, classifier: Manifest | None) -> Step:
    """Raises `EvaluationError` where an extractor's weights are missing."""
    fingerprints = _extractor_fingerprints(dataset, classifier)
    config = {
        "extractors": fingerprints,
        "metrics": metric_versions(dataset),
        "samples": sample_count(dataset, shards),
        "seed": dataset.evaluation.seed,
    }
    return Step(
        "reference_statistics",
        dataset.name,
        config,
        {"image_shards": shards, **classifier_input(dataset, classifier)},
    )


def trained_gan(experiment: Experiment, shards: Manifest, classifier: Manifest | None = None) -> Step:
    """The classifier counts only where its FID decides what is published or when the run ends."""
    inputs = {"image_shards": shards}
    if classifier is not None and experiment.decided_by_evaluation:
        inputs["classifier"] = classifier
    config, identity = experiment.training_config(), experiment.training_identity()
    return Step("trained_gan", experiment.name, config, inputs, identity)


# Rows and columns of the grid of samples: at most so many classes are in it.
GRID_ROWS, GRID_COLUMNS = 10, 10


def samples(experiment: Experiment, dataset: Dataset, trained: Manifest, shards: Manifest) -> Step:
    config = samples_config(experiment, dataset, shards)
    identity = {key: value for key, value in config.items() if key != "labels"}
    if experiment.conditional:
        identity |= label_identity(dataset, shards)
    return Step("samples", experiment.name, config, {"trained_gan": trained}, identity)


def samples_config(experiment: Experiment, dataset: Dataset, shards: Manifest) -> dict[str, Any]:
    """The `config` of the step `samples`."""
    config = {
        "count": sample_count(dataset, shards),
        "seed": dataset.evaluation.seed,
        "grid": {"rows": GRID_ROWS, "columns": GRID_COLUMNS},
    }
    return config | {"labels": dataset.evaluation.labels} if experiment.conditional else config


def label_identity(dataset: Dataset, shards: Manifest) -> dict[str, Any]:
    """What decides the labels that a conditional generator is asked for; nothing where all come in turn, as
    they did before there was a choice."""
    if dataset.evaluation.labels == "even":
        return {}
    return {"labels": dataset.evaluation.labels, "class_counts": class_counts(shards)}


def class_counts(shards: Manifest) -> list[int] | None:
    """How many train images each class has, in the order of the classes; None where it is not said."""
    with reading(
        f"image_shards/{shards.partition}", how_to_make("image_shards", shards.partition, force=True)
    ):
        counts = shards.details["splits"]["train"].get("classes") or {}
        classes = shards.details.get("classes") or []
        return [int(counts[name]) for name in classes] if classes and set(counts) == set(classes) else None


def evaluation(dataset: Dataset, samples: Manifest, reference: Manifest, classifier: Manifest | None) -> Step:
    """Raises `EvaluationError` where an extractor's weights are missing."""
    config = evaluation_config(dataset, classifier)
    inputs = {"samples": samples, "reference_statistics": reference}
    return Step("evaluation", samples.partition, config, {**inputs, **classifier_input(dataset, classifier)})


def evaluation_config(dataset: Dataset, classifier: Manifest | None) -> dict[str, Any]:
    """How the images of a generator are measured. Raises `EvaluationError` where weights are missing."""
    return {
        "extractors": _extractor_fingerprints(dataset, classifier),
        "metrics": metric_versions(dataset),
        "seed": dataset.evaluation.seed,
    }


# What a generator is built from, apart from the shape of the images.
GENERATOR_SECTIONS = ("architecture", "latent", "output", "conditioning")


def untrained(
    dataset: Dataset, trained: Manifest, reference: Manifest, classifier: Manifest | None, count: int
) -> Step:
    """The figures of the generator of `trained` before its training, of `count` images.

    The partition names the dataset and what the generator is built from, so that all experiments and seeds
    with such a generator share the artefact. Raises `EvaluationError` where an extractor's weights are
    missing.
    """
    generator = recorded_experiment(trained.config, trained.partition).identity(include=GENERATOR_SECTIONS)
    with reading(
        f"trained_gan/{trained.partition}", how_to_make("trained_gan", trained.partition, force=True)
    ):
        generator |= {key: trained.details[key] for key in ("channels", "image_size", "n_classes")}
    config = {
        "generator": generator,
        "count": count,
        "extractors": _extractor_fingerprints(dataset, classifier),
        "metrics": metric_versions(dataset),
        "seed": dataset.evaluation.seed,
    }
    if generator["n_classes"]:
        config["labels"] = dataset.evaluation.labels
    built_from = fingerprint(generator, {}, "")[:12]
    inputs = {"reference_statistics": reference, **classifier_input(dataset, classifier)}
    return Step("untrained", f"{dataset.name}-{built_from}", config, inputs)


def analysis(
    experiment: Experiment,
    dataset: Dataset,
    trained: Manifest,
    shards: Manifest,
    classifier: Manifest,
    only: Iterable[str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Step:
    """All analyses of a training; or those that `only` names, or told something by `settings` (by analysis):
    these are the artefact `chosen_analysis`, so that what is shown of an experiment stays whole."""
    config = analysis_config(dataset, only)
    if settings:
        config["settings"] = dict(settings)
    asset = "chosen_analysis" if only is not None or settings else "analysis"
    inputs = {"trained_gan": trained, "image_shards": shards, "classifier": classifier}
    return Step(asset, experiment.name, config, inputs)


def analysis_config(dataset: Dataset, only: Iterable[str] | None = None) -> dict[str, Any]:
    """The `config` of the step `analysis`; or of one that makes those that `only` names."""
    return {
        "analyses": {name: one.version for name, one in chosen_analyses(only).items()},
        "seed": dataset.evaluation.seed,
    }


def _extractor_fingerprints(dataset: Dataset, classifier: Manifest | None) -> dict[str, str]:
    """Each extractor of the dataset with the sha256 of its weights, without loading a network."""
    sources = ExtractorSources(None, dataset.evaluation.weights, classifier, dataset.name)
    return {name: EXTRACTORS[name].fingerprint_of(sources) for name in dataset.evaluation.extractors}


def classifier_input(dataset: Dataset, classifier: Manifest | None) -> dict[str, Manifest]:
    """The classifier, where one of the dataset's extractors needs it."""
    needed = any(EXTRACTORS[name].needs_classifier for name in dataset.evaluation.extractors)
    return {"classifier": classifier} if needed else {}


def metric_versions(dataset: Dataset) -> dict[str, str]:
    """What is measured: another metric is another evaluation, but no other training."""
    return {name: metric.identity() for name, metric in chosen_metrics(dataset.evaluation.metrics).items()}
