"""The step `analysis`: every way of looking at a trained GAN that applies to it, as one artefact."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gan_core import steps
from gan_core.analysis import ANALYSES, Findings, chosen_analyses
from gan_core.analysis.subject import Subject
from gan_core.config import Dataset, Experiment, require_same_configuration
from gan_core.errors import ConfigError
from gan_core.progress import format_seconds
from gan_core.store import Build, Manifest, Store

logger = logging.getLogger("gan_core")


def analyse_experiment(
    store: Store,
    experiment: Experiment,
    dataset: Dataset,
    trained: Manifest,
    shards: Manifest,
    classifier: Manifest,
    *,
    only: Iterable[str] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    force: bool = False,
    emit: Callable[[str], None] = logger.info,
) -> Manifest:
    """Look at a training by all analyses, or by those that `only` names.

    `settings`, by analysis, tell one what to look at: `{"arithmetic": {"a": [1, 2, 3], "b": ..., "c": ...}}`
    takes samples of these numbers. Files: the pictures (PNG, GIF) of each. Figures: those of all analyses,
    None where one does not apply. Details: `analyses`, by name: `protocol`, `table`, `pictures` (file names)
    and `choices`; `left_out`, by name: why one could not be made.

    Raises `ConfigError` for an unknown name, for one that `only` names and that cannot be made of this
    training, for settings of an analysis that is not made, and for a training of another configuration than
    today's."""
    only = None if only is None else list(only)
    settings = {name: dict(given) for name, given in (settings or {}).items()}
    chosen = chosen_analyses(only)
    _check(experiment, trained, settings, chosen)
    subject = Subject(store, dataset, trained, shards, classifier, emit, settings)
    left_out = {name: why for name, one in chosen.items() if (why := one.lacks(subject))}
    asked = [*(only or ()), *settings]
    for name in asked:
        if name in left_out:
            raise ConfigError(f"`{name}` cannot be made of {experiment.name}: {left_out[name]}")

    def build(work: Build) -> None:
        from gan_core.numerics import MEASURING

        work.figures = {figure: None for one in chosen.values() for figure in one.figures}
        work.details = {"analyses": {}, "left_out": left_out}
        made = [name for name in chosen if name not in left_out]
        for place, name in enumerate(made, start=1):
            emit(f"analysing {experiment.name}: {name} ({place} of {len(made)})")
            with MEASURING.applied():
                _record(work, name, chosen[name].look(subject))
        for name, why in left_out.items():
            emit(f"analysing {experiment.name}: no {name}: {why}")

    step = steps.analysis(experiment, dataset, trained, shards, classifier, only, settings)
    manifest = step.produce(store, build, force=force, emit=emit)
    if not manifest.reused:
        emit(f"analysed {experiment.name} in {format_seconds(manifest.seconds)}")
    return manifest


def _check(experiment: Experiment, trained: Manifest, settings: dict, chosen: dict) -> None:
    require_same_configuration(trained.config, experiment)
    for name, given in settings.items():
        if name not in chosen:
            raise ConfigError(
                f"settings for `{name}`, which is not among the analyses that are made: {', '.join(chosen)}"
            )
        unknown = set(given) - set(ANALYSES[name].settings)
        if unknown:
            raise ConfigError(f"`{name}` takes no setting `{sorted(unknown)[0]}`")


def _record(work: Build, name: str, found: Findings) -> None:
    for file, content in found.pictures.items():
        (work.folder / file).write_bytes(content)
    work.figures |= found.figures
    described = {
        "protocol": found.protocol,
        "table": found.table,
        "pictures": list(found.pictures),
        "choices": found.choices,
    }
    work.details["analyses"][name] = json.loads(json.dumps(described))
