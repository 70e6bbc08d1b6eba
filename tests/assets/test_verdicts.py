"""What Dagster shows of a training's verdict: its metadata, its check, and what it says while it runs."""

import base64
import io
import re
from types import SimpleNamespace

import dagster as dg
import pandas
import pytest
import torch
from PIL import Image

from assets.graph import evaluation as evaluation_module
from assets.graph import trained_gan
from assets.observation import observation, observe
from gan_core.store import Manifest
from pipelines.backfill import backfill
from tests.gan_core.report.conftest import (
    MODE_COLLAPSE,
    STAGNATION,
    Workshop,
    evaluations,
    training_history,
)
from tests.report_pages import whole_report
from tests.small_project import EXPERIMENT


@pytest.fixture
def workshop(project) -> Workshop:
    return Workshop(project.store)


def check_training(project) -> dg.AssetCheckResult:
    """The check `training_is_healthy` of the training that is in the store."""
    manifest = project.store.require("trained_gan", "plain")
    return trained_gan.training_is_healthy(SimpleNamespace(store=project.store), manifest)


def check_evaluation(evaluation: Manifest, trained: Manifest | None) -> dg.AssetCheckResult:
    """The check `better_than_untrained` of an evaluation of this training."""
    store = SimpleNamespace(current=lambda asset, partition: trained)
    return evaluation_module.better_than_untrained(
        SimpleNamespace(store=store, partition="plain"), evaluation
    )


def test_a_healthy_training_passes_its_check(project, workshop):
    workshop.train(project.configs.experiments["plain"])
    evaluation = check_training(project)
    assert evaluation.passed
    assert evaluation.metadata["verdict"].value == "healthy"


def test_a_training_of_one_step_is_called_healthy_nowhere(project):
    """A real one, from its first step to leaderboard, report and checks."""
    project.write({**EXPERIMENT, "length": {"images": EXPERIMENT["batch_size"]}})
    result = backfill(project.definitions, project.configs, project.instance, ["plain"])
    assert result.succeeded == ["plain"]
    trained = project.store.current("trained_gan", "plain")
    evaluation = project.store.current("evaluation", "plain")
    assert evaluation.figures["fid"] > 0.9 * evaluation.figures["fid_untrained"]
    table = pandas.read_csv(project.folder / "store" / "leaderboard" / "leaderboard.csv")
    verdict = table["verdict"][0]  # noise of one kind is called so, too
    assert verdict.endswith("no better than untrained")
    assert "healthy" not in verdict and "far from real" not in verdict
    page = whole_report(project.store)
    shown = re.findall(r'<span class="verdict (\w+)">([^<]+)</span>', page)
    assert shown and all(level == "warned" and verdict.startswith(text) for level, text in shown)

    # The training says that it is far from real; its evaluation, that nothing was learned.
    before = check_training(project)
    assert not before.passed
    assert "far from real" in before.metadata["verdict"].value
    assert "that the untrained generator has" in before.metadata["findings"].value
    after = check_evaluation(evaluation, trained)
    assert not after.passed and after.severity == dg.AssetCheckSeverity.WARN
    assert after.metadata["verdict"].value == verdict
    assert "below 50% of it" in after.metadata["findings"].value


def test_what_was_not_compared_with_the_untrained_generator_passes(workshop, project):
    experiment = project.configs.experiments["plain"]
    trained, _, evaluation = workshop.whole(experiment, fid_untrained=None)
    assert check_evaluation(evaluation, trained).passed
    assert check_evaluation(evaluation, None).metadata["verdict"].value == "unknown"


def test_findings_are_a_warning_with_their_sentences(project, workshop):
    workshop.train(
        project.configs.experiments["plain"], found=[MODE_COLLAPSE, STAGNATION], stopped_by="stagnation"
    )
    evaluation = check_training(project)
    assert not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.WARN
    assert evaluation.metadata["verdict"].value == "mode collapse, stagnation (stopped)"
    told = evaluation.metadata["findings"].value
    assert MODE_COLLAPSE["text"] in told and "publish: best" in told


def test_a_training_without_a_verdict_is_not_called_healthy(project, workshop):
    workshop.train_before_guards(project.configs.experiments["plain"])
    evaluation = check_training(project)
    assert not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.WARN
    assert evaluation.metadata["verdict"].value == "unknown"
    assert "Train it again" in evaluation.metadata["findings"].value


def test_the_metadata_of_a_training_hold_verdict_findings_and_curves(project, workshop):
    found = {"found": [MODE_COLLAPSE], "stopped_by": "mode_collapse"}
    manifest = workshop.train(project.configs.experiments["plain"], **found)
    run = SimpleNamespace(store=project.store, configs=project.configs, partition="plain")
    metadata = trained_gan.shown(run, manifest)
    assert "batch_size: 50" in metadata["configuration"].value
    assert metadata["verdict"] == "mode collapse (stopped)"
    assert MODE_COLLAPSE["text"] in metadata["findings"].value
    assert "data:image/svg+xml," in metadata["curves"].value
    for picture in ("all_curves", "samples_over_time"):
        assert "data:image/png;base64," in metadata[picture].value


class Watcher:
    """A context that keeps what is logged."""

    asset_key, partition_key = dg.AssetKey("trained_gan"), "plain"

    def __init__(self):
        self.seen: list[dg.AssetObservation] = []

    def log_event(self, event: dg.AssetObservation) -> None:
        self.seen.append(event)


def snapshot(history, evaluated, warnings) -> SimpleNamespace:
    return SimpleNamespace(
        images_seen=640,
        total_images=1000,
        losses={"d_loss": 1.25, "g_loss": 0.5},
        images_per_second=100.0,
        seconds_left=3.6,
        samples=torch.zeros(8, 1, 16, 16, dtype=torch.uint8),
        history=history,
        evaluations=evaluated,
        warnings=warnings,
    )


def test_a_running_training_shows_its_evaluations_and_warnings():
    watcher = Watcher()
    history, evaluated = (table.to_dict("records") for table in (training_history(), evaluations()))
    observe(
        watcher,
        observation(snapshot(history, evaluated, ["mode collapse: G draws `few` images", "stagnation: so"])),
    )
    metadata = watcher.seen[0].metadata
    assert metadata["warnings"].value == "- mode collapse: G draws \\`few\\` images\n- stagnation: so"
    assert metadata["fid_in_training"].value == 43.75
    assert metadata["diversity"].value == 0.97
    assert list(metadata)[:3] == ["samples", "curves", "time_left"]
    assert metadata["time_left"].value == "0:03 left: 640 of 1,000 images (64%), 100 a second"
    for at_once, large in (("samples", "all_samples"), ("curves", "all_curves")):
        assert len(metadata[at_once].value) < 1_000 and "data:image/svg+xml," in metadata[at_once].value
        assert "data:image/png;base64," in metadata[large].value
    content = base64.b64decode(metadata["all_samples"].value.split("base64,")[1].rstrip(")"))
    assert Image.open(io.BytesIO(content)).size[0] >= 8 * 64


def test_a_training_that_has_just_begun_shows_what_there_is():
    watcher = Watcher()
    observe(watcher, observation(snapshot([], [], [])))
    metadata = watcher.seen[0].metadata
    assert metadata["warnings"].value == "none"
    assert metadata["d_loss"].value == 1.25
    assert not {"curves", "all_curves", "fid_in_training"} & set(metadata)
