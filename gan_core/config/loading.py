"""Reading the YAML files of `configs/`, grids expanded to experiments, each mistake with file and line."""

import itertools
import os
import zoneinfo
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from gan_core.config.base import Config, Name
from gan_core.config.datasets import Dataset
from gan_core.config.experiments import ARCHITECTURE_SIZES, Experiment
from gan_core.config.mistakes import explain, unknown
from gan_core.errors import ConfigError


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


class Mistake(BaseModel):
    """Why a file, or some of what it defines, was left out.

    `message` has a line per mistake, each with file, line, value and remedy. `names` are the datasets or
    experiments that are missing because of it, those of a grid as a pattern such as `bedroom-*`.
    """

    model_config = ConfigDict(frozen=True)

    path: Path
    message: str
    names: tuple[str, ...] = ()


class Configs(BaseModel):
    """Everything under one configuration folder, keyed by name, and what had to be left out."""

    datasets: dict[str, Dataset]
    experiments: dict[str, Experiment]
    nightly: Nightly = Nightly()
    mistakes: tuple[Mistake, ...] = ()

    @cached_property
    def experiments_by_dataset(self) -> dict[str, list[str]]:
        grouped: dict[str, list[str]] = {name: [] for name in self.datasets}
        for experiment in self.experiments.values():
            grouped[experiment.dataset].append(experiment.name)
        return grouped


def default_config_folder() -> Path:
    """`GAN_CONFIGS`, or `configs/` beside the packages."""
    return Path(os.environ.get("GAN_CONFIGS") or Path(__file__).resolve().parents[2] / "configs")


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
        for key, text in _against_datasets(experiment, datasets):
            mistakes.append(f"{_Document(where).at(*key.split('.'))}: {text}")
    nightly = Nightly()
    nightly_path = folder / "nightly.yaml"
    if nightly_path.exists():
        try:
            nightly = _validate(Nightly, _Document(nightly_path).data, _Document(nightly_path))
        except ConfigError as error:
            mistakes.append(str(error))
        if not mistakes:
            for name in nightly.experiments:
                if name not in experiments:
                    mistakes.append(f"{nightly_path}: {unknown('no experiment is named', name, experiments)}")
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
    experiments, mistakes = [], []
    for values in itertools.product(*grid.values()):
        point = dict(zip(grid, values, strict=True))
        try:
            experiments.append(_validate(Experiment, _grid_point(data, point, document), document))
        except ConfigError as error:
            mistakes += str(error).splitlines()
    if mistakes:
        raise ConfigError("\n".join(dict.fromkeys(mistakes)))  # most are in every point
    return experiments


def _grid_point(data: dict, point: dict[str, Any], document: "_Document") -> dict:
    name = str(data.get("name", ""))
    for dotted, value in point.items():
        *parents, leaf = str(dotted).split(".")
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


def _against_datasets(
    experiment: Experiment, datasets: dict[str, tuple[Dataset, Path]]
) -> list[tuple[str, str]]:
    """What does not fit to the dataset: the dotted key to look at, and what is wrong."""
    if experiment.dataset not in datasets:
        return [("dataset", unknown("configs/datasets has no", experiment.dataset, datasets))]
    dataset = datasets[experiment.dataset][0]
    mistakes = []
    sizes = ARCHITECTURE_SIZES[experiment.architecture.name]
    if dataset.image_size not in sizes:
        text = (
            f"architecture `{experiment.architecture.name}` makes images of {', '.join(map(str, sizes))} "
            f"pixels, but dataset `{dataset.name}` has image_size {dataset.image_size}: change one of them"
        )
        mistakes.append(("architecture.name", text))
    if experiment.conditional and not dataset.labelled:
        text = (
            f"conditioning `{experiment.conditioning.name}` needs labels, but dataset `{dataset.name}` has "
            "none: set its `classes`, or conditioning to `none`"
        )
        mistakes.append(("conditioning.name", text))
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
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ConfigError(f"{self.path}:{line}: not valid YAML: {error.problem}") from error
        except yaml.YAMLError as error:
            raise ConfigError(f"{self.path}: not valid YAML: {error}") from error
        if not isinstance(self.data, dict):
            raise ConfigError(f"{self.path}: must be a mapping of keys to values, beginning with `name:`")
        self._refuse_duplicates(self.root)

    def at(self, *keys: str | int) -> str:
        """`file:line` of the deepest part of `keys` that is in the file."""
        node, line = self.root, self.root.start_mark.line
        grid = self._children(self._children(node).get("grid", (0, None))[1])
        dotted = ".".join(map(str, keys))
        if dotted in grid:  # a grid names its keys in one piece
            return f"{self.path}:{grid[dotted][0] + 1}"
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
        raise ConfigError("\n".join(explain(item, model, document.at) for item in error.errors())) from error
