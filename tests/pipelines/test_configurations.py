"""A wrong configuration file among good ones: what loads, and where a user sees what was left out."""

import logging

import dagster as dg
import pytest

from gan_core.config import Nightly, load_configs
from gan_core.config.loading import Mistake
from pipelines.definitions import build_definitions
from tests.pipelines.dev_server import ask, dev_server, wait_for
from tests.small_project import DATASET, EXPERIMENT, write_config

MESSAGE = "configs/experiments/wrong.yaml:3: unknown key `lenght`: it is `length`"


def configs(tmp_path, **changes):
    for content in (DATASET, EXPERIMENT):
        write_config(tmp_path / "configs", content)
    return load_configs(tmp_path / "configs").model_copy(update=changes)


def with_a_mistake(tmp_path):
    return configs(tmp_path, mistakes=(Mistake(path="wrong.yaml", message=MESSAGE),))


def look(definitions: dg.Definitions, cursor: str | None = None) -> dg.SensorResult | dg.SkipReason:
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance, cursor=cursor)
        return definitions.resolve_sensor_def("configurations")(context)


def test_a_mistake_is_in_the_log_and_a_failed_check(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        definitions = build_definitions(with_a_mistake(tmp_path))
    assert f"left out: {MESSAGE}" in caplog.messages
    result = look(definitions)
    (evaluation,) = result.asset_events
    assert (evaluation.asset_key, evaluation.check_name) == (
        dg.AssetKey("configurations"),
        "configurations_valid",
    )
    assert not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.ERROR
    assert MESSAGE in evaluation.metadata["left_out"].value
    again = look(definitions, result.cursor)
    assert isinstance(again, dg.SkipReason) and "as before" in again.skip_message

    spec = definitions.resolve_asset_graph().get(dg.AssetKey("configurations"))
    assert MESSAGE in spec.metadata["left_out"].value
    partitions = definitions.resolve_asset_graph().get(dg.AssetKey("trained_gan")).partitions_def
    assert partitions.get_partition_keys() == ["plain"]


def test_the_check_can_be_run_by_hand(tmp_path):
    job = build_definitions(with_a_mistake(tmp_path)).resolve_implicit_global_asset_job_def()
    key = dg.AssetCheckKey(dg.AssetKey("configurations"), "configurations_valid")
    run = job.get_subset(asset_selection=set(), asset_check_selection={key}).execute_in_process()
    assert [evaluation.passed for evaluation in run.get_asset_check_evaluations()] == [False]


def test_mended_files_make_the_check_pass(tmp_path):
    before = look(build_definitions(with_a_mistake(tmp_path)))
    (evaluation,) = look(build_definitions(configs(tmp_path)), before.cursor).asset_events
    assert evaluation.passed


def test_a_wrong_nightly_list_is_a_mistake_like_another(tmp_path):
    definitions = build_definitions(configs(tmp_path, nightly=Nightly(cron="garbage")))
    (evaluation,) = look(definitions).asset_events
    assert "nightly.yaml: cron is `garbage`" in evaluation.metadata["left_out"].value
    assert not definitions.schedules


def test_definitions_load_without_a_single_dataset(tmp_path):
    for folder in ("datasets", "experiments"):
        (tmp_path / "configs" / folder).mkdir(parents=True)
    build_definitions(load_configs(tmp_path / "configs")).get_repository_def()


QUERY = """{
  workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename } } } }
  trained: assetNodeOrError(assetKey: {path: ["trained_gan"]}) { ... on AssetNode { partitionKeys } }
  assetNodeOrError(assetKey: {path: ["configurations"]}) { ... on AssetNode {
    assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization {
      status evaluation { severity metadataEntries { ... on MarkdownMetadataEntry { mdStr } } } } } } } } }
}"""


@pytest.mark.slow
def test_the_ui_shows_what_was_left_out(tmp_path):
    for content in (DATASET, EXPERIMENT):
        write_config(tmp_path / "configs", content)
    wrong = tmp_path / "configs" / "experiments" / "wrong.yaml"
    wrong.write_text("name: wrong\ndataset: few-digits\nlenght: {images: 5}\n")
    (tmp_path / "configs" / "nightly.yaml").write_text('cron: "0 2 * * *"\nexperiments: [no-such]\n')

    def check(address: str) -> tuple[dict, dict] | None:
        data = ask(address, QUERY)
        (found,) = data["assetNodeOrError"]["assetChecksOrError"]["checks"]
        execution = found["executionForLatestMaterialization"]
        return execution and (data, execution)

    with dev_server(tmp_path, GAN_CONFIGS=str(tmp_path / "configs")) as (address, log):
        data, execution = wait_for(lambda: check(address), "the check was not evaluated", log)
    (location,) = data["workspaceOrError"]["locationEntries"]
    assert location["locationOrLoadError"]["__typename"] == "RepositoryLocation"
    assert data["trained"]["partitionKeys"] == ["plain"]
    assert execution["status"] == "FAILED" and execution["evaluation"]["severity"] == "ERROR"
    (told,) = (entry["mdStr"] for entry in execution["evaluation"]["metadataEntries"] if entry)
    assert "wrong.yaml:3" in told and "lenght" in told and "no-such" in told
    said = log.read_text()
    assert "wrong.yaml:3" in said
    for noise in ("SupersessionWarning", "Found a dagster instance", "No cursor for", "skipped", "tick"):
        assert noise not in said
