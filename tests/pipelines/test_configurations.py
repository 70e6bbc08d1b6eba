"""A wrong configuration file among good ones: what loads, and where a user sees what was left out."""

import json
import logging

import dagster as dg
import pytest

from gan_core.config import load_configs
from gan_core.config.loading import Mistake
from pipelines.definitions import build_definitions
from tests.pipelines.dev_server import ask, dev_server, wait_for
from tests.small_project import DATASET, EXPERIMENT, write_config

GRID = {**EXPERIMENT, "name": "sweep", "grid": {"batch_size": [20, 50], "seed": [3]}}
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


def evaluation_in(result: dg.SensorResult) -> dg.AssetCheckEvaluation:
    (found,) = (event for event in result.asset_events if isinstance(event, dg.AssetCheckEvaluation))
    return found


def described_in(result: dg.SensorResult | dg.SkipReason) -> dict[tuple[str, str], dict]:
    """The metadata of the observations, by asset and partition."""
    events = result.asset_events if isinstance(result, dg.SensorResult) else []
    return {
        (event.asset_key.to_user_string(), event.partition): dict(event.metadata)
        for event in events
        if isinstance(event, dg.AssetObservation)
    }


def test_a_mistake_is_in_the_log_and_a_failed_check(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        definitions = build_definitions(with_a_mistake(tmp_path))
    assert f"left out: {MESSAGE}" in caplog.messages
    result = look(definitions)
    evaluation = evaluation_in(result)
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
    after = look(build_definitions(configs(tmp_path)), before.cursor)
    assert len(after.asset_events) == 1  # the partitions are as they were
    evaluation = evaluation_in(after)
    assert evaluation.passed


def test_a_wrong_schedule_is_a_mistake_like_another(tmp_path):
    (tmp_path / "configs" / "schedules").mkdir(parents=True)
    wrong = "name: nightly\ndoes: train\ncron: garbage\nexperiments: [plain]\n"
    (tmp_path / "configs" / "schedules" / "nightly.yaml").write_text(wrong)
    definitions = build_definitions(configs(tmp_path))
    evaluation = evaluation_in(look(definitions))
    assert "nightly.yaml:3: cron is `garbage`" in evaluation.metadata["left_out"].value
    assert not definitions.schedules


def test_a_wrong_policy_for_the_store_is_a_mistake_like_another(tmp_path):
    configs(tmp_path)
    (tmp_path / "configs" / "store.yaml").write_text("keep: {days: soon}\n")
    definitions = build_definitions(load_configs(tmp_path / "configs"))
    evaluation = evaluation_in(look(definitions))
    assert not evaluation.passed
    assert "store.yaml:1: `keep.days` is 'soon'" in evaluation.metadata["left_out"].value


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


def test_each_partition_is_described_once_for_each_configuration(tmp_path):
    write_config(tmp_path / "configs", {**GRID, "description": "from ftp://me:geheim@example.org/"})
    first = look(build_definitions(configs(tmp_path)))
    described = described_in(first)
    assert set(described) == {
        ("raw_images", "few-digits"),
        ("trained_gan", "plain"),
        ("trained_gan", "sweep-batch-size-20-seed-3"),
        ("trained_gan", "sweep-batch-size-50-seed-3"),
    }
    point = described["trained_gan", "sweep-batch-size-20-seed-3"]
    tags = {"dataset": "few-digits", "architecture": "dcgan", "objective": "non_saturating"}
    tags |= {"seed": "3", "batch_size": "20"}
    assert {name: point[name].value for name in tags} == tags
    assert "batch_size: 20" in point["configuration"].value and "n_critic" not in point["configuration"].value
    assert "n_critic: 1" in point["configuration_in_full"].value
    assert point["file"].value.endswith("sweep.yaml")
    assert "geheim" not in str(point)
    assert described_in(look(build_definitions(configs(tmp_path)), first.cursor)) == {}

    write_config(tmp_path / "configs", {**GRID, "n_critic": 2})
    again = described_in(look(build_definitions(configs(tmp_path)), first.cursor))
    assert {partition for _, partition in again} == {
        "sweep-batch-size-20-seed-3",
        "sweep-batch-size-50-seed-3",
    }


def test_many_partitions_are_described_in_several_looks(tmp_path):
    write_config(tmp_path / "configs", {**EXPERIMENT, "name": "many", "grid": {"seed": list(range(108))}})
    definitions = build_definitions(configs(tmp_path))  # with few-digits and plain
    first = look(definitions)
    second = look(definitions, first.cursor)
    assert [len(described_in(result)) for result in (first, second)] == [100, 10]
    assert not set(described_in(first)) & set(described_in(second))
    assert isinstance(look(definitions, second.cursor), dg.SkipReason)


def test_a_cursor_from_before_the_descriptions_describes_all(tmp_path):
    assert len(described_in(look(build_definitions(configs(tmp_path)), "0123abcd"))) == 2


def test_a_table_shows_what_sets_each_experiment_apart(tmp_path):
    write_config(tmp_path / "configs", GRID)
    spec = build_definitions(configs(tmp_path)).resolve_asset_graph().get(dg.AssetKey("configurations"))
    lines = [line.split("|") for line in spec.metadata["experiments"].value.splitlines()]
    rows = {cells[1].strip(): [cell.strip() for cell in cells[2:]] for cells in lines}
    assert rows["sweep-batch-size-20-seed-3"][:2] == ["batch\\_size 20, seed 3", "few-digits"]
    assert rows["plain"][:3] == ["", "few-digits", "dcgan"]


def test_a_run_of_a_job_carries_the_tags_of_its_partition(tmp_path):
    write_config(tmp_path / "configs", GRID)
    job = build_definitions(configs(tmp_path)).resolve_job_def("run_experiment")
    tags = job.get_tags_for_partition_key("sweep-batch-size-20-seed-3", selected_asset_keys=None)
    assert (tags["batch_size"], tags["dataset"]) == ("20", "few-digits")
    assert tags["dagster/partition"] == "sweep-batch-size-20-seed-3"


@pytest.mark.slow
def test_the_ui_shows_what_was_left_out(tmp_path):
    for content in (DATASET, EXPERIMENT):
        write_config(tmp_path / "configs", content)
    wrong = tmp_path / "configs" / "experiments" / "wrong.yaml"
    wrong.write_text("name: wrong\ndataset: few-digits\nlenght: {images: 5}\n")
    schedule = {"name": "nightly", "does": "train", "cron": "0 2 * * *", "experiments": ["no-such"]}
    (tmp_path / "configs" / "schedules").mkdir()
    (tmp_path / "configs" / "schedules" / "nightly.yaml").write_text(json.dumps(schedule))

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
