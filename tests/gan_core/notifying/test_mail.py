"""Mail, to a server that takes it, refuses it, or is not one."""

import socket
from email import message_from_string

import pytest

from gan_core.notifying.channels import Mail, Undelivered, mail
from tests.gan_core.notifying.test_ledger import FAILED
from tests.notification_servers import mail_receiver

BASE = {"host": "127.0.0.1", "security": "none", "sender": "gan@example.org"}


@pytest.fixture
def receiver():
    with mail_receiver() as receiver:
        yield receiver


def channel(port: int, *to: str, **settings) -> Mail:
    return Mail(**{**BASE, "port": port, "to": to or ("me@example.org",), **settings})


def test_a_notification_arrives(receiver):
    channel(receiver.port, "me@example.org", "you@example.org").send(FAILED, {})
    ((text,), (recipients,)) = receiver.received, receiver.recipients
    message = message_from_string(text)
    assert message["Subject"] == "demo-dcgan failed"
    assert message["Message-ID"] == f"<{FAILED.id}@example.org>"
    assert recipients == ["me@example.org", "you@example.org"]
    body = message.get_payload(decode=True).decode()
    assert "the loss is <nan> & more" in body and "fid: 12.35" in body and "/runs/1" in body


@pytest.mark.parametrize("answer", ["451 try again later", "554 no"])
def test_what_is_refused_is_undelivered(receiver, answer):
    receiver.answers = [answer]
    with pytest.raises(Undelivered, match=f"127.0.0.1:{receiver.port} answered {answer[:3]}"):
        channel(receiver.port).send(FAILED, {})
    channel(receiver.port).send(FAILED, {})
    assert len(receiver.received) == 1


def test_one_wrong_recipient_does_not_keep_it_from_the_others(receiver, caplog):
    receiver.refuses = {"gone@example.org"}
    channel(receiver.port, "gone@example.org", "me@example.org").send(FAILED, {})
    assert receiver.recipients == [["me@example.org"]]
    assert "refused gone@example.org; the other recipients have it" in caplog.text
    with pytest.raises(Undelivered, match="refused every recipient: gone@example.org"):
        channel(receiver.port, "gone@example.org").send(FAILED, {})


def test_encryption_that_is_not_offered_is_not_done_without(receiver):
    with pytest.raises(Undelivered, match="cannot be used: STARTTLS"):
        channel(receiver.port, security="starttls").send(FAILED, {})
    assert not receiver.received


def test_a_server_that_says_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(mail, "SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(Undelivered, match=f"127.0.0.1:{port} (did not answer within 0.2 s|.*timed out)"):
            channel(port).send(FAILED, {})
    with pytest.raises(Undelivered, match=f"127.0.0.1:{port} cannot be used: .*refused"):
        channel(port).send(FAILED, {})
