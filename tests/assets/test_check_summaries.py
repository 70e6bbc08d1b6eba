"""A check has one result for all partitions of its asset: which is that, and what it remembers."""

from types import SimpleNamespace

import dagster as dg
import pytest

from assets.check_summaries import still_judged, summarised

ASSET = dg.AssetKey("painting")


def is_bright(run, manifest):
    """Not called here."""


class Gallery:
    """An asset with partitions, whose check is told what to find."""

    def __init__(self, instance: dg.DagsterInstance, *partitions: str):
        self.instance, self.partitions = instance, dict.fromkeys(partitions)
        self.runs = 0

    def run(self, partition: str) -> SimpleNamespace:
        context = SimpleNamespace(instance=self.instance, asset_key=ASSET, log_event=self.log)
        declaration = SimpleNamespace(partitions="paintings", checks=[is_bright])
        configs = SimpleNamespace(paintings=self.partitions)
        return SimpleNamespace(context=context, declaration=declaration, configs=configs, partition=partition)

    def find(self, partition: str, passed: bool, severity=dg.AssetCheckSeverity.WARN) -> dg.AssetCheckResult:
        """Look at one partition without recording it."""
        result = dg.AssetCheckResult(passed=passed, severity=severity, description=f"{partition} seen")
        return summarised(self.run(partition), "is_bright", result)

    def look(self, partition: str, passed: bool, **options) -> dg.AssetCheckResult:
        result = self.find(partition, passed, **options)
        self.record(result)
        return result

    def record(self, result: dg.AssetCheckResult) -> None:
        self.log(
            dg.AssetCheckEvaluation(
                asset_key=ASSET,
                check_name="is_bright",
                passed=result.passed,
                severity=result.severity,
                description=result.description,
                metadata=result.metadata,
            )
        )

    def log(self, event: dg.AssetCheckEvaluation) -> None:
        self.instance.report_runless_asset_event(event)

    @property
    def last(self) -> dg.AssetCheckEvaluation:
        key = dg.AssetCheckKey(ASSET, "is_bright")
        (record,) = self.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
        return record.evaluation


@pytest.fixture
def gallery():
    with dg.DagsterInstance.ephemeral() as instance:
        yield Gallery(instance, "dawn", "noon", "night")


def rows(result) -> list[tuple[str, str]]:
    table = result.metadata["by_partition"]
    return [(record.data["partition"], record.data["result"]) for record in table.records]


def test_one_partition_that_fails_is_not_hidden_by_another_that_passes(gallery):
    assert not gallery.look("night", False).passed
    after = gallery.look("noon", True)
    assert not after.passed and after.severity == dg.AssetCheckSeverity.WARN
    assert after.description == "1 of 2 do not pass: night"
    assert rows(after) == [("night", "warning"), ("noon", "passed")]


def test_an_error_weighs_more_than_a_warning(gallery):
    gallery.look("night", False)
    after = gallery.look("dawn", False, severity=dg.AssetCheckSeverity.ERROR)
    assert after.severity == dg.AssetCheckSeverity.ERROR
    assert rows(after) == [("dawn", "failed"), ("night", "warning")]
    assert not gallery.look("noon", True).passed


def test_a_failure_goes_when_its_partition_passes_or_is_no_longer_configured(gallery):
    gallery.look("night", False)
    gallery.look("dawn", False)
    assert gallery.look("night", True).description == "1 of 2 do not pass: dawn"
    del gallery.partitions["dawn"]
    after = gallery.look("noon", True)
    assert after.passed and after.description == "all 2 pass"


def test_steps_beside_each_other_lose_nothing(gallery):
    gallery.look("noon", True)
    beside = [gallery.find("night", False), gallery.find("dawn", True)]
    for result in beside:  # neither has seen the other's
        gallery.record(result)
    assert rows(gallery.look("noon", True)) == [("night", "warning"), ("dawn", "passed"), ("noon", "passed")]


def test_a_step_that_failed_leaves_the_check_as_it_was(gallery):
    still_judged(gallery.run("night"))
    key = dg.AssetCheckKey(ASSET, "is_bright")
    assert gallery.instance.event_log_storage.get_asset_check_execution_history(key, limit=1) == []
    before = gallery.look("dawn", False)
    still_judged(gallery.run("night"))
    assert gallery.last.description == before.description
    assert gallery.last.metadata["looked_at"].value == "nothing: the step did not end"
    assert rows(gallery.look("noon", True)) == [("dawn", "warning"), ("noon", "passed")]
