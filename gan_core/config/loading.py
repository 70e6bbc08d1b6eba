"""Reading the YAML files of a configuration folder.

A wrong file leaves out itself and what depends on it; its mistakes are kept beside what was read.
"""

import fnmatch
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, reduce
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from gan_core.config.datasets import Dataset
from gan_core.config.experiments import Experiment
from gan_core.config.grids import experiments_of
from gan_core.config.keeping import KeepPolicy
from gan_core.config.mistakes import few_lines, unknown, validated
from gan_core.config.notifications import Notifications
from gan_core.config.questions import Question
from gan_core.config.run_schedules import RunSchedule
from gan_core.config.sweeps import Sweep
from gan_core.config.trials import FOLDER as TRIALS
from gan_core.config.trials import (
    NOT_SEARCHED,
    TrialMaker,
    chosen_values,
    trials_path,
)
from gan_core.config.yaml_files import Document, shown
from gan_core.errors import ConfigError
from gan_core.evaluation.metrics import chosen_metrics
from gan_core.models.architectures import ARCHITECTURES
from gan_core.places import default_folder

STORE_FILE = "store.yaml"


class Mistake(BaseModel):
    """Why a file, or some of what it defines, was left out.

    `message` has a line per mistake, each with file, line, value and remedy. `names` are the datasets,
    experiments, questions or sweeps that are missing because of it, those of a grid as a pattern such as
    `bedroom-*`.
    """

    model_config = ConfigDict(frozen=True)

    path: Path
    message: str
    names: tuple[str, ...] = ()


class Configs(BaseModel):
    """Everything under one configuration folder, keyed by name, and what had to be left out."""

    datasets: dict[str, Dataset]
    experiments: dict[str, Experiment]
    questions: dict[str, Question] = {}
    sweeps: dict[str, Sweep] = {}
    store: KeepPolicy | None = KeepPolicy()
    """None where its file is wrong: see `keep_policy`."""
    schedules: dict[str, RunSchedule] = {}
    notifications: Notifications = Notifications()
    mistakes: tuple[Mistake, ...] = ()
    files: dict[str, Path] = {}
    """Where each is defined, by `datasets/NAME` and `experiments/NAME`."""
    grid_keys: dict[str, tuple[str, ...]] = {}
    """Of an experiment that is a point of a grid or a trial of a sweep: the dotted keys that vary."""
    sweep_of: dict[str, str] = {}
    """Of every trial, also of one that is not chosen yet: its sweep."""

    @cached_property
    def experiments_by_dataset(self) -> dict[str, list[str]]:
        grouped: dict[str, list[str]] = {name: [] for name in self.datasets}
        for experiment in self.experiments.values():
            grouped[experiment.dataset].append(experiment.name)
        return grouped

    def dataset(self, name: str) -> Dataset:
        """The dataset of this name. Raises `ConfigError` with the mistake that left it out, or the nearest
        names."""
        return self._named("dataset", name, self.datasets, "datasets")

    def experiment(self, name: str) -> Experiment:
        """The experiment of this name. Raises `ConfigError` with the mistake that left it out, or the nearest
        names."""
        sweep = self.sweep_of.get(name)
        if sweep and name not in self.experiments:
            raise ConfigError(
                f"the trial `{name}` of the sweep `{sweep}` is not chosen yet: run "
                f"`python -m pipelines sweep {sweep}`, or materialise sweep of `{sweep}`"
            )
        return self._named("experiment", name, self.experiments, "experiments")

    def matching(self, patterns: Iterable[str]) -> list[str]:
        """The experiments whose names match any of the shell-style `patterns`, in alphabetical order.

        Raises `ConfigError` for a pattern that matches nothing, with the mistake of a file that was left out.
        """
        selected: set[str] = set()
        for pattern in patterns:
            found = fnmatch.filter(self.experiments, pattern)
            if not found:
                left_out = self.left_out(pattern)
                raise ConfigError(left_out or unknown("no experiment matches", pattern, self.experiments))
            selected.update(found)
        return sorted(selected)

    def question(self, name: str) -> Question:
        """The question of this name. Raises `ConfigError` with the mistake that left it out, or the nearest
        names."""
        return self._named("question", name, self.questions, "questions")

    @property
    def keep_policy(self) -> KeepPolicy:
        """What `store.yaml` says stays of the store. Raises `ConfigError` with its mistakes: to go by the
        defaults instead could remove what it keeps."""
        if self.store is None:
            wrong = [mistake.message for mistake in self.mistakes if mistake.path.name == STORE_FILE]
            raise ConfigError("nothing is cleared away until this is mended:\n" + "\n".join(wrong))
        return self.store

    def sweep(self, name: str) -> Sweep:
        """The sweep of this name. Raises `ConfigError` with the mistake that left it out, or the nearest
        names."""
        return self._named("sweep", name, self.sweeps, "sweeps")

    def grid_point(self, name: str) -> dict[str, Any]:
        """What sets an experiment apart from the others of its file or its sweep: the keys that vary, with
        their values."""
        values = self.experiment(name).model_dump(mode="json")
        return {
            key: reduce(lambda section, part: section[part], key.split("."), values)
            for key in self.grid_keys.get(name, ())
        }

    def left_out(self, name: str, folder: str = "experiments") -> str | None:
        """The mistake that left out the dataset, experiment, question or sweep of this name or pattern, if
        one did."""
        for mistake in self.mistakes:
            names = (*mistake.names, mistake.path.stem)
            matches = any(fnmatch.fnmatch(name, item) or fnmatch.fnmatch(item, name) for item in names)
            if matches and mistake.path.parent.name == folder:
                return mistake.message
        return None

    def _named(self, kind: str, name: str, there: Mapping[str, Any], folder: str) -> Any:
        if name in there:
            return there[name]
        mistake = self.left_out(name, folder)
        if mistake:
            raise ConfigError(f"{kind} `{name}` was left out because of a mistake in its file:\n{mistake}")
        raise ConfigError(unknown(f"no {kind} is named", name, there))


def default_config_folder() -> Path:
    """`GAN_CONFIGS`; else `configs/` beside the packages, in a checkout; else `configs/` in this folder."""
    return Path(os.environ.get("GAN_CONFIGS") or default_folder("configs"))


def load_configs(folder: Path | None = None) -> Configs:
    """Read and validate every dataset, experiment, sweep, question and schedule, who is notified and what is
    kept of the store, under `folder`. The trials of a sweep are experiments.

    What is wrong is left out and named in `mistakes`. Raises `ConfigError` where `folder` is no configuration
    folder.
    """
    folder = Path(folder or default_config_folder())
    if not (folder / "datasets").is_dir():
        raise ConfigError(
            f"{shown(folder)} is no configuration folder: it has no folder `datasets`; name another one with "
            "GAN_CONFIGS, or begin one with `python -m gan_core new dataset NAME` and "
            "`python -m gan_core new experiment NAME`"
        )
    mistakes: list[Mistake] = []
    datasets = _load_folder(folder / "datasets", _datasets_of, mistakes)
    experiments = _load_folder(folder / "experiments", experiments_of, mistakes)
    loaded = Configs(
        datasets={name: dataset for name, (dataset, _) in datasets.items()},
        experiments={name: experiment for name, (experiment, _) in experiments.items()},
        mistakes=tuple(mistakes),
        files={
            f"{kind}/{name}": document.path
            for kind, found in (("datasets", datasets), ("experiments", experiments))
            for name, (_, document) in found.items()
        },
        grid_keys={
            name: tuple(document.data["grid"])
            for name, (_, document) in experiments.items()
            if "grid" in document.data
        },
    )
    documents = {name: document for name, (_, document) in experiments.items()}
    fitting, unfitting = _fitting_datasets(loaded, documents)
    loaded = loaded.model_copy(update={"experiments": fitting, "mistakes": (*mistakes, *unfitting)})
    loaded = _with_sweeps(folder, loaded, documents)
    store, unkept = _load_keep_policy(folder / STORE_FILE)
    questions, unanswerable = _load_questions(folder / "questions", loaded)
    schedules, idle = _load_schedules(folder, loaded)
    notifications, silent = _load_notifications(folder / "notifications.yaml")
    return loaded.model_copy(
        update={
            "store": store,
            "questions": questions,
            "schedules": schedules,
            "notifications": notifications,
            "mistakes": (*loaded.mistakes, *unkept, *unanswerable, *idle, *silent),
        }
    )


def _datasets_of(document: Document) -> list[Dataset]:
    return [validated(Dataset, document.data, document)]


def _questions_of(document: Document) -> list[Question]:
    return [validated(Question, document.data, document)]


def _sweeps_of(document: Document) -> list[Sweep]:
    return [validated(Sweep, document.data, document)]


def _schedules_of(document: Document) -> list[RunSchedule]:
    return [validated(RunSchedule, document.data, document)]


Item = TypeVar("Item", Dataset, Experiment, Question, Sweep, RunSchedule)


def _load_folder(
    folder: Path, items_of: Callable[[Document], list[Item]], mistakes: list[Mistake]
) -> dict[str, tuple[Item, Document]]:
    """What the files of a folder define, by name, with its file.

    Of two of a name the file that is called so stays, else the first; the other is left out.
    """
    documents = []
    for path in _yaml_files(folder, mistakes):
        try:
            documents.append(Document(path))
        except ConfigError as error:
            mistakes.append(Mistake(path=path, message=str(error), names=(path.stem,)))
    found: dict[str, tuple[Item, Document]] = {}
    for document in sorted(documents, key=lambda item: item.path.stem != item.data.get("name")):
        try:
            loaded = items_of(document)
            _refuse_taken_names(document, loaded, found)
        except ConfigError as error:
            mistakes.append(Mistake(path=document.path, message=str(error), names=_names_in(document)))
        else:
            found |= {item.name: (item, document) for item in loaded}
    return dict(sorted(found.items()))


def _names_in(document: Document) -> tuple[str, ...]:
    """What a file would define, were it right."""
    name = document.data.get("name")
    name = name if isinstance(name, str) else document.path.stem
    return (name, f"{name}-*") if "grid" in document.data else (name,)


def _yaml_files(folder: Path, mistakes: list[Mistake]) -> list[Path]:
    """Files that an editor or another system hides are no configurations."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        message = f"{shown(folder)}: cannot be read: {error.strerror or error}"
        mistakes.append(Mistake(path=folder, message=message))
        return []
    return [folder / name for name in names if name.endswith((".yaml", ".yml")) and name[0] != "."]


def _refuse_taken_names(
    document: Document, loaded: list[Item], found: dict[str, tuple[Item, Document]]
) -> None:
    mistakes, new = [], set()
    for item in loaded:
        if item.name in found or item.name in new:
            other = found[item.name][1].name if item.name in found else "another point of its grid"
            where = document.at("name")
            mistakes.append(f"{where}: the name `{item.name}` is taken by {other}: choose another")
        new.add(item.name)
    if mistakes:
        raise ConfigError(few_lines(mistakes))


def _fitting_datasets(
    configs: Configs, documents: dict[str, Document]
) -> tuple[dict[str, Experiment], list[Mistake]]:
    """The experiments that fit to their datasets, and what is wrong with the others, by file."""
    fitting: dict[str, Experiment] = {}
    wrong: dict[Path, tuple[list[str], list[str]]] = {}
    for name, experiment in configs.experiments.items():
        found = _against_datasets(experiment, configs)
        if not found:
            fitting[name] = experiment
            continue
        document = documents[name]
        lines, names = wrong.setdefault(document.path, ([], []))
        lines += [f"{document.at(*key.split('.'))}: {text}" for key, text in found]
        names.append(name)
    return fitting, [
        Mistake(path=path, message=few_lines(list(dict.fromkeys(lines))), names=tuple(names))
        for path, (lines, names) in wrong.items()
    ]


def _against_datasets(experiment: Experiment, configs: Configs) -> list[tuple[str, str]]:
    """What does not fit to the dataset: the dotted key to look at, and what is wrong."""
    dataset = configs.datasets.get(experiment.dataset)
    if dataset is None:
        if configs.left_out(experiment.dataset, "datasets"):
            text = f"dataset `{experiment.dataset}` was left out because of a mistake in its file: mend that"
            return [("dataset", text)]
        return [("dataset", unknown("configs/datasets has no", experiment.dataset, configs.datasets))]
    mistakes = []
    sizes = ARCHITECTURES[experiment.architecture.name].sizes
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
    return mistakes + _idle_guards(experiment, labelled=dataset.labelled)


def _idle_guards(experiment: Experiment, *, labelled: bool) -> list[tuple[str, str]]:
    from gan_core.training.guards import never_found  # which imports the configuration

    found = never_found(experiment, labelled=labelled, total_images=experiment.length.images)
    return [("stop_on", text) for text in found.values()]


def trial_maker(configs: Configs, name: str) -> TrialMaker:
    """Makes the trials of the sweep of this name, for who has read the configurations. Raises
    `ConfigError`."""
    sweep = configs.sweep(name)
    document = Document(configs.files[f"experiments/{sweep.base}"])
    return _maker(configs, sweep, document)


def _maker(configs: Configs, sweep: Sweep, document: Document) -> TrialMaker:
    base = configs.experiment(sweep.base)
    return TrialMaker(sweep, base, configs.datasets[base.dataset], document, configs.grid_point(base.name))


def _with_sweeps(folder: Path, configs: Configs, documents: dict[str, Document]) -> Configs:
    """With the sweeps whose trials can be experiments, and with those trials that are chosen."""
    mistakes: list[Mistake] = []
    sweeps: dict[str, Sweep] = {}
    update: dict[str, dict] = {
        "experiments": dict(configs.experiments),
        "files": dict(configs.files),
        "grid_keys": dict(configs.grid_keys),
        "sweep_of": {},
    }
    for name, (sweep, document) in _load_folder(folder / "sweeps", _sweeps_of, mistakes).items():
        try:
            maker = _checked_maker(configs, sweep, document, documents)
            path = trials_path(folder, name)
            trials = _trials_of(maker, path)
        except ConfigError as error:
            mistakes.append(Mistake(path=document.path, message=str(error), names=(name, f"{name}-trial-*")))
            continue
        sweeps[name] = sweep
        update["files"][f"sweeps/{name}"] = document.path
        update["sweep_of"] |= dict.fromkeys([*sweep.trial_names, *(item.name for item in trials)], name)
        update["experiments"] |= {item.name: item for item in trials}
        update["files"] |= {f"experiments/{item.name}": path for item in trials}
        update["grid_keys"] |= {item.name: tuple(sweep.space) for item in trials}
    mistakes += _orphans(folder, sweeps, mistakes)
    update["experiments"] = dict(sorted(update["experiments"].items()))
    return configs.model_copy(update={**update, "sweeps": sweeps, "mistakes": (*configs.mistakes, *mistakes)})


def _checked_maker(
    configs: Configs, sweep: Sweep, document: Document, documents: dict[str, Document]
) -> TrialMaker:
    """Raises `ConfigError` where the base is not there, or a corner of the space is no experiment."""
    try:
        configs.experiment(sweep.base)
    except ConfigError as error:
        first = str(error).splitlines()[0].rstrip(":")
        raise ConfigError(f"{document.at('base')}: {first}") from error
    taken = [name for name in sweep.trial_names if name in configs.experiments]
    if taken:
        raise ConfigError(
            f"{document.at('name')}: an experiment is called `{taken[0]}`, as a trial would be: choose "
            "another name"
        )
    lines = [f"{document.at('space', key)}: {text}" for key, text in _not_searched(sweep)]
    maker = _maker(configs, sweep, documents[sweep.base])
    measured = chosen_metrics(maker.dataset.evaluation.metrics)
    if not any(sweep.figure in metric.figures for metric in measured.values()):
        lines.append(
            f"{document.at('figure')}: `{sweep.figure}` is not measured on dataset `{maker.dataset.name}`: "
            "name its metric in evaluation.metrics there, or choose another figure"
        )
    for values in sweep.corners() if not lines else ():
        try:
            corner = maker.make(sweep.trial_name(0), values, document)
        except ConfigError as error:
            lines += str(error).splitlines()
        else:
            found = _against_datasets(corner, configs)
            lines += [f"{document.at(*key.split('.'))}: {text}" for key, text in found]
    if lines:
        raise ConfigError(few_lines(list(dict.fromkeys(lines))))
    return maker


def _not_searched(sweep: Sweep) -> list[tuple[str, str]]:
    """The keys that no sweep varies, and why."""
    watching = dict.fromkeys(("checkpoint_every", "keep_checkpoints", "sample_every"), "it changes nothing")
    by_fid = dict.fromkeys(
        ("evaluate_every", "evaluation_samples"), "the in-training FIDs of trials do not compare then"
    )
    refused = NOT_SEARCHED | watching | by_fid
    return [(key, f"a sweep does not vary `{key}`: {refused[key]}") for key in sweep.space if key in refused]


def _trials_of(maker: TrialMaker, path: Path) -> list[Experiment]:
    """Those that are chosen. Raises `ConfigError`."""
    chosen = chosen_values(maker, path)
    told_at = Document(path) if chosen else None
    names = map(maker.sweep.trial_name, range(len(chosen)))
    return [maker.make(name, values, told_at) for name, values in zip(names, chosen, strict=True)]


def _orphans(folder: Path, sweeps: Mapping[str, Sweep], mistakes: list[Mistake]) -> list[Mistake]:
    """Files of trials whose sweep is gone."""
    found: list[Mistake] = []
    known = {*sweeps, *(name for mistake in mistakes for name in mistake.names)}
    for path in _yaml_files(folder / TRIALS, found):
        if path.stem not in known:
            text = (
                f"{shown(path)}: there is no sweep `{path.stem}`: remove this file, or bring the sweep back"
            )
            found.append(Mistake(path=path, message=text))
    return found


def _load_questions(folder: Path, configs: Configs) -> tuple[dict[str, Question], list[Mistake]]:
    """The questions whose experiments are there, and what is wrong with the others."""
    mistakes: list[Mistake] = []
    fitting: dict[str, Question] = {}
    for name, (question, document) in _load_folder(folder, _questions_of, mistakes).items():
        lines = []
        for place, pattern in question.unmatched(configs.experiments):
            lines.append(f"{document.at(*place)}: {_no_match(pattern, configs)}")
        chosen = [configs.experiments[item] for item in question.chosen(configs.experiments)]
        for key in question.unknown_keys(chosen) if not lines else ():
            known = {key for item in chosen for key in item.dotted()}
            where = document.at("along", question.along.index(key))
            lines.append(f"{where}: {unknown('no key of an experiment is named', key, known)}")
        if lines:
            mistakes.append(Mistake(path=document.path, message=few_lines(lines), names=(name,)))
        else:
            fitting[name] = question
    return fitting, mistakes


def _load_keep_policy(path: Path) -> tuple[KeepPolicy | None, list[Mistake]]:
    """What is kept of the store; None where the file is wrong."""
    if not path.exists():
        return KeepPolicy(), []
    try:
        document = Document(path, may_be_empty=True)
        return validated(KeepPolicy, document.data, document), []
    except ConfigError as error:
        return None, [Mistake(path=path, message=str(error))]


def _no_match(pattern: str, configs: Configs) -> str:
    if configs.left_out(pattern):
        return f"the experiments of `{pattern}` were left out: mend their file"
    return unknown("no experiment matches", pattern, configs.experiments)


def _load_schedules(folder: Path, configs: Configs) -> tuple[dict[str, RunSchedule], list[Mistake]]:
    """The schedules, each for those of its experiments that are there."""
    mistakes: list[Mistake] = []
    found = _load_folder(folder / "schedules", _schedules_of, mistakes)
    tags = {tag for item in configs.experiments.values() for tag in item.tags}
    for schedule, document in found.values():
        lines = [
            f"{document.at('experiments', i)}: {_no_match(pattern, configs)}"
            for i, pattern in enumerate(schedule.experiments)
            if not fnmatch.filter(configs.experiments, pattern)
        ]
        lines += [
            f"{document.at('tags', i)}: {unknown('no experiment has the tag', tag, tags)}"
            for i, tag in enumerate(schedule.tags)
            if tag not in tags
        ]
        if lines:
            mistakes.append(Mistake(path=document.path, message=few_lines(lines)))
    old = folder / "nightly.yaml"
    if old.exists():
        message = (
            f"{shown(old)}: is not read any more: move it to schedules/nightly.yaml, with the lines "
            "`name: nightly` and `does: train`"
        )
        mistakes.append(Mistake(path=old, message=message))
    return {name: schedule for name, (schedule, _) in found.items()}, mistakes


def _load_notifications(path: Path) -> tuple[Notifications, list[Mistake]]:
    if not path.exists():
        return Notifications(), []
    try:
        document = Document(path, may_be_empty=True)
        return validated(Notifications, document.data, document), []
    except ConfigError as error:
        return Notifications(), [Mistake(path=path, message=str(error))]
