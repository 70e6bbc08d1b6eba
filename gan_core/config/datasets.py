"""The schema of `configs/datasets/*.yaml`."""

import os
import re
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from gan_core.config.base import AbsentMeans, Config, Contradiction, Description, Flag, Images, Name, Seed
from gan_core.config.mistakes import unknown
from gan_core.evaluation.extractors import EXTRACTORS
from gan_core.evaluation.metrics import METRICS

Split = Literal["train", "test"]
LabelPolicy = Literal["data", "even"]


def _source_kinds() -> dict:
    from gan_core.data.sources.kinds import SOURCE_KINDS  # each of which imports the configuration

    return SOURCE_KINDS


class StackConfig(Config):
    """Of a dataset whose images are three digits of another as their channels (Metz et al. 2017).

    `of` is the kind of source that the digits come from. `images` and `test_images` are drawn for the train
    and the test split, each digit of an image with a chance of its own, by `seed`.
    """

    of: str
    images: Images
    test_images: Images | None = None
    seed: Seed = 0

    @field_validator("of")
    @classmethod
    def _of_digits(cls, kind: str) -> str:
        kinds = [name for name, item in _source_kinds().items() if item.single_digits]
        if kind not in kinds:
            raise ValueError(unknown("digits are stacked of", kind, kinds))
        return kind


class SourceConfig(Config):
    """Where a dataset's images come from.

    `kind` says which official data is meant (and so what is downloaded where no location is given), one of
    those in `gan_core/data/sources/kinds`. `train` and `test` are fsspec URLs or paths of what the user has
    instead. `stack` says which digits the kind `stacked` stacks, and how many.
    """

    kind: str
    category: str | None = Field(None, description="LSUN category, as in bedroom_train_lmdb.zip")
    train: str | None = None
    test: str | None = None
    stack: StackConfig | None = None

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind not in _source_kinds():
            raise ValueError(unknown("no kind of source is named", kind, _source_kinds()))
        return kind

    @model_validator(mode="after")
    def _category(self):
        example = _source_kinds()[self.kind].example_category
        if example and not self.category:
            raise ValueError(
                f"source.kind `{self.kind}` needs a `category`, for example `category: {example}`"
            )
        if self.category and not example:
            raise ValueError(f"source.kind `{self.kind}` has no `category`: remove it")
        return self

    @model_validator(mode="after")
    def _stack(self):
        stacks = _source_kinds()[self.kind].stacks
        if stacks and self.stack is None:
            raise ValueError(
                f"source.kind `{self.kind}` needs `stack`, for example `stack: {{of: mnist, images: 128000, "
                "test_images: 26000}`"
            )
        if self.stack is not None and not stacks:
            raise ValueError(f"source.kind `{self.kind}` stacks nothing: remove `stack`")
        return self


class DeduplicationConfig(Config):
    """Near-duplicates among the train images are found, and with `remove` left out of the shards.

    `method`: `perceptual_hash`, 64 bits of the low frequencies of the grey image. Images whose hashes differ
    in at most `threshold` bits are near-duplicates.
    """

    method: Literal["perceptual_hash"] = "perceptual_hash"
    threshold: Annotated[int, Field(ge=0, le=16)] = 4
    remove: Flag = False


class EvaluationConfig(Config):
    """What is measured for every experiment on a dataset, so that their figures compare.

    `extractors`: the first one fills the leaderboard. `metrics`: null is what is measured by default.
    `samples` images are drawn from every generator; null is as many as there are train images, at most
    10,000. `weights` is, by the name of an extractor, a path or URL of its weights, which are otherwise
    downloaded once. `labels` says which classes conditional generators are asked for: `data`, drawn one by
    one in the proportions of the train split, or `even`, all in turn.
    """

    extractors: tuple[str, ...] = Field(("classifier",), min_length=1)
    metrics: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    samples: Annotated[int, Field(ge=1, le=10**7)] | None = None
    weights: dict[str, str] = {}
    labels: Annotated[LabelPolicy, AbsentMeans("even")] = "data"
    seed: Seed = 0

    @field_validator("extractors", "metrics", "weights")
    @classmethod
    def _registered(cls, names, info: ValidationInfo):
        known = METRICS if info.field_name == "metrics" else EXTRACTORS
        unknown = [name for name in names or () if name not in known]
        if unknown:
            raise ValueError(f"there is no `{unknown[0]}`: choose from {', '.join(known)}")
        return names


class Dataset(Config):
    """One file of `configs/datasets/`.

    `classes`: a list (the class folders must be exactly these), `folders` (one class per folder, as found) or
    null (no labels). `crop` states the order in which an image becomes square. `test_fraction` holds out
    that share of a source that has no test split of its own. `limit` keeps the first so many images of each
    split, taken evenly over the classes where there are any. `deduplicate` asks for near-duplicates; null
    looks for none. `licence` says under which one the images are, for whoever gets what was made of them;
    nothing checks it.
    """

    name: Name
    description: Description = ""
    licence: Description = ""
    source: SourceConfig
    image_size: Annotated[int, Field(ge=8, le=1024)]
    channels: Literal[1, 3]
    crop: Literal["resize_then_crop", "crop_then_resize"] = "resize_then_crop"
    classes: tuple[str, ...] | Literal["folders"] | None = None
    splits: tuple[Split, ...] = ("train", "test")
    test_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    limit: Images | None = None
    deduplicate: DeduplicationConfig | None = None
    max_shard_mb: Annotated[int, Field(ge=1, le=65_536)] = (
        256  # part of the shards' fingerprint: another value makes all of them anew
    )
    evaluation: EvaluationConfig = EvaluationConfig()

    @model_validator(mode="before")
    @classmethod
    def _classes_of_the_kind(cls, values: Any) -> Any:
        """Where all datasets of a kind have the same classes, a file need not list them."""
        source = values.get("source") if isinstance(values, dict) else None
        kind = _source_kinds().get(source.get("kind")) if isinstance(source, dict) else None
        if kind is None or kind.class_names is None or values.get("classes") is not None:
            return values
        return {**values, "classes": kind.class_names}

    @model_validator(mode="after")
    def _consistent(self):
        if "train" not in self.splits:
            raise ValueError("splits must contain `train`: a GAN is trained on it")
        if len(set(self.splits)) != len(self.splits):
            raise ValueError("splits names a split twice")
        if self.test_fraction is not None and "test" not in self.splits:
            raise ValueError("test_fraction holds out a test split, but splits has no `test`: add it")
        if isinstance(self.classes, tuple) and len(set(self.classes)) != len(self.classes):
            raise ValueError("classes names a class twice")
        if isinstance(self.classes, tuple) and len(self.classes) < 2:
            raise ValueError("classes needs two names or more: leave it out if there are no classes")
        if self.labelled and not _source_kinds()[self.source.kind].may_have_classes:
            raise ValueError(f"source.kind `{self.source.kind}` has no classes: remove `classes`")
        if self.source.stack is not None:
            self._check_stack(self.source.stack)
        return self

    def _check_stack(self, stack: StackConfig) -> None:
        if self.channels != 3:
            raise Contradiction("channels", "an image of three stacked digits has `channels: 3`")
        if self.classes != _source_kinds()[self.source.kind].class_names:
            raise Contradiction(
                "classes", "the classes of stacked digits are `000` to `999`: leave `classes` out"
            )
        if "test" in self.splits and stack.test_images is None:
            raise ValueError("source.stack needs `test_images` for the test split, or `splits: [train]`")

    @property
    def labelled(self) -> bool:
        return self.classes is not None

    @property
    def removes_duplicates(self) -> bool:
        return self.deduplicate is not None and self.deduplicate.remove

    @property
    def source_variable(self) -> str:
        """The environment variable that names another place of this dataset's source."""
        return "GAN_SOURCE_" + re.sub(r"[-.]", "_", self.name).upper()

    def locations(self, given: dict[str, str] | None = None) -> dict[str, str | None]:
        """Where each split is: run config (`given`) before environment before YAML; None means download.

        `GAN_SOURCE_<NAME>` (capitals, `-` and `.` as `_`) replaces the whole source or its train split;
        `GAN_SOURCE_<NAME>_TRAIN` and `_TEST` replace one split. Who replaces train replaces the whole source:
        the YAML's test split is then not used.
        """
        variable = self.source_variable
        given = given or {}
        train = given.get("train") or os.environ.get(f"{variable}_TRAIN") or os.environ.get(variable)
        test = given.get("test") or os.environ.get(f"{variable}_TEST")
        if train:  # another train split is not mixed with the configured test split
            return {"train": train, "test": test}
        return {"train": self.source.train, "test": test or self.source.test}
