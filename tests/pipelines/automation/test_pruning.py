"""What is removed of Dagster's records, and what stays although it is as old."""

import datetime
from pathlib import Path

import dagster as dg

from pipelines.__main__ import main
from pipelines.automation.pruning import OP, PRUNE_JOB, prune, prune_config, prune_history

NOW, DAY = datetime.timedelta(0), datetime.timedelta(days=1)
PARTITIONS = dg.StaticPartitionsDefinition(["a", "b"])


@dg.asset(partitions_def=PARTITIONS, check_specs=[dg.AssetCheckSpec("good", asset="thing")])
def thing(context: dg.AssetExecutionContext):
    context.log_event(dg.AssetObservation("thing", partition=context.partition_key, metadata={"seen": 1}))
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(check_name="good", passed=False)])


def make(instance: dg.DagsterInstance, partition: str) -> str:
    return dg.materialize([thing], instance=instance, partition_key=partition).run_id


def shard(instance: dg.DagsterInstance, run_id: str) -> Path:
    return Path(instance.event_log_storage.path_for_shard(run_id))


def observations(instance: dg.DagsterInstance) -> int:
    return len(instance.fetch_observations(dg.AssetKey("thing"), limit=100).records)


def test_old_runs_go_and_the_newest_of_each_partition_stays(instance):
    old, newest, other = make(instance, "a"), make(instance, "a"), make(instance, "b")
    assert shard(instance, old).exists() and observations(instance) == 3
    assert prune(instance, DAY).text == "0 runs"
    assert prune(instance, NOW, dry_run=True).removed == 1 and instance.get_run_by_id(old)
    assert prune(instance, NOW).text == "1 runs; 2 as old stay, as they made what assets are today"
    assert not instance.get_run_by_id(old) and not shard(instance, old).exists()
    assert {run.run_id for run in instance.get_runs()} == {newest, other}
    assert instance.get_materialized_partitions(dg.AssetKey("thing")) == {"a", "b"}
    assert observations(instance) == 0
    record = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey("thing"), "good"), limit=10
    )[0]
    assert record.evaluation is not None and not record.evaluation.passed
    assert prune(instance, NOW).removed == 0


def test_what_has_not_ended_stays(instance):
    run = instance.create_run_for_job(
        prune_history, run_config=prune_config(NOW), status=dg.DagsterRunStatus.STARTED
    )
    assert prune(instance, NOW).removed == 0 and instance.get_run_by_id(run.run_id)


def test_nothing_is_asked_for_again_after_it(instance):
    @dg.asset(partitions_def=PARTITIONS, automation_condition=dg.AutomationCondition.on_missing())
    def followed():
        return 1

    definitions = dg.Definitions(assets=[followed])
    for partition in ("a", "b", "a"):
        dg.materialize([followed], instance=instance, partition_key=partition)
    first = dg.evaluate_automation_conditions(definitions, instance)
    assert prune(instance, NOW).removed == 1
    again = dg.evaluate_automation_conditions(definitions, instance, cursor=first.cursor)
    assert (first.total_requested, again.total_requested) == (0, 0)


def test_the_job_prunes(instance):
    old = make(instance, "a")
    make(instance, "a")
    result = prune_history.execute_in_process(instance=instance, run_config=prune_config(NOW))
    assert result.success and not instance.get_run_by_id(old)
    assert prune_history.name == PRUNE_JOB and OP in prune_config(DAY)["ops"]


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert main(["prune", "--older-than", "30d", "--dry-run"]) == 0
    assert capsys.readouterr().out == "would remove 0 runs\n"
    assert main(["prune", "--older-than", "old"]) == 2
    assert "--older-than `old` is not an age: write hours, days or weeks" in capsys.readouterr().err
