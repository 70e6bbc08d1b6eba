"""The schema of `configs/datasets/*.yaml`."""

import os
import re
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from gan_core.config.base import AbsentMeans, Config, Description, Images, Name, Seed
from gan_core.config.mistakes import unknown
from gan_core.evaluation.extractors import EXTRACTORS
from gan_core.evaluation.metrics import METRICS

Split = Literal["train", "test"]
LabelPolicy = Literal["data", "even"]


def _source_kinds() -> dict:
    from gan_core.data.sources.kinds import SOURCE_KINDS  # each of which imports the configuration

    return SOURCE_KINDS


class SourceConfig(Config):
    """Where a dataset's images come from.

    `kind` says which official data is meant (and so what is downloaded where no location is given), one of
    those in `gan_core/data/sources/kinds`. `train` and `test` are fsspec URLs or paths of what the user has
    instead.
    """

    kind: str
    category: str | None = Field(None, description="LSUN category, as in bedroom_train_lmdb.zip")
    train: str | None = None
    test: str | None = None

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


class EvaluationConfig(Config):
    """What is measured for every experiment on a dataset, so that their figures compare.

    `extractors`: the first one fills the leaderboard. `metrics`: null is all there are. `samples` images are
    drawn from every generator; null is as many as there are train images, at most 10,000. `weights` is, by
    the name of an extractor, a path or URL of its weights, which are otherwise downloaded once. `labels` says
    which classes conditional generators are asked for: `data`, drawn one by one in the proportions of the
    train split, or `even`, all in turn.
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
    split, taken evenly over the classes where there are any.
    `licence` says under which one the images are, for whoever gets what was made of them; nothing checks it.
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
    max_shard_mb: Annotated[int, Field(ge=1, le=65_536)] = (
        256  # part of the shards' fingerprint: another value makes all of them anew
    )
    evaluation: EvaluationConfig = EvaluationConfig()

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
        return self

    @property
    def labelled(self) -> bool:
        return self.classes is not None

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
