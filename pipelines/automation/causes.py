"""What a run that has ended has to tell: notifications, made of what Dagster recorded of it."""

import hashlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.storage.dagster_run import RunRecord
from dagster._core.storage.tags import PARTITION_NAME_TAG, WILL_RETRY_TAG

from assets.check_summaries import FAILED, LOOKED_AT, NOTHING, PASSED, TABLE, WARNING
from assets.graph.champion import better, champion
from assets.graph.trained_gan import training_is_healthy
from gan_core.config import Configs
from gan_core.notifying import Notification
from pipelines.automation.rounds import TICK_TAG, Round, read_round
from pipelines.reasons import reasons

EventType = dg.DagsterEventType
# Of what was measured, what is shown; the first ones say most.
FIGURES = ("fid", "fid_untrained", "recall", "coverage", "images_seen", "total_images", "images_per_second")
MOST_NAMES = 20
CHAMPION = champion.__name__
ESCAPE = re.compile(r"\\([^\w\s])")


@dataclass(frozen=True)
class Looked:
    """What a check found of one partition (None: of an asset that has none) of an artefact's `version`.

    `result`: `passed`, `warning` or `failed`."""

    asset: str
    partition: str | None
    check: str
    result: str
    found: str
    version: str
    evaluation: dg.AssetCheckEvaluation

    @property
    def passed(self) -> bool:
        return self.result == PASSED

    @property
    def is_news(self) -> bool:
        """That a challenger is not better than the champion is an ordinary day."""
        return not self.passed and (self.asset, self.check) != (CHAMPION, better.__name__)

    @property
    def is_failure(self) -> bool:
        return self.result == FAILED and self.is_news

    @property
    def about(self) -> str:
        """How each cause of this check begins."""
        return f"check:{self.asset}/{self.partition}/{self.check}/"

    @property
    def cause(self) -> str:
        digest = hashlib.sha256(self.found.encode()).hexdigest()[:16]
        return f"{self.about}{self.version}/{digest}"


class Teller:
    """Makes the notifications of one instance; links lead to the UI at `ui`, if one is named."""

    def __init__(self, instance: dg.DagsterInstance, configs: Configs):
        self.instance, self.configs, self.ui = instance, configs, configs.notifications.ui

    def failure(self, record: RunRecord, looks: list[Looked]) -> Notification | None:
        """Of a run that failed; None of one that ended otherwise, that is going to be retried, or that only
        failed because of what `looks` say, which is told."""
        run = record.dagster_run
        if run.status != dg.DagsterRunStatus.FAILURE or run.tags.get(WILL_RETRY_TAG) == "true":
            return None
        steps = [entry.dagster_event for entry in self._log(run, EventType.STEP_FAILURE)]
        if steps and {step.step_key for step in steps} <= {look.asset for look in looks if look.is_failure}:
            return None
        ends = [entry.user_message or entry.message for entry in self._log(run, EventType.RUN_FAILURE)]
        observed = [
            entry.dagster_event.asset_observation_data.asset_observation.metadata
            for entry in self._log(run, EventType.ASSET_OBSERVATION)[-1:]
        ]
        subject = _subject(run)
        return Notification(
            kind="run_failed",
            causes=(f"run:{run.run_id}",),
            subject=subject,
            title=f"{subject} failed",
            reason="\n".join(reasons(steps) or ends[-1:]),
            figures=_figures(*observed) | _duration(record),
            link=self._run_link(run),
            at=record.end_time or time.time(),
        )

    def looks(self, run: dg.DagsterRun) -> list[Looked]:
        """What the checks of a run found, each of the partition that it looked at; what they repeat of others
        is no news."""
        versions = {
            (item.asset_key.to_user_string(), item.partition): _version(item) for item in self._made(run)
        }
        found = []
        for entry in self._log(run, EventType.ASSET_CHECK_EVALUATION):
            evaluation = entry.dagster_event.asset_check_evaluation_data
            partition, result, words = _own_row(evaluation)
            if partition == NOTHING:
                continue
            asset = evaluation.asset_key.to_user_string()
            version = versions.get((asset, partition)) or self._current_version(asset, partition)
            found.append(Looked(asset, partition, evaluation.check_name, result, words, version, evaluation))
        return found

    def spoken(self, record: RunRecord, looks: list[Looked]) -> Iterator[Notification]:
        """One for each artefact that checks did not pass, as far as `looks` say so."""
        bad: dict[tuple[str, str | None], list[Looked]] = {}
        for look in looks:
            if look.is_news:
                bad.setdefault((look.asset, look.partition), []).append(look)
        for (asset, partition), found in bad.items():
            yield self._bad_checks(record, partition or asset, found)

    def _bad_checks(self, record: RunRecord, subject: str, bad: list[Looked]) -> Notification:
        names = [look.check for look in bad]
        guard = training_is_healthy.__name__ in names
        lines = [f"{look.check}: {look.found}" for look in bad]
        lines += [_findings(look.evaluation) for look in bad]
        words = next((look.found for look in bad if look.check == training_is_healthy.__name__), "")
        return Notification(
            kind="guard_spoke" if guard else "check_failed",
            causes=tuple(look.cause for look in bad),
            subject=subject,
            title=f"{subject}: {words if guard else ', '.join(names) + ' did not pass'}",
            reason="\n".join(line for line in lines if line),
            figures=_figures(*(look.evaluation.metadata for look in bad), self._metadata(bad[0])),
            link=self._run_link(record.dagster_run),
            at=record.end_time or time.time(),
        )

    def promotions(self, record: RunRecord, looks: list[Looked]) -> Iterator[Notification]:
        """One for each champion that a run has promoted."""
        for made in self._made(record.dagster_run):
            if made.asset_key.to_user_string() != CHAMPION or made.metadata["reused"].value:
                continue
            found = (look.found for look in looks if look.check == better.__name__)
            yield Notification(
                kind="champion_promoted",
                causes=(f"champion:{made.partition}/{_version(made)}",),
                subject=made.partition,
                title=f"{made.partition}: {made.metadata['experiment'].value} is the new champion",
                reason="\n".join(found),
                figures=_figures(made.metadata),
                link=self._run_link(record.dagster_run),
                at=record.end_time or time.time(),
            )

    def round(self, schedule: str, tick: str) -> tuple[Round, Notification]:
        """A tick of a schedule, and what to tell once it has ended."""
        found = read_round(self.instance, self.configs, schedule, tick)
        failed = {name: found.runs[name].dagster_run for name in found.failed}
        lines = [f"{len(found.succeeded):,} of {len(found.runs):,} runs succeeded"]
        lines += [f"{name}: {self._why(run)}" for name, run in list(failed.items())[:MOST_NAMES]]
        if found.waited_for:
            lines.append(f"not begun: {', '.join(found.waited_for[:MOST_NAMES])}")
        good = not failed and not found.waited_for
        return found, Notification(
            kind="schedule_ended",
            causes=(f"round:{schedule}/{tick}",),
            subject=schedule,
            title=f"{schedule} of {tick} {'succeeded' if good else 'ended with failures'}",
            reason="\n".join(lines),
            figures=self._figures_of_round(found),
            link=f"{self.ui}/runs?q[0]={quote(f'tag:{TICK_TAG}={tick}')}" if self.ui else "",
            at=found.ended_at,
        )

    def _figures_of_round(self, found: Round) -> dict[str, float | int | str]:
        """The FIDs of the experiments that succeeded, the best first."""
        fids = {}
        for name in found.succeeded:
            if name in self.configs.experiments and (metadata := self._newest("evaluation", name)):
                fids |= {f"fid of {name}": value for value in _figures(metadata, only=("fid",)).values()}
        best = sorted(fids.items(), key=lambda item: (isinstance(item[1], str), item[1]))
        return dict(best[:MOST_NAMES])

    def _why(self, run: dg.DagsterRun) -> str:
        if run.status == dg.DagsterRunStatus.CANCELED:
            return "cancelled"
        steps = [entry.dagster_event for entry in self._log(run, EventType.STEP_FAILURE)]
        return "; ".join(reasons(steps)) or "failed"

    def _made(self, run: dg.DagsterRun) -> list[dg.AssetMaterialization]:
        entries = self._log(run, EventType.ASSET_MATERIALIZATION)
        return [entry.dagster_event.step_materialization_data.materialization for entry in entries]

    def _current_version(self, asset: str, partition: str | None) -> str:
        record = self._record(asset, partition)
        return ((record and record.asset_materialization.tags) or {}).get(DATA_VERSION_TAG, "")

    def _metadata(self, look: Looked) -> dict:
        return self._newest(look.asset, look.partition) or {}

    def _newest(self, asset: str, partition: str | None) -> dict | None:
        record = self._record(asset, partition)
        return record and dict(record.asset_materialization.metadata)

    def _record(self, asset: str, partition: str | None) -> dg.EventLogRecord | None:
        partitions = None if partition is None else [partition]
        wanted = dg.AssetRecordsFilter(dg.AssetKey.from_user_string(asset), asset_partitions=partitions)
        records = self.instance.fetch_materializations(wanted, limit=1).records
        return records[0] if records else None

    def _log(self, run: dg.DagsterRun, kind: EventType) -> list[dg.EventLogEntry]:
        return list(self.instance.all_logs(run.run_id, of_type=kind))

    def _run_link(self, run: dg.DagsterRun) -> str:
        return f"{self.ui}/runs/{run.run_id}" if self.ui else ""


def _subject(run: dg.DagsterRun) -> str:
    return run.tags.get(PARTITION_NAME_TAG, run.job_name)


def _version(made: dg.AssetMaterialization) -> str:
    return (made.tags or {}).get(DATA_VERSION_TAG, "")


def _own_row(evaluation: dg.AssetCheckEvaluation) -> tuple[str | None, str, str]:
    """(partition, result, what was found) of what an evaluation looked at, among what it repeats."""
    table, looked_at = evaluation.metadata.get(TABLE), evaluation.metadata.get(LOOKED_AT)
    if table is None or looked_at is None:
        bad = FAILED if evaluation.severity is dg.AssetCheckSeverity.ERROR else WARNING
        return None, PASSED if evaluation.passed else bad, evaluation.description or "did not pass"
    rows = {record.data["partition"]: record.data for record in table.records}
    row = rows.get(looked_at.value)
    return looked_at.value, row["result"] if row else PASSED, row["found"] if row else ""


def _findings(evaluation: dg.AssetCheckEvaluation) -> str:
    """What the guards say in full, without the escapes of Markdown."""
    told = evaluation.metadata.get("findings")
    return ESCAPE.sub(r"\1", told.value) if told and told.value else ""


def _figures(*metadata, only: tuple[str, ...] = FIGURES) -> dict[str, float | int | str]:
    """The first number that there is of each name."""
    found = {}
    for name in only:
        values = (one[name].value for one in metadata if name in one)
        value = next((value for value in values if isinstance(value, int | float)), None)
        if value is not None:
            found[name] = value
    return found


def _duration(record: RunRecord) -> dict[str, int]:
    if not (record.start_time and record.end_time):
        return {}
    return {"seconds": round(record.end_time - record.start_time)}
