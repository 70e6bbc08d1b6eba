"""The schema of the YAML files in `configs/`: datasets, experiments, grids of experiments.

Everything is validated before any work starts. A wrong file raises one `ConfigError` that lists each
mistake with its file, its line, the value found and what would be right. This module imports neither torch
nor dagster: definitions load it at every start.
"""

import itertools
import os
import re
import zoneinfo
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from gan_core.errors import ConfigError

Split = Literal["train", "test"]
# Dagster forbids | , [ ] in partition keys; slashes and spaces would not survive as folder names.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=100)]


class Config(BaseModel):
    """Base of all sections: unknown keys are errors, values cannot be changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


# Sides in pixels that each architecture can make.
ARCHITECTURE_SIZES = {"dcgan": (16, 32, 64, 128, 256)}

# --- datasets ---------------------------------------------------------------------------------------------


class Source(Config):
    """Where a dataset's images come from.

    `kind` says which official data is meant (and so what is downloaded where no location is given):
    `digits` (bundled with scikit-learn), `cifar10`, `mnist`, `lsun` (an LMDB an LSUN category), or `images`
    (any folder or archive). `train` and `test` are fsspec URLs or paths of what the user has instead.
    """

    kind: Literal["digits", "cifar10", "mnist", "lsun", "images"]
    category: str | None = Field(None, description="LSUN category, as in bedroom_train_lmdb.zip")
    train: str | None = None
    test: str | None = None

    @model_validator(mode="after")
    def _locations(self):
        if self.kind == "lsun" and not self.category:
            raise ValueError("source.kind `lsun` needs a `category`, for example `category: bedroom`")
        if self.kind != "lsun" and self.category:
            raise ValueError("source.category is for source.kind `lsun` only: remove it")
        return self


class EvaluationProtocol(Config):
    """What is measured for every experiment on a dataset, so that their figures compare.

    `extractors`: the first one fills the leaderboard. `samples` images are drawn from every generator.
    `inception_weights` is a path or URL of the TensorFlow 2015-12-05 weights as torch-fidelity publishes
    them; without it they are downloaded once.
    """

    extractors: tuple[Literal["classifier", "inception"], ...] = Field(("classifier",), min_length=1)
    samples: PositiveInt = 10_000
    inception_weights: str | None = None
    seed: NonNegativeInt = 0


class Dataset(Config):
    """One file of `configs/datasets/`.

    `classes`: a list (the class folders must be exactly these), `folders` (a class a folder, as found) or
    null (no labels). `crop` states the order in which an image becomes square. `test_fraction` holds out
    that share of a source that has no test split of its own. `limit` keeps the first so many images of each
    split, taken evenly over the classes where there are any.
    """

    name: Name
    description: str = ""
    source: Source
    image_size: Annotated[int, Field(ge=8, le=1024)]
    channels: Literal[1, 3]
    crop: Literal["resize_then_crop", "crop_then_resize"] = "resize_then_crop"
    classes: tuple[str, ...] | Literal["folders"] | None = None
    splits: tuple[Split, ...] = ("train", "test")
    test_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    limit: PositiveInt | None = None
    max_shard_mb: PositiveInt = 256  # part of the shards' fingerprint: another value makes all of them anew
    evaluation: EvaluationProtocol = EvaluationProtocol()

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
        if self.labelled and self.source.kind == "lsun":
            raise ValueError("an LSUN category has no classes: remove `classes`")
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


# --- experiments ------------------------------------------------------------------------------------------


class Architecture(Config):
    """The pair of networks. `width` is the number of filters at the outermost layer (DCGAN's ngf and ndf).

    `discriminator_norm` defaults to batch norm, and to layer norm under a gradient penalty, which is taken
    image by image and has no meaning through batch norm (Gulrajani et al. 2017, section 4).
    """

    name: Literal["dcgan"] = "dcgan"
    width: PositiveInt = 64
    discriminator_norm: Literal["batch", "layer", "none"] | None = None


class Latent(Config):
    """The generator's input: `size` numbers, from N(0, 1) or U(-1, 1)."""

    size: Annotated[int, Field(ge=1, le=10_000)] = 100
    distribution: Literal["normal", "uniform"] = "normal"


class Objective(Config):
    """The adversarial loss. `gradient_penalty` is the weight lambda of WGAN-GP's penalty."""

    name: Literal["non_saturating", "wasserstein"] = "non_saturating"
    gradient_penalty: NonNegativeFloat = 0.0

    @model_validator(mode="after")
    def _lipschitz(self):
        if self.name == "wasserstein" and not self.gradient_penalty:
            raise ValueError(
                "objective `wasserstein` needs `gradient_penalty` (10 in the paper): "
                "without it the critic is not Lipschitz"
            )
        return self


class Conditioning(Config):
    """How the class enters. `acgan`: an auxiliary classifier on D (Odena et al. 2017).

    `d_scale` and `g_scale` weigh its cross-entropy in the two losses. `on_fakes`: whether D's classifier is
    also trained on generated images, as in the ACGAN paper; WGAN-GP's authors train it on real images only.
    """

    name: Literal["none", "acgan"] = "none"
    d_scale: NonNegativeFloat = 1.0
    g_scale: NonNegativeFloat = 1.0
    on_fakes: bool = False


class Optimizer(Config):
    """One network's optimiser; `betas` are Adam's."""

    name: Literal["adam"] = "adam"
    learning_rate: PositiveFloat = 2e-4
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.5, 0.999)


class Optimizers(Config):
    generator: Optimizer = Optimizer()
    discriminator: Optimizer = Optimizer()


class Length(Config):
    """How long to train: real images shown to D, or epochs of the train split. Exactly one of them."""

    images: PositiveInt | None = None
    epochs: PositiveFloat | None = None

    @model_validator(mode="after")
    def _one(self):
        if (self.images is None) == (self.epochs is None):
            raise ValueError("length needs exactly one of `images` and `epochs`")
        return self


class Experiment(Config):
    """One file of `configs/experiments/`, or one point of its grid.

    The clock is images seen: every real image shown to D counts one. `checkpoint_every`, `sample_every`
    (images seen) and `log_every` (steps of D) do not change what is trained.
    """

    name: Name
    description: str = ""
    dataset: Name
    architecture: Architecture = Architecture()
    latent: Latent = Latent()
    objective: Objective = Objective()
    conditioning: Conditioning = Conditioning()
    optimizers: Optimizers = Optimizers()
    learning_rate_decay: Literal["none", "linear"] = "none"
    n_critic: PositiveInt = 1
    batch_size: Annotated[int, Field(ge=2)] = 64
    length: Length
    horizontal_flips: bool = False
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    precision: Literal["fp32", "bf16"] = "fp32"
    seed: NonNegativeInt = 0
    checkpoint_every: PositiveInt = 50_000
    sample_every: PositiveInt = 50_000
    log_every: PositiveInt = 100

    @model_validator(mode="before")
    @classmethod
    def _default_norm(cls, values: Any) -> Any:
        """Fill in `discriminator_norm`, so that the fingerprint holds what is really built."""
        if not isinstance(values, dict):
            return values
        architecture = values.get("architecture", {})
        objective = values.get("objective", {})
        if isinstance(architecture, dict) and isinstance(objective, dict):
            norm = "layer" if objective.get("gradient_penalty") else "batch"
            filled = {**architecture, "discriminator_norm": architecture.get("discriminator_norm") or norm}
            return {**values, "architecture": filled}
        return values

    @model_validator(mode="after")
    def _consistent(self):
        if self.objective.gradient_penalty and self.architecture.discriminator_norm == "batch":
            raise ValueError(
                "a gradient penalty is taken image by image and has no meaning through batch norm: "
                "set architecture.discriminator_norm to `layer` or `none`"
            )
        return self

    @property
    def conditional(self) -> bool:
        return self.conditioning.name != "none"

    def training_config(self) -> dict[str, Any]:
        """The part of the configuration that decides what is trained: the fingerprint is made of it."""
        unrelated = {"name", "description", "checkpoint_every", "sample_every", "log_every"}
        return self.model_dump(mode="json", exclude=unrelated)


# --- loading ----------------------------------------------------------------------------------------------


class Nightly(Config):
    """`configs/nightly.yaml`: which experiments the `nightly_retraining` schedule trains, and when.

    `cron` has five fields (minute, hour, day, month, weekday); `timezone` is an IANA name.
    """

    cron: str = "0 2 * * *"
    timezone: str = "UTC"
    experiments: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _known_timezone(self):
        if self.timezone not in zoneinfo.available_timezones():
            raise ValueError(f"timezone `{self.timezone}` is not an IANA name such as Europe/Berlin or UTC")
        return self


class Configs(BaseModel):
    """Everything under one configuration folder, keyed by name."""

    datasets: dict[str, Dataset]
    experiments: dict[str, Experiment]
    nightly: Nightly = Nightly()

    @cached_property
    def experiments_by_dataset(self) -> dict[str, list[str]]:
        grouped: dict[str, list[str]] = {name: [] for name in self.datasets}
        for experiment in self.experiments.values():
            grouped[experiment.dataset].append(experiment.name)
        return grouped


def default_config_folder() -> Path:
    """`GAN_CONFIGS`, or `configs/` beside the packages."""
    return Path(os.environ.get("GAN_CONFIGS") or Path(__file__).resolve().parent.parent / "configs")


def load_configs(folder: Path | None = None) -> Configs:
    """Read and validate every dataset, experiment and the nightly list under `folder`.

    Raises `ConfigError` with every mistake of every file, each with file, line, value and remedy.
    """
    folder = Path(folder or default_config_folder())
    if not (folder / "datasets").is_dir():
        raise ConfigError(
            f"{folder} is no configuration folder: it has no folder `datasets`; "
            "name another one with GAN_CONFIGS"
        )
    mistakes: list[str] = []
    datasets = _load_folder(folder / "datasets", load_dataset, mistakes)
    experiments = _load_folder(folder / "experiments", load_experiments, mistakes)
    for experiment, where in experiments.values():
        mistakes.extend(f"{where}: {text}" for text in _against_datasets(experiment, datasets))
    nightly = Nightly()
    nightly_path = folder / "nightly.yaml"
    if nightly_path.exists():
        try:
            nightly = _validate(Nightly, _Document(nightly_path).data, _Document(nightly_path))
        except ConfigError as error:
            mistakes.append(str(error))
        unknown = [name for name in nightly.experiments if name not in experiments]
        if unknown and not mistakes:
            mistakes.append(f"{nightly_path}: no experiment is named {_quoted(unknown)}")
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return Configs(
        datasets={name: dataset for name, (dataset, _) in datasets.items()},
        experiments={name: experiment for name, (experiment, _) in experiments.items()},
        nightly=nightly,
    )


def load_dataset(path: Path) -> list[Dataset]:
    """The dataset of one YAML file, as a list of one."""
    document = _Document(path)
    return [_validate(Dataset, document.data, document)]


def load_experiments(path: Path) -> list[Experiment]:
    """The experiments of one YAML file: one, or every point of its `grid`.

    `grid` maps dotted keys to lists of values. A point is named `<name>-<last part of key>-<value>…` in the
    order of the grid's keys, underscores as hyphens: `grid: {batch_size: [128, 256]}` gives
    `bedroom-batch-size-128` and `bedroom-batch-size-256`.
    """
    document = _Document(path)
    data = dict(document.data)
    grid = data.pop("grid", None)
    if grid is None:
        return [_validate(Experiment, data, document)]
    if not isinstance(grid, dict) or not all(isinstance(v, list) and v for v in grid.values()):
        raise ConfigError(
            f"{document.at('grid')}: grid maps keys to non-empty lists of values, "
            "for example `batch_size: [128, 256]`"
        )
    experiments = []
    for values in itertools.product(*grid.values()):
        point = dict(zip(grid, values, strict=True))
        experiments.append(_validate(Experiment, _grid_point(data, point, document), document))
    return experiments


def _grid_point(data: dict, point: dict[str, Any], document: "_Document") -> dict:
    name = str(data.get("name", ""))
    for dotted, value in point.items():
        *parents, leaf = dotted.split(".")
        data = dict(data)
        section = data
        for parent in parents:
            inner = section.get(parent, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"{document.at('grid')}: `{dotted}` does not name a key of a section")
            section[parent] = dict(inner)
            section = section[parent]
        section[leaf] = value
        text = "-".join(map(str, value)) if isinstance(value, list) else str(value)
        name += f"-{leaf}-{text}".replace("_", "-").lower()
    return {**data, "name": name}


def _load_folder(folder: Path, load, mistakes: list[str]) -> dict[str, tuple[Any, Path]]:
    found: dict[str, tuple[Any, Path]] = {}
    for path in sorted(folder.glob("*.y*ml")):
        try:
            loaded = load(path)
        except ConfigError as error:
            mistakes.append(str(error))
            continue
        for item in loaded:
            if item.name in found:
                other = found[item.name][1]
                mistakes.append(f"{path}: the name `{item.name}` is taken by {other}: choose another")
            found[item.name] = (item, path)
    return found


def _against_datasets(experiment: Experiment, datasets: dict[str, tuple[Dataset, Path]]) -> list[str]:
    if experiment.dataset not in datasets:
        known = _quoted(sorted(datasets)) or "none"
        return [f"dataset `{experiment.dataset}` is not in configs/datasets (there are: {known})"]
    dataset = datasets[experiment.dataset][0]
    mistakes = []
    sizes = ARCHITECTURE_SIZES[experiment.architecture.name]
    if dataset.image_size not in sizes:
        mistakes.append(
            f"architecture `{experiment.architecture.name}` makes images of {', '.join(map(str, sizes))} "
            f"pixels, but dataset `{dataset.name}` has image_size {dataset.image_size}: change one of them"
        )
    if experiment.conditional and not dataset.labelled:
        mistakes.append(
            f"conditioning `{experiment.conditioning.name}` needs labels, but dataset `{dataset.name}` has "
            "none: set its `classes`, or conditioning to `none`"
        )
    return mistakes


class _Document:
    """A parsed YAML file that remembers the line of every key."""

    def __init__(self, path: Path):
        self.path = Path(path)
        try:
            text = self.path.read_text(encoding="utf-8")
            self.root = yaml.compose(text, Loader=yaml.SafeLoader)
            self.data = yaml.safe_load(text)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self.path}: cannot be read: {error}") from error
        except yaml.YAMLError as error:
            raise ConfigError(f"{self.path}: not valid YAML: {error}") from error
        if not isinstance(self.data, dict):
            raise ConfigError(f"{self.path}: must be a mapping of keys to values, beginning with `name:`")
        self._refuse_duplicates(self.root)

    def at(self, *keys: str | int) -> str:
        """`file:line` of the deepest part of `keys` that is in the file."""
        node, line = self.root, self.root.start_mark.line
        for key in keys:
            children = self._children(node)
            if key not in children:
                break
            line, node = children[key]
        return f"{self.path}:{line + 1}"

    def _refuse_duplicates(self, node) -> None:
        """YAML itself would keep the last of two values without a word."""
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, _ in node.value:
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise ConfigError(f"{self.path}:{line}: `{key.value}` is given twice: remove one")
                seen.add(key.value)
        for _, child in self._children(node).values():
            self._refuse_duplicates(child)

    @staticmethod
    def _children(node) -> dict[str | int, tuple[int, Any]]:
        if isinstance(node, yaml.MappingNode):
            return {key.value: (key.start_mark.line, value) for key, value in node.value}
        if isinstance(node, yaml.SequenceNode):
            return {i: (item.start_mark.line, item) for i, item in enumerate(node.value)}
        return {}


def _validate(model: type[Config], data: dict, document: _Document) -> Any:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(item, model, document) for item in error.errors())) from error


def _explain(item: dict, model: type[Config], document: _Document) -> str:
    # The alternatives of a union come as parts such as `tuple[str, ...]`, which are in no file.
    location = tuple(part for part in item["loc"] if "[" not in str(part))
    key = ".".join(str(part) for part in location) or "file"
    where = document.at(*location)
    if item["type"] == "extra_forbidden":
        section = _section(model, location[:-1])
        known = ", ".join(sorted(section.model_fields)) if section else "see gan_core/config.py"
        return f"{where}: unknown key `{key}`; the keys here are: {known}"
    if item["type"] == "missing":
        return f"{where}: `{key}` is missing"
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "value_error":
        return f"{where}: {message}"
    return f"{where}: `{key}` is {item['input']!r}: {message[0].lower()}{message[1:]}"


def _section(model: type[BaseModel], location: tuple) -> type[BaseModel] | None:
    for part in location:
        field = model.model_fields.get(part)
        if field is None or not (
            isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        ):
            return None
        model = field.annotation
    return model


def _quoted(names) -> str:
    return ", ".join(f"`{name}`" for name in names)
