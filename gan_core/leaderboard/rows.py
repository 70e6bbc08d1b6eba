"""The rows of the leaderboard's table of seeds: what is known of one evaluated experiment, or of samples from
elsewhere."""

import json
from dataclasses import dataclass, field
from typing import Any

from gan_core.config import Experiment, config_changes, recorded_experiment
from gan_core.errors import ConfigError, DamagedError, EvaluationError
from gan_core.evaluation.figures import figure_of
from gan_core.evaluation.judging.impostors import JUDGED_BY, is_judged
from gan_core.evaluation.judging.verdicts import demoted_for, demotion, findings_of_evaluation
from gan_core.evaluation.metrics import METRICS
from gan_core.leaderboard.training_figures import IN_TABLES
from gan_core.leaderboard.verdicts import verdict_text
from gan_core.objectives import objective_name
from gan_core.store import Manifest, Store

EXTERNAL = "external"


@dataclass(frozen=True)
class Entry:
    """One row of the table of seeds.

    `values`: by column. `group`: what it shares with the other seeds of its configuration. `demotion`: how
    far it ranks below what nothing speaks against (0 to 2). `notes`: what has to stand beside it. `spaces`:
    its Fréchet distance by every extractor beside the first. `evaluation`: where its evidence is.
    """

    values: dict[str, Any]
    group: str
    demotion: int = 0
    notes: tuple[str, ...] = ()
    spaces: dict[str, float] = field(default_factory=dict)
    evaluation: Manifest | None = None

    @property
    def name(self) -> str:
        return self.values["experiment"]


def evaluated_training(store: Store, evaluation: Manifest, latest: Manifest | None) -> Manifest | None:
    """The training whose samples were evaluated, or the latest where the store no longer knows."""
    samples_fingerprint = evaluation.inputs.get("samples")
    if samples_fingerprint is None:
        return latest
    samples = store.read_manifest("samples", evaluation.partition, samples_fingerprint)
    fingerprint = samples and samples.inputs.get("trained_gan")
    if not fingerprint or (latest and latest.fingerprint == fingerprint):
        return latest
    return store.read_manifest("trained_gan", evaluation.partition, fingerprint)


def _is_the_evaluated_one(store: Store, evaluation: Manifest, trained: Manifest) -> bool:
    """Whether `trained` still is what was evaluated: made again with `force`, it takes the place of it."""
    samples_fingerprint = evaluation.inputs.get("samples")
    if samples_fingerprint is None:
        return True
    samples = store.read_manifest("samples", evaluation.partition, samples_fingerprint)
    if samples is None:
        return True
    return store.is_made_from(evaluation, samples=samples) and store.is_made_from(
        samples, trained_gan=trained
    )


def staleness(
    store: Store,
    experiment: Experiment,
    evaluation: Manifest,
    evaluated: Manifest | None,
    latest: Manifest | None,
) -> str | None:
    """Why a row is not what the experiment would give today, or None."""
    if evaluated is None:
        return "the training that was evaluated is no longer in the store: train it again"
    changes = config_changes(evaluated.config, experiment)
    if changes:
        return f"the configuration has changed since ({'; '.join(changes)}): train it again"
    if latest and latest.fingerprint != evaluated.fingerprint:
        return "trained again since: draw its samples and evaluate them again"
    try:
        shards = store.current("image_shards", experiment.dataset)
    except DamagedError as error:  # the row is of another artefact, which is whole
        return str(error)
    if not store.is_made_from(evaluated, image_shards=shards):
        return "the shards of its dataset have changed since: train it again"
    samples = store.current("samples", experiment.name)
    if samples and not (
        store.is_made_from(samples, trained_gan=latest) and store.is_made_from(evaluation, samples=samples)
    ):
        return "trained or sampled again since: draw its samples and evaluate them again"
    return None


def entry_of(store: Store, experiment: Experiment, trained: Manifest | None, evaluation: Manifest) -> Entry:
    """The row of an experiment; `trained` is the training that was evaluated, None where it is gone.

    An evaluation that states no protocol is an `EvaluationError`.
    """
    config = trained.config if trained else experiment.training_config()
    known = trained if trained and _is_the_evaluated_one(store, evaluation, trained) else None
    values = {
        "experiment": experiment.name,
        "dataset": config["dataset"],
        "architecture": config["architecture"]["name"],
        "objective": objective_name(config["objective"]),
        "conditioning": config["conditioning"]["name"],
        "tags": " ".join(experiment.tags),
        "seed": int(config["seed"]),
        "verdict": verdict_text(known, evaluation),
        **_measured(evaluation),
        **{name: figure_of(known, name) for name in IN_TABLES},
    }
    return _entry(values, _group(trained, experiment), evaluation)


def entry_of_external(evaluation: Manifest) -> Entry:
    """The row of samples from elsewhere, which were trained by nobody that we know."""
    values = {
        "experiment": evaluation.partition,
        "dataset": evaluation.config["dataset"],
        "architecture": EXTERNAL,
        "objective": EXTERNAL,
        "conditioning": EXTERNAL,
        "tags": "",
        "seed": None,
        "verdict": verdict_text(None, evaluation),
        **_measured(evaluation),
        **dict.fromkeys(IN_TABLES),
    }
    described = evaluation.config.get("description")
    whose = f"samples from elsewhere: {described}" if described else "samples from elsewhere"
    return _entry(values, f"{EXTERNAL} {evaluation.partition}", evaluation, whose)


def _entry(values: dict[str, Any], group: str, evaluation: Manifest, *notes: str) -> Entry:
    level = demotion(evaluation)
    why = [finding["text"] for finding in findings_of_evaluation(evaluation)] if level else []
    if not is_judged(evaluation.figures):
        judges = ", ".join(JUDGED_BY)
        why.append(f"not judged: {judges} were not all measured; choose them among the metrics, and evaluate")
    warnings = evaluation.details.get("warnings", [])
    values = {**values, "demotion": level, "demoted_for": demoted_for(evaluation)}
    return Entry(values, group, level, (*notes, *why, *warnings), _spaces(evaluation), evaluation)


def _measured(evaluation: Manifest) -> dict[str, Any]:
    protocol = evaluation.details.get("protocol")
    if not protocol or not isinstance(protocol, str):
        raise EvaluationError(
            f"{evaluation.asset}/{evaluation.partition} ({evaluation.fingerprint[:12]}) states no protocol, "
            "so its figures compare with nothing: evaluate it again with force"
        )
    figures = [figure for metric in METRICS.values() for figure in metric.all_figures]
    return {**{figure: figure_of(evaluation, figure) for figure in figures}, "protocol": protocol}


def _spaces(evaluation: Manifest) -> dict[str, float]:
    """The FID by every extractor beside the first, by its name."""
    extractors = list(evaluation.details.get("extractors", {}).items())[1:]
    found = {name: values.get("fid") for name, values in extractors}
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


def _group(trained: Manifest | None, experiment: Experiment) -> str:
    """What seeds of one configuration share: everything that decides the training but the seed."""
    if trained is None:
        return f"experiment {experiment.name}"
    try:
        identity = recorded_experiment(trained.config, trained.partition).training_identity()
    except ConfigError:  # of another version: it compares with no other seed
        return f"experiment {experiment.name}"
    identity.pop("seed", None)
    shared = [identity, dict(trained.inputs), trained.code_version]
    return json.dumps(shared, sort_keys=True)
