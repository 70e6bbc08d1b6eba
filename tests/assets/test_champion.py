"""The asset `champion`, its checks, and the sensor that asks for it."""

import shutil

import dagster as dg
import pytest

from pipelines.definitions import build_definitions
from tests.champions import DATASET, forged, leaderboard_with, make_contenders, without_onnx
from tests.made_once import made_once
from tests.small_store import Project

GOOD, BETTER, LIKE_GOOD = (20.0, 21.0, 22.5), (10.0, 11.3, 12.1), (19.0, 22.0, 21.5)


@pytest.fixture(scope="module")
def contenders(tmp_path_factory) -> Project:
    return Project(made_once(tmp_path_factory, "contenders", make_contenders))


@pytest.fixture
def project(contenders, tmp_path, monkeypatch) -> Project:
    without_onnx(monkeypatch)
    monkeypatch.setenv("GAN_STORE", str(tmp_path / "project" / "store"))
    return Project(shutil.copytree(contenders.folder, tmp_path / "project"))


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def promote(project, instance, **options) -> dg.ExecuteInProcessResult:
    job = build_definitions(project.configs).resolve_job_def("promote_champion")
    return job.execute_in_process(
        instance=instance, partition_key=DATASET, raise_on_error=False, run_config=options
    )


def checks_of(result) -> dict[str, tuple[bool, dg.AssetCheckSeverity]]:
    return {
        found.check_name: (found.passed, found.severity) for found in result.get_asset_check_evaluations()
    }


def test_the_champion_is_shown_and_a_refused_challenger_is_a_failed_check(project, instance):
    leaderboard_with(project, plain=GOOD)
    result = promote(project, instance)
    assert result.success and all(passed for passed, _ in checks_of(result).values())
    (event,) = result.get_asset_materialization_events()
    shown = event.materialization.metadata
    champion = project.store.require("champion", DATASET)
    assert event.materialization.tags["dagster/data_version"] == champion.version
    assert shown["experiment"].value == "plain" and not shown["reused"].value
    assert shown["fid"].value == champion.figures["fid"]
    assert "data:image/png;base64," in shown["grid"].value

    leaderboard_with(project, plain=GOOD, wide=LIKE_GOOD)
    result = promote(project, instance)
    assert result.success and project.store.require("champion", DATASET) == champion
    found = checks_of(result)
    assert found.pop("better") == (False, dg.AssetCheckSeverity.WARN)  # as ever: the champion stays
    assert all(passed for passed, _ in found.values())

    forged(project, {"plain": {"fids": GOOD}, "wide": {"fids": BETTER, "verdict": "mode collapse"}})
    result = promote(project, instance)
    assert not result.success and project.store.require("champion", DATASET) == champion
    assert checks_of(result)["sound_samples"] == (False, dg.AssetCheckSeverity.ERROR)


def test_without_a_champion_the_step_fails_with_the_reason(project, instance):
    forged(project, {"plain": {"fids": GOOD, "verdict": "mode collapse"}})
    result = promote(project, instance)
    (failure,) = result.get_step_failure_events()
    told = failure.step_failure_data.error.message
    assert "few-digits has no champion: plain is refused by sound_samples: plain: mode collapse" in told
    # Dagster shows what its checks found, though it made nothing.
    found = {name: recorded(instance, name) for name in ("sound_samples", "better", "finite_weights")}
    assert [evaluation.passed for evaluation in found.values()] == [False, True, True]
    (row,) = found["sound_samples"].metadata["by_partition"].records
    assert (row.data["partition"], row.data["result"]) == (DATASET, "failed")
    assert "plain: mode collapse" in row.data["found"]


def recorded(instance, check: str) -> dg.AssetCheckEvaluation:
    key = dg.AssetCheckKey(dg.AssetKey("champion"), check)
    (record,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=9)
    return record.evaluation


def test_its_checks_block_and_nothing_is_promoted_without_a_click(project):
    definitions = build_definitions(project.configs)
    (asset,) = [item for item in definitions.assets if dg.AssetKey("champion") in getattr(item, "keys", ())]
    names = {"same_protocol", "better", "sound_samples", "finite_weights"}
    assert {spec.name for spec in asset.check_specs} == names
    assert all(spec.blocking for spec in asset.check_specs)
    assert asset.automation_conditions_by_key == {}
    sensor = definitions.resolve_sensor_def("promote_champions")
    assert sensor.default_status == dg.DefaultSensorStatus.STOPPED


def test_the_sensor_asks_once_for_each_dataset_that_has_a_row(project, instance):
    leaderboard = leaderboard_with(project, plain=GOOD)
    definitions = build_definitions(project.configs)
    sensor = definitions.resolve_sensor_def("promote_champions")

    def evaluate(cursor=None):
        with dg.build_sensor_context(
            instance=instance,
            cursor=cursor,
            repository_def=definitions.get_repository_def(),
            resources={"store": project.store},
        ) as context:
            return sensor.evaluate_tick(context)

    assert evaluate().run_requests == []
    tags = {"dagster/data_version": leaderboard.version}
    instance.report_runless_asset_event(dg.AssetMaterialization("leaderboard", tags=tags))
    found = evaluate()
    assert [(request.partition_key, request.run_key) for request in found.run_requests] == [
        (DATASET, f"{leaderboard.version}-{DATASET}")
    ]
    assert evaluate(found.cursor).run_requests == []
