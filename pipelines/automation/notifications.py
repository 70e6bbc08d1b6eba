"""The sensor that tells what went wrong, or ended: each cause once, also over a restart of the daemon."""

import hashlib
import logging
import os
import time
from collections.abc import Sequence

import dagster as dg
from dagster._core.storage.dagster_run import RunRecord

from gan_core.config import Configs
from gan_core.errors import StoreError
from gan_core.notifying import Ledger, Notification
from pipelines.automation.causes import Teller
from pipelines.automation.rounds import round_of

logger = logging.getLogger("gan_pipelines")
LOOK_SECONDS = 30
AT_ONCE = 50  # runs of each end, a look: it must be over within a minute
LEDGER = "gan-pipelines/notifications"  # its key in Dagster's own table of cursors
ROUNDS = "rounds"
ENDS = (dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_CANCELED)
NOTHING_TO_TELL_TO = "configs/notifications.yaml has no webhook, slack or mail"


def notifications_sensor(configs: Configs, mistakes: Sequence[str]) -> dg.SensorDefinition:
    """`mistakes` are what is wrong with the configurations."""

    @dg.sensor(
        name="notifications",
        minimum_interval_seconds=LOOK_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=(
            "Tells by webhook, Slack or mail (configs/notifications.yaml) of runs that failed, guards that "
            "spoke, checks that did not pass, schedules whose runs have ended, and new champions. Each once."
        ),
    )
    def notifications(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        if not configs.notifications.channels:
            return dg.SkipReason(NOTHING_TO_TELL_TO)
        return dg.SkipReason(_look(context, configs, mistakes))

    return notifications


def _look(context: dg.SensorEvaluationContext, configs: Configs, mistakes: Sequence[str]) -> str:
    instance = context.instance
    ledger = _read(instance)
    book = _Book(ledger, configs)
    if ROUNDS not in ledger.position:  # what was before is no news
        ledger.position = {ROUNDS: [], **{kind.value: _newest(instance, kind) for kind in ENDS}}
    teller = Teller(instance, configs)
    for record in _ended(instance, ledger, context.last_sensor_start_time or 0):
        _enter(book, teller, record)
    _enter_rounds(book, teller)
    _enter_mistakes(book, mistakes)

    def save() -> None:
        instance.daemon_cursor_storage.set_cursor_values({LEDGER: ledger.written()})

    delivered = ledger.deliver(
        configs.notifications.channels, os.environ, save, logger.warning, clock=time.time
    )
    return f"{book.added:,} to tell, {delivered:,} delivered, {len(ledger.waiting):,} waiting"


class _Book:
    """The ledger, for the kinds that are to be told."""

    def __init__(self, ledger: Ledger, configs: Configs):
        self.ledger, self.added = ledger, 0
        settings = configs.notifications
        self.kinds, self.channels, self.ui = settings.tell, settings.channels, settings.ui

    def add(self, notification: Notification) -> None:
        if notification.kind in self.kinds:
            self.added += self.ledger.add(notification, self.channels, time.time())


def _read(instance: dg.DagsterInstance) -> Ledger:
    try:
        return Ledger.read(instance.daemon_cursor_storage.get_cursor_values({LEDGER}).get(LEDGER))
    except StoreError as error:
        raise StoreError(
            f"{error}: go on with that version, or remove the key `{LEDGER}` from the table `kvs` of "
            "Dagster's database"
        ) from error


def _newest(instance: dg.DagsterInstance, kind: dg.DagsterEventType) -> str:
    return instance.fetch_run_status_changes(kind, limit=1).cursor


def _ended(instance: dg.DagsterInstance, ledger: Ledger, since: float) -> list[RunRecord]:
    """The runs that have ended since the last look, and since the sensor was switched on."""
    found: dict[str, None] = {}
    for kind in ENDS:
        page = instance.fetch_run_status_changes(
            kind, limit=AT_ONCE, cursor=ledger.position[kind.value], ascending=True
        )
        ledger.position[kind.value] = page.cursor
        found |= dict.fromkeys(record.run_id for record in page.records if record.timestamp >= since)
    if not found:
        return []
    records = instance.get_run_records(dg.RunsFilter(run_ids=list(found)))
    return sorted(records, key=lambda record: record.create_timestamp)


def _enter(book: _Book, teller: Teller, record: RunRecord) -> None:
    looks = teller.looks(record.dagster_run)
    if failure := teller.failure(record, looks if "check_failed" in book.kinds else []):
        book.add(failure)
    for look in looks:
        if look.passed:
            book.ledger.forget(look.about)
    for notification in (*teller.spoken(record, looks), *teller.promotions(record, looks)):
        book.add(notification)
    found = round_of(record.dagster_run.tags)
    if found and list(found) not in book.ledger.position[ROUNDS]:
        book.ledger.position[ROUNDS].append(list(found))


def _enter_rounds(book: _Book, teller: Teller) -> None:
    """Of schedules, whose runs end one by one; what prunes only tells when it fails."""
    goes_on = []
    for schedule, tick in book.ledger.position[ROUNDS]:
        found, notification = teller.round(schedule, tick)
        if found.in_progress(time.time()):
            goes_on.append([schedule, tick])
            continue
        known = teller.configs.schedules.get(schedule)
        if found.runs and not (known and known.does == "prune"):
            book.add(notification)
    book.ledger.position[ROUNDS] = goes_on


def _enter_mistakes(book: _Book, mistakes: Sequence[str]) -> None:
    """What the check of the configurations says, which is looked at without a run."""
    beginning = "configurations:"
    if not mistakes:
        book.ledger.forget(beginning)
        return
    text = "\n".join(mistakes)
    book.add(
        Notification(
            kind="check_failed",
            causes=(beginning + hashlib.sha256(text.encode()).hexdigest(),),
            subject="configurations",
            title="a configuration file was left out",
            reason=text,
            link=f"{book.ui}/assets/configurations?view=checks" if book.ui else "",
            at=time.time(),
        )
    )
