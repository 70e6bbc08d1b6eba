"""Each cause is told once, whatever the receiver does and whenever the one who tells is killed."""

import json
import multiprocessing
import os
import re
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from gan_core.errors import StoreError
from gan_core.notifying import Ledger, Notification, ledger
from gan_core.notifying.channels import Slack, Webhook, posting
from tests.notification_servers import CUT, DRIP, HANG, web_receiver

NOW = 1_800_000_000.0
FAILED = Notification(
    kind="run_failed",
    causes=("run:1",),
    subject="demo-dcgan",
    title="demo-dcgan failed",
    reason="trained_gan: the loss is <nan> & more",
    at=NOW,
    figures={"fid": 12.3456, "images_seen": 1000, "diverged": float("nan")},
    link="http://127.0.0.1:3000/runs/1",
)
OTHER = replace(FAILED, causes=("run:2",), title="another")
CHANNELS = {"webhook": Webhook(url="WEB")}


class Telling:
    """A ledger that is saved as text, as often as it says."""

    def __init__(self, receiver, channels=None):
        self.environment = {"WEB": receiver.url, "SLACK": receiver.url}
        self.channels = channels or CHANNELS
        self.text: str | None = None
        self.said: list[str] = []
        self.now = NOW

    def add(self, *notifications: Notification) -> list[bool]:
        found = Ledger.read(self.text)
        added = [found.add(item, self.channels, self.now) for item in notifications]
        self.text = found.written()
        return added

    def deliver(self) -> int:
        found = Ledger.read(self.text)

        def save() -> None:
            self.text = found.written()

        return found.deliver(self.channels, self.environment, save, self.said.append, clock=lambda: self.now)


@pytest.fixture
def receiver():
    with web_receiver() as receiver:
        yield receiver


@pytest.fixture
def short_patience(monkeypatch):
    monkeypatch.setattr(posting, "SECONDS", 2.0)
    monkeypatch.setattr(ledger, "ATTEMPT_SECONDS", 6.0)


def test_a_cause_is_told_once(receiver):
    telling = Telling(receiver)
    assert telling.add(FAILED, OTHER) == [True, True]
    assert telling.deliver() == 2 and telling.deliver() == 0
    assert telling.add(FAILED) == [False] and telling.deliver() == 0
    both = replace(FAILED, causes=("run:1", "run:3"))
    assert telling.add(both) == [True] and telling.add(both) == [False]
    (body, key), *_ = receiver.received
    assert body["id"] == key == FAILED.id
    assert body["title"] == "demo-dcgan failed" and body["figures"]["fid"] == 12.3456
    assert body["figures"]["diverged"] == "nan"


def test_slack_gets_its_own_format(receiver):
    telling = Telling(receiver, {"slack": Slack(url="SLACK")})
    telling.add(FAILED)
    assert telling.deliver() == 1
    ((body, _),) = receiver.received
    assert body["text"] == "demo-dcgan failed"
    text = body["blocks"][0]["text"]["text"]
    assert "the loss is &lt;nan&gt; &amp; more" in text and "• fid: 12.35" in text
    assert "<http://127.0.0.1:3000/runs/1|Open in Dagster>" in text


@pytest.mark.parametrize(
    "answer, told",
    [
        (500, "127.0.0.1 answered 500"),
        (404, "127.0.0.1 answered 404"),
        ((302, {"Location": "http://127.0.0.1:1/"}), "answered 302"),
        (CUT, r"127.0.0.1 cannot be reached \(ConnectionError\)"),
        (HANG, "127.0.0.1 did not answer within 2 s"),
        (DRIP, "nothing was heard within 6 s"),
    ],
)
def test_what_does_not_arrive_is_said_and_tried_again(receiver, short_patience, answer, told):
    telling = Telling(receiver)
    telling.add(FAILED, OTHER)
    receiver.answers = [answer]
    assert telling.deliver() == 0
    assert len(receiver.received) == 1  # the other one would meet with the same
    (line,) = telling.said
    assert re.search(f"webhook: not delivered, will be tried again: demo-dcgan failed: .*{told}", line)
    assert "geheim" not in line
    receiver.answers = [200]
    telling.now += 30
    assert telling.deliver() == 2 and telling.deliver() == 0
    assert {body["id"] for body, _ in receiver.received} == {FAILED.id, OTHER.id}


def test_what_is_not_there_is_tried_again():
    with web_receiver() as gone:
        telling = Telling(gone)
    telling.add(FAILED)
    assert telling.deliver() == 0
    assert "127.0.0.1 cannot be reached" in telling.said[0] and "geheim" not in telling.said[0]


@pytest.mark.parametrize(
    "after, seconds",
    [("120", 120), ("999999", 3600), ("Fri, 15 Jan 2100 08:00:00 GMT", 3600), ("soon", 0), ("-1", 0)],
)
def test_a_pause_that_is_asked_for_is_kept_for_all(receiver, after, seconds):
    telling = Telling(receiver)
    telling.add(FAILED)
    receiver.answers = [(429, {"Retry-After": after}), 200]
    assert telling.deliver() == 0
    telling.add(OTHER)
    if seconds:
        telling.now = NOW + seconds - 1
        assert telling.deliver() == 0 and len(receiver.received) == 1
    telling.now = NOW + seconds + 30
    assert telling.deliver() == 2


def test_pauses_grow_and_end(receiver):
    telling = Telling(receiver)
    telling.add(FAILED)
    receiver.answers = [500]
    for _ in range(24 * 60 * 4):  # four days, each minute
        telling.deliver()
        telling.now += 60
    assert 70 < len(receiver.received) < 90  # an hour apart, at last
    assert telling.said[-1] == "given up for webhook: demo-dcgan failed"
    assert not Ledger.read(telling.text).waiting
    assert telling.add(FAILED) == [False]


def test_one_that_is_never_taken_does_not_keep_back_the_others(receiver):
    telling = Telling(receiver)
    telling.add(FAILED, OTHER)
    receiver.answers = [400, 200]
    telling.deliver()
    assert telling.deliver() == 1
    assert receiver.received[-1][0]["id"] == OTHER.id


def test_a_channel_that_fails_does_not_keep_back_the_other(receiver):
    with web_receiver() as failing:
        failing.answers = [500]
        telling = Telling(receiver, {"slack": Slack(url="BAD"), "webhook": Webhook(url="WEB")})
        telling.environment["BAD"] = failing.url
        telling.add(FAILED)
        assert telling.deliver() == 1 and len(receiver.received) == 1
        telling.now += 60
        failing.answers = [200]
        assert telling.deliver() == 1
        assert (len(failing.received), len(receiver.received)) == (2, 1)


def test_what_is_over_can_come_again(receiver):
    telling = Telling(receiver)
    telling.add(FAILED)
    found = Ledger.read(telling.text)
    found.forget("run:2")
    assert found.told
    found.forget("run:")
    telling.text = found.written()
    assert telling.add(FAILED) == [True]


def test_causes_are_remembered_as_long_as_they_are_seen(receiver):
    telling = Telling(receiver)
    telling.add(FAILED, OTHER)
    telling.deliver()
    telling.now += 60 * 86_400
    telling.add(FAILED)  # as each night that reuses the artefact does
    telling.now += 60 * 86_400
    telling.deliver()
    assert telling.add(FAILED, OTHER) == [False, True]


def test_a_channel_that_was_removed_is_not_waited_for(receiver):
    telling = Telling(receiver)
    telling.add(FAILED)
    telling.channels = {"slack": Slack(url="SLACK")}
    assert telling.deliver() == 0
    assert not Ledger.read(telling.text).waiting


@pytest.mark.parametrize("text", ["[]", "{}", '{"format": 2}', '{"format": 1, "what": 1}', "{"])
def test_another_text_is_no_ledger(text):
    with pytest.raises(StoreError, match="the ledger of notifications is damaged, or of another version"):
        Ledger.read(text)


def test_texts_are_cut_and_printable():
    long = replace(FAILED, title="a\nb\ud800", reason="x" * 5000)
    assert len(long.reason) == 2000 and long.reason.endswith(" …")
    assert long.title == "a b\\ud800"
    secret = replace(FAILED, reason="https://me:geheim@example.org/x cannot be read")
    assert "geheim" not in secret.reason
    assert Notification.recorded(json.loads(json.dumps(long.record()))) == long


def tell_four(file: Path, url: str, dies: int) -> None:
    """Tell of four runs by the ledger in `file`, and be killed at its `dies`-th save, before it."""
    found = Ledger.read(file.read_text() if file.exists() else None)
    for number in range(4):
        found.add(replace(FAILED, causes=(f"run:{number}",)), CHANNELS, NOW)
    saves = iter(range(1, 100))

    def save() -> None:
        if next(saves) == dies:
            os.kill(os.getpid(), signal.SIGKILL)
        temporary = file.with_suffix(".new")
        temporary.write_text(found.written())
        temporary.replace(file)

    save()
    found.deliver(CHANNELS, {"WEB": url}, save, print, clock=lambda: NOW)


@pytest.mark.parametrize("dies", [2, 3, 5])
def test_after_a_kill_nothing_is_lost_and_one_at_most_comes_twice(receiver, tmp_path, dies):
    """Killed before the first, and just after the first or third delivery, before it was noted."""

    def status(dies: int) -> int:
        arguments = (tmp_path / "ledger", receiver.url, dies)
        process = multiprocessing.get_context("fork").Process(target=tell_four, args=arguments)
        process.start()
        process.join(60)
        return process.exitcode

    assert status(dies) == -signal.SIGKILL
    assert status(0) == 0 and status(0) == 0
    keys = [key for _, key in receiver.received]
    assert len(set(keys)) == 4 and len(keys) <= 5
