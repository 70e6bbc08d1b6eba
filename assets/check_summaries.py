"""One result of a check for all partitions of its asset: it fails as long as one of them does.

Dagster's own partitioned checks contradict themselves: the graph and the list of checks show whether any
partition fails, the asset's overview what was found of the one that ran last. A check here has no partitions.
Whoever looks at one partition repeats what was found of the others, so that every page shows the same.
"""

import contextlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.storage.asset_check_execution_record import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
)

if TYPE_CHECKING:
    from assets.factory import StepRun

TABLE, LOOKED_AT = "by_partition", "looked_at"
PASSED, WARNING, FAILED = "passed", "warning", "failed"
ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
COLUMNS = ("partition", "result", "found")
NOTHING = "nothing: the step did not end"
SHOWN_NAMES = 5
AT_ONCE = 20  # more steps of one asset than ever run beside each other
Row = Mapping[str, str]


def summarised(run: "StepRun", check: str, result: dg.AssetCheckResult) -> dg.AssetCheckResult:
    """The result of `check` over all partitions, after what was found of this run's."""
    if run.declaration.partitions is None:
        return _named(check, result)
    outcome = PASSED if result.passed else FAILED if result.severity is ERROR else WARNING
    row = {"partition": run.partition, "result": outcome, "found": result.description or ""}
    rows = {**_found_before(run, check), run.partition: row}
    return _verdict(check, rows.values(), {LOOKED_AT: run.partition, **result.metadata})


def still_judged(run: "StepRun") -> None:
    """Of a step that failed or was interrupted, its checks repeat what was found before: there is nothing new
    to look at, and Dagster would show them as failed or skipped."""
    for look in run.declaration.checks if run.declaration.partitions else ():
        with contextlib.suppress(Exception):  # why the step ended is what counts
            _repeat(run, look.__name__)


def judged(run: "StepRun") -> None:
    """The checks of a step that made nothing because of what they found."""
    for look in run.declaration.checks:
        with contextlib.suppress(Exception):  # as above
            _record(run, look.__name__, summarised(run, look.__name__, look(run, None)))


def _repeat(run: "StepRun", check: str) -> None:
    if rows := _found_before(run, check):
        _record(run, check, _verdict(check, rows.values(), {LOOKED_AT: NOTHING}))


def _record(run: "StepRun", check: str, found: dg.AssetCheckResult) -> None:
    run.context.log_event(
        dg.AssetCheckEvaluation(
            asset_key=run.context.asset_key,
            check_name=check,
            passed=found.passed,
            severity=found.severity,
            description=found.description,
            metadata=found.metadata,
        )
    )


def _named(check: str, result: dg.AssetCheckResult) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=check,
        passed=result.passed,
        severity=result.severity,
        description=result.description,
        metadata=result.metadata,
    )


def _verdict(check: str, rows: Iterable[Row], metadata: Mapping[str, object]) -> dg.AssetCheckResult:
    order = {FAILED: 0, WARNING: 1, PASSED: 2}
    rows = sorted(rows, key=lambda row: (order[row["result"]], row["partition"]))
    bad = [row["partition"] for row in rows if row["result"] != PASSED]
    return dg.AssetCheckResult(
        check_name=check,
        passed=not bad,
        severity=ERROR if any(row["result"] == FAILED for row in rows) else WARN,
        description=_in_words(bad, len(rows)),
        metadata={
            TABLE: dg.MetadataValue.table(
                [dg.TableRecord(dict(row)) for row in rows],
                schema=dg.TableSchema([dg.TableColumn(column) for column in COLUMNS]),
            ),
            **metadata,
        },
    )


def _in_words(bad: list[str], count: int) -> str:
    if not bad:
        return f"all {count:,} pass" if count > 1 else "passes"
    more = f" and {len(bad) - SHOWN_NAMES:,} more" if len(bad) > SHOWN_NAMES else ""
    return f"{len(bad):,} of {count:,} do not pass: {', '.join(bad[:SHOWN_NAMES])}{more}"


def _found_before(run: "StepRun", check: str) -> dict[str, Row]:
    """What was found of each partition that is still configured.

    Steps that ran beside each other did not see each other's result: what each of the last ones found of its
    own partition counts, on top of what the first of them knew of the others.
    """
    records = run.context.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(run.context.asset_key, check),
        limit=AT_ONCE,
        status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
    )
    found: dict[str, Row] = {}
    for record in reversed(records):
        rows = _rows(record.evaluation)
        own = record.evaluation.metadata[LOOKED_AT].value if rows else ""
        found |= {name: row for name, row in rows.items() if name not in found or name == own}
    there = getattr(run.configs, run.declaration.partitions)
    return {name: row for name, row in found.items() if name in there}


def _rows(evaluation: dg.AssetCheckEvaluation) -> dict[str, Row]:
    """By partition; nothing of one from before there were summaries."""
    table = evaluation.metadata.get(TABLE)
    return {record.data["partition"]: dict(record.data) for record in table.records} if table else {}
