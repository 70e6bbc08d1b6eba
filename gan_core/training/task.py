"""What a training is given, whether that fits together, and how far it is."""

import re

from pydantic import BaseModel, ConfigDict

from gan_core import steps
from gan_core.config import Dataset, Experiment
from gan_core.errors import ConfigError
from gan_core.models import check_image_size
from gan_core.remedies import how_to_make
from gan_core.steps import Step
from gan_core.store import CHECKPOINTS, Manifest, Store
from gan_core.training.critic_steps import first_generator_step
from gan_core.training.guards import never_found

# A checkpoint, the JSON file beside it, and the name under which `Store.write_atomically` writes one of them
# before it is whole.
CHECKPOINT_FILE = re.compile(
    r"\.?(?P<name>checkpoint-(?P<images>\d{12,}))(?P<extension>\.pt|\.json)(?P<written>\..+)?"
)

# Verdicts that stand on the in-training FID.
BY_FID = ("far_from_real", "few_classes", "got_worse", "stagnation")


def saved_at(store: Store, step: Step) -> int | None:
    """Images seen by the newest checkpoint of a training that is whole, going by the names there are: the
    JSON file beside it is written last. None where there is none."""
    names = set(store.list_names(f"{step.asset}/{step.partition}/{step.fingerprint}/{CHECKPOINTS}"))
    found = [match for name in names if (match := CHECKPOINT_FILE.fullmatch(name))]
    whole = [
        match for match in found if match[0] == f"{match['name']}.json" and f"{match['name']}.pt" in names
    ]
    return max((int(match["images"]) for match in whole), default=None)


class TrainingTask(BaseModel):
    """Everything that a training is given and that can travel to other processes as JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    experiment: Experiment
    dataset: Dataset
    shards: Manifest
    """Of the dataset: the train split is what the GAN learns from."""

    classifier: Manifest | None = None
    """Of the dataset: it extracts the features of the in-training FID. Without one there is no best generator
    and none of the verdicts `BY_FID`. It counts in the fingerprint only where that FID decides what is
    published (`publish`, `stop_on`): otherwise a new classifier is no reason to train for days again."""

    force: bool = False
    """Train again even if the artefact is there. A forced training that was stopped is gone on with by the
    next one of this experiment, forced or not, until its artefact is published; who wants it to begin at the
    beginning removes its checkpoints first. The old artefact stays whole and current until then."""

    device: str | None = None
    """`cpu`, `cuda` or `mps`; by default a GPU where there is one (see `training_device`). Recorded, but not
    part of the fingerprint."""

    memory_limit_bytes: int | None = None
    """More images than fit in it are streamed. By default it is what is free."""

    observe_interval: float = 10.0
    """Seconds between two observations, at least."""

    @property
    def step(self) -> Step:
        return steps.trained_gan(self.experiment, self.shards, self.classifier)

    @property
    def total_images(self) -> int:
        """The length of the run in images seen by D."""
        return self.experiment.length.total_images(self._train_images)

    @property
    def _train_images(self) -> int:
        return self.shards.details["splits"]["train"]["images"]

    def saved_at(self, store: Store) -> int | None:
        """Images seen by its newest checkpoint, going by the names there are; None where there is none."""
        return saved_at(store, self.step)

    def check(self, processes: int = 1) -> None:
        """Raise `ConfigError` where its parts and the number of processes do not fit together."""
        self._check_inputs()
        self._check_labels()
        self._check_guards()
        self._check_length(processes)

    def _check_inputs(self) -> None:
        experiment, dataset, shards = self.experiment, self.dataset, self.shards
        if experiment.dataset != dataset.name or shards.partition != dataset.name:
            raise ConfigError(
                f"experiment `{experiment.name}` is for dataset `{experiment.dataset}`, but was given "
                f"dataset `{dataset.name}` and shards of `{shards.partition}`"
            )
        changed = [
            key
            for key in ("image_size", "channels", "crop")
            if shards.config.get(key) != getattr(dataset, key)
        ]
        if changed:
            raise ConfigError(
                f"the shards of `{dataset.name}` were made with another {', '.join(changed)} than its "
                f"configuration has now: {how_to_make('image_shards', dataset.name)}"
            )
        check_image_size(experiment.architecture.name, shards.details["image_size"])
        decided = ["publish: best"] if experiment.publish == "best" else []
        decided += [f"stop_on: [{verdict}]" for verdict in experiment.stop_on if verdict in BY_FID]
        if self.classifier is None and decided:
            raise ConfigError(
                f"experiment `{experiment.name}` has `{decided[0]}`, which the in-training FID decides: give "
                f"the dataset's classifier too "
                f"({how_to_make('classifier', dataset.name)})"
            )

    def _check_labels(self) -> None:
        experiment = self.experiment
        if experiment.conditional and not self.shards.details["classes"]:
            raise ConfigError(
                f"experiment `{experiment.name}`: conditioning `{experiment.conditioning.name}` needs "
                f"labels, but the shards of `{self.dataset.name}` have none: set the dataset's `classes`, or "
                "conditioning to `none`"
            )

    def _check_guards(self) -> None:
        labelled = bool(self.shards.details["classes"])
        found = never_found(self.experiment, labelled=labelled, total_images=self.total_images)
        for text in found.values():
            raise ConfigError(f"experiment `{self.experiment.name}`: stop_on: {text}")

    def _check_length(self, processes: int) -> None:
        experiment, length = self.experiment, self.experiment.length
        if experiment.batch_size % processes:
            raise ConfigError(
                f"experiment `{experiment.name}`: batch_size {experiment.batch_size} cannot be shared evenly "
                f"by {processes} processes: choose a number of processes that divides it, or another "
                "batch_size"
            )
        images = length.images or length.epochs * self._train_images
        first = first_generator_step(experiment)
        lowered = "`n_critic_long`" if experiment.n_critic_long else "`n_critic`"
        if images <= (first - 1) * experiment.batch_size:
            raise ConfigError(
                f"experiment `{experiment.name}`: {images:,.0f} images are too few for a single step of the "
                f"generator, which comes after {first} batches of {experiment.batch_size}: "
                f"raise `length`, or lower {lowered} or `batch_size`"
            )
