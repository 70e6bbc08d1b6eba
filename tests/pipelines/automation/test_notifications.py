"""The sensor that tells: each cause once, with what one has to know, and nothing of what is no news."""

import datetime
import time
from types import SimpleNamespace

import dagster as dg
import pytest

from assets.check_summaries import summarised
from gan_core.errors import ConfigError, StoreError
from pipelines.automation import notifications as sensor_module
from pipelines.automation.pruning import prune_config, prune_history
from pipelines.automation.rounds import SETTLE_SECONDS, tags_of_round
from tests.notification_servers import web_receiver
from tests.pipelines.automation.bench import NIGHTLY, TICK

FAILURE, STARTED = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED
OF_TICK = tags_of_round("nightly", TICK)
UI = "http://dagster.example.org"
NAMES = ["other", "plain"]


class Desk:
    """The sensor on one instance, telling a web server."""

    def __init__(self, bench, instance, receiver):
        self.bench, self.instance, self.receiver = bench, instance, receiver
        self.started = None

    def look(self) -> list[dict]:
        """What one look of it tells."""
        before = len(self.receiver.received)
        self.message = self._tick().skip_message
        return [body for body, _ in self.receiver.received[before:]]

    def _tick(self):
        context = dg.build_sensor_context(self.instance, last_sensor_start_time=self.started)
        return self.bench.definitions.resolve_sensor_def("notifications")(context)


@pytest.fixture
def desk(bench, instance, monkeypatch):
    with web_receiver() as receiver:
        monkeypatch.setenv("GAN_WEBHOOK_URL", receiver.url)
        bench.notify(ui=UI, webhook={"url": "GAN_WEBHOOK_URL"})
        desk = Desk(bench, instance, receiver)
        assert desk.look() == []
        yield desk


def training(
    verdict: str = "healthy", version: str = "1", finite: bool = True, error: Exception | None = None
):
    """A stand-in for the asset of that name, whose checks are summarised as those of the real one."""

    @dg.asset(
        name="trained_gan",
        partitions_def=dg.StaticPartitionsDefinition(NAMES),
        check_specs=[
            dg.AssetCheckSpec(name, asset="trained_gan") for name in ("finite_losses", "training_is_healthy")
        ],
    )
    def body(context: dg.AssetExecutionContext):
        context.log_event(
            dg.AssetObservation("trained_gan", partition=context.partition_key, metadata={"images_seen": 500})
        )
        if error is not None:
            raise error
        run = SimpleNamespace(
            declaration=SimpleNamespace(partitions="experiments"),
            partition=context.partition_key,
            configs=SimpleNamespace(experiments=dict.fromkeys(NAMES)),
            context=SimpleNamespace(instance=context.instance, asset_key=dg.AssetKey("trained_gan")),
        )
        looked = [
            summarised(
                run,
                "training_is_healthy",
                dg.AssetCheckResult(
                    passed=verdict == "healthy",
                    severity=dg.AssetCheckSeverity.WARN,
                    description=verdict,
                    metadata={"findings": dg.MetadataValue.md(f"- It has \\`{verdict}\\`.")},
                ),
            ),
            summarised(
                run,
                "finite_losses",
                dg.AssetCheckResult(passed=finite, description="3 of 9 rows are not finite"),
            ),
        ]
        return dg.MaterializeResult(
            data_version=dg.DataVersion(version), metadata={"images_seen": 1000}, check_results=looked
        )

    return body


def train(desk: Desk, partition: str = "plain", **settings) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [training(**settings)], instance=desk.instance, partition_key=partition, raise_on_error=False
    )


def test_a_run_that_failed_is_told_once_with_its_reason(desk):
    result = train(desk, error=ConfigError("first.yaml:3: wrong: mend it"))
    (told,) = desk.look()
    assert (told["kind"], told["subject"], told["title"]) == ("run_failed", "plain", "plain failed")
    assert told["reason"] == "trained_gan: first.yaml:3: wrong: mend it"
    assert told["figures"]["images_seen"] == 500 and "seconds" in told["figures"]
    assert told["link"] == f"{UI}/runs/{result.run_id}"
    assert desk.look() == []
    assert desk.message == "0 to tell, 0 delivered, 0 waiting"


def test_a_run_without_a_step_tells_how_it_ended(desk):
    run = desk.bench.run(desk.instance, "run_experiment", "plain", STARTED)
    desk.instance.report_run_failed(run, "The process of this run is gone without a word.")
    (told,) = desk.look()
    assert told["reason"] == "The process of this run is gone without a word."


def test_a_run_that_is_retried_is_told_when_it_fails_for_good(desk):
    run = desk.bench.run(desk.instance, "run_experiment", "plain", STARTED)
    desk.instance.add_run_tags(run.run_id, {"dagster/will_retry": "true"})
    desk.instance.report_run_failed(run)
    assert desk.look() == []
    desk.bench.run(desk.instance, "run_experiment", "plain", FAILURE)
    assert len(desk.look()) == 1


def test_what_succeeds_or_is_cancelled_is_no_news(desk):
    train(desk)
    desk.instance.report_run_canceled(desk.bench.run(desk.instance, "run_experiment", "plain", STARTED))
    assert desk.look() == []


def promotion(
    is_sound: bool = True, is_better: bool = True, reused: bool = False, error: Exception | None = None
):
    """A stand-in for the asset `champion`, whose checks block."""
    checks = {"better": is_better, "sound_samples": is_sound}

    @dg.asset(
        name="champion",
        partitions_def=dg.StaticPartitionsDefinition(["few-digits"]),
        check_specs=[dg.AssetCheckSpec(name, asset="champion", blocking=True) for name in checks],
    )
    def body(context: dg.AssetExecutionContext):
        run = SimpleNamespace(
            declaration=SimpleNamespace(partitions="datasets"),
            partition="few-digits",
            configs=SimpleNamespace(datasets=["few-digits"]),
            context=SimpleNamespace(instance=context.instance, asset_key=dg.AssetKey("champion")),
        )
        severities = {"better": dg.AssetCheckSeverity.WARN, "sound_samples": dg.AssetCheckSeverity.ERROR}
        looked = [
            summarised(
                run,
                name,
                dg.AssetCheckResult(
                    passed=passed, severity=severities[name], description=f"{name}: {passed}"
                ),
            )
            for name, passed in checks.items()
        ]
        if error is not None:
            for found in looked:
                context.log_event(
                    dg.AssetCheckEvaluation(
                        asset_key=dg.AssetKey("champion"),
                        check_name=found.check_name,
                        passed=found.passed,
                        severity=found.severity,
                        metadata=found.metadata,
                    )
                )
            raise error
        return dg.MaterializeResult(
            data_version=dg.DataVersion("1"),
            metadata={"experiment": "wide", "fid": 11.5, "reused": reused},
            check_results=looked,
        )

    return body


def promote(desk: Desk, **settings) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [promotion(**settings)], instance=desk.instance, partition_key="few-digits", raise_on_error=False
    )


def test_a_new_champion_is_told_once(desk):
    result = promote(desk)
    (told,) = desk.look()
    assert (told["kind"], told["subject"]) == ("champion_promoted", "few-digits")
    assert told["title"] == "few-digits: wide is the new champion" and told["reason"] == "better: True"
    assert told["figures"]["fid"] == 11.5 and told["link"] == f"{UI}/runs/{result.run_id}"
    promote(desk)
    assert desk.look() == []


def test_a_refused_challenger_is_told_as_its_check_alone_and_once(desk):
    for error in (None, ConfigError("few-digits has no champion")):
        assert not promote(desk, is_sound=False, reused=True, error=error).success
        told = desk.look()
        expected = [] if error else [("check_failed", "sound_samples: sound_samples: False")]
        assert [(one["kind"], one["reason"]) for one in told] == expected


def test_where_checks_are_not_told_the_run_that_failed_is(desk):
    desk.bench.notify(tell=["run_failed"], webhook={"url": "GAN_WEBHOOK_URL"})
    promote(desk, is_sound=False, reused=True)
    assert [told["kind"] for told in desk.look()] == ["run_failed"]


def test_that_a_challenger_is_not_better_is_no_news(desk):
    assert promote(desk, is_better=False, reused=True).success
    assert desk.look() == []


def test_a_guard_that_spoke_is_told_once_for_what_was_trained(desk):
    train(desk, verdict="mode collapse")
    (told,) = desk.look()
    assert (told["kind"], told["title"]) == ("guard_spoke", "plain: mode collapse")
    assert told["reason"] == "training_is_healthy: mode collapse\n- It has `mode collapse`."
    assert told["figures"] == {"images_seen": 1000}
    train(desk, verdict="mode collapse")  # reused, or made again with the same bytes
    train(desk, "other")  # whose checks repeat what was found of `plain`
    assert desk.look() == []
    train(desk, verdict="mode collapse", version="2")
    train(desk, "other", verdict="stagnation")
    assert [told["title"] for told in desk.look()] == ["plain: mode collapse", "other: stagnation"]


def test_one_cause_that_two_checks_see_is_told_once(desk):
    train(desk, verdict="not finite (stopped)", finite=False)
    (told,) = desk.look()
    assert told["kind"] == "guard_spoke"
    assert "finite_losses: 3 of 9 rows are not finite" in told["reason"]


def test_a_check_that_did_not_pass_is_told_again_after_it_did(desk):
    for finite, told in ((False, 1), (False, 0), (True, 0), (False, 1)):
        train(desk, finite=finite)
        found = desk.look()
        assert [one["kind"] for one in found] == ["check_failed"] * told
    assert found[0]["title"] == "plain: finite_losses did not pass"


def test_a_schedule_is_told_when_its_last_run_has_ended(desk, monkeypatch):
    desk.bench.write("schedules", NIGHTLY)
    desk.bench.run(desk.instance, "prepare_dataset", "few-digits", **OF_TICK)
    assert desk.look() == []  # its experiments are still to come
    desk.bench.run(desk.instance, "run_experiment", "plain", **OF_TICK)
    run = desk.bench.run(desk.instance, "run_experiment", "other", STARTED, **OF_TICK)
    assert desk.look() == []
    desk.instance.report_runless_asset_event(
        dg.AssetMaterialization("evaluation", partition="plain", metadata={"fid": 12.5})
    )
    desk.instance.report_run_failed(run)
    failed, ended = desk.look()
    assert failed["kind"] == "run_failed"
    assert (ended["kind"], ended["subject"]) == ("schedule_ended", "nightly")
    assert ended["title"] == f"nightly of {TICK} ended with failures"
    assert ended["reason"] == "2 of 3 runs succeeded\nother: failed"
    assert ended["figures"] == {"fid of plain": 12.5}
    assert ended["link"].startswith(f"{UI}/runs?q[0]=tag%3Agan-pipelines")
    assert desk.look() == []


def test_a_schedule_whose_experiments_do_not_come_has_ended_some_time(desk, monkeypatch):
    desk.bench.write("schedules", NIGHTLY)
    desk.bench.run(desk.instance, "prepare_dataset", "few-digits", **OF_TICK)
    assert desk.look() == []
    later = time.time() + SETTLE_SECONDS + 60
    monkeypatch.setattr(sensor_module.time, "time", lambda: later)
    (ended,) = desk.look()
    assert "not begun: other, plain" in ended["reason"]


def test_pruning_is_told_of_only_when_it_fails(desk):
    desk.bench.write(
        "schedules", {"name": "prune", "does": "prune", "cron": "0 4 * * *", "older_than": "30d"}
    )
    result = prune_history.execute_in_process(
        instance=desk.instance,
        run_config=prune_config(datetime.timedelta(days=30)),
        tags=tags_of_round("prune", TICK),
    )
    assert result.success and desk.look() == []


def test_a_wrong_configuration_file_is_told_until_it_is_mended(desk):
    desk.bench.write("experiments", {"name": "wrong", "dataset": "few-digits", "lenght": 1})
    (told,) = desk.look()
    assert told["kind"] == "check_failed" and "wrong.yaml:1: unknown key `lenght`" in told["reason"]
    assert told["link"] == f"{UI}/assets/configurations?view=checks"
    assert desk.look() == []
    (desk.bench.folder / "configs" / "experiments" / "wrong.yaml").unlink()
    desk.bench.loaded = None
    assert desk.look() == []
    desk.bench.write("experiments", {"name": "wrong", "dataset": "few-digits", "lenght": 1})
    assert len(desk.look()) == 1


def test_what_cannot_be_delivered_is_told_at_a_later_look(desk, monkeypatch, caplog):
    train(desk, error=ConfigError("no"))
    desk.receiver.answers = [500, 200]
    assert len(desk.look()) == 1 and desk.message == "1 to tell, 0 delivered, 1 waiting"
    assert "webhook: not delivered, will be tried again: plain failed: 127.0.0.1 answered 500" in caplog.text
    assert desk.look() == []  # not yet
    later = time.time() + 60
    monkeypatch.setattr(time, "time", lambda: later)
    desk.look()
    assert desk.message == "0 to tell, 1 delivered, 0 waiting"


def test_another_daemon_goes_on_where_the_first_one_stopped(desk):
    """All that is remembered is in Dagster's database."""
    train(desk, error=ConfigError("no"))
    desk.receiver.answers = [500]
    desk.look()
    with dg.DagsterInstance.from_ref(desk.instance.get_ref()) as other:
        again = Desk(desk.bench, other, desk.receiver)
        again.look()
        assert again.message == "0 to tell, 0 delivered, 1 waiting"


def test_what_was_before_it_was_switched_on_is_no_news(desk):
    train(desk, error=ConfigError("no"))
    desk.started = time.time() + 1
    assert desk.look() == []
    desk.started = None
    assert desk.look() == []


def test_only_what_is_to_be_told_is_told(desk):
    desk.bench.notify(tell=["guard_spoke"], webhook={"url": "GAN_WEBHOOK_URL"})
    train(desk, error=ConfigError("no"))
    train(desk, verdict="stagnation")
    assert [told["kind"] for told in desk.look()] == ["guard_spoke"]


def test_it_is_off_and_says_what_it_lacks(bench, instance, monkeypatch):
    sensor = bench.definitions.resolve_sensor_def("notifications")
    assert sensor.default_status == dg.DefaultSensorStatus.STOPPED
    assert "has no webhook" in sensor(dg.build_sensor_context(instance)).skip_message
    monkeypatch.delenv("GAN_WEBHOOK_URL", raising=False)
    bench.notify(webhook={"url": "GAN_WEBHOOK_URL"})
    spec = bench.definitions.resolve_asset_graph().get(dg.AssetKey("configurations"))
    assert "notifications.yaml: `webhook.url` names GAN_WEBHOOK_URL" in spec.metadata["left_out"].value


def test_a_damaged_ledger_is_no_empty_one(desk):
    desk.instance.daemon_cursor_storage.set_cursor_values({sensor_module.LEDGER: "{"})
    with pytest.raises(StoreError, match="damaged.*remove the key `gan-pipelines/notifications`"):
        desk.look()
