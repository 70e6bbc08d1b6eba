"""What was told, and what still has to be: the memory by which each cause is told once.

It is saved as one text before anything is sent and after each delivery. Who is killed between a delivery and
the next save tells it a second time, with the same id: rather twice than never.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gan_core.errors import StoreError
from gan_core.notifying.channels.base import Channel, Undelivered
from gan_core.notifying.notification import Notification

FORMAT = 1
ATTEMPT_SECONDS = 10.0  # of one attempt, with the look-up of the host's name
ROUND_SECONDS = 25.0  # of one `deliver`: no attempt begins later
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 3600.0  # between attempts; doubled after each
GIVE_UP = 3 * 86_400.0  # seconds after the cause
REMEMBERED = 90 * 86_400.0  # seconds after a cause was last seen
MOST_WAITING = 500


@dataclass
class Waiting:
    """A notification that some channels do not have yet: by channel, how often it was tried, and when it may
    be tried again."""

    notification: Notification
    attempts: dict[str, int]
    not_before: dict[str, float]


@dataclass
class Ledger:
    """`told` has, by cause, when it was last seen. `paused` has the channels that asked for a pause, and
    until when. `position` is for whoever fills it: saved at once with what it adds."""

    told: dict[str, float] = field(default_factory=dict)
    waiting: list[Waiting] = field(default_factory=list)
    paused: dict[str, float] = field(default_factory=dict)
    position: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str | None) -> "Ledger":
        """The ledger that `written` gave; an empty one of None. Raises `StoreError` for another text."""
        try:
            record = json.loads(text) if text else {"format": FORMAT}
            if record.pop("format") != FORMAT:
                raise ValueError("its format is another one")
            waiting = [
                Waiting(Notification.recorded(item["notification"]), item["attempts"], item["not_before"])
                for item in record.pop("waiting", [])
            ]
            return cls(**record, waiting=waiting)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"the ledger of notifications is damaged, or of another version of this project: {error!r}"
            ) from error

    def written(self) -> str:
        waiting = [
            {
                "notification": item.notification.record(),
                "attempts": item.attempts,
                "not_before": item.not_before,
            }
            for item in self.waiting
        ]
        kept = {"told": self.told, "paused": self.paused, "position": self.position, "waiting": waiting}
        return json.dumps({"format": FORMAT, **kept})

    def add(self, notification: Notification, channels: Mapping[str, Channel], now: float) -> bool:
        """Have it sent to all channels, unless each of its causes was told before. Whether it will be."""
        new = any(cause not in self.told for cause in notification.causes)
        self.told |= dict.fromkeys(notification.causes, now)
        if new and channels:
            self.waiting.append(Waiting(notification, dict.fromkeys(channels, 0), {}))
        return new

    def forget(self, beginning: str) -> None:
        """The causes that begin so are over: should one come again, it is another one."""
        self.told = {cause: seen for cause, seen in self.told.items() if not cause.startswith(beginning)}

    def deliver(
        self,
        channels: Mapping[str, Channel],
        environment: Mapping[str, str],
        save: Callable[[], None],
        emit: Callable[[str], None],
        *,
        clock: Callable[[], float],
    ) -> int:
        """Try what is due; the number of deliveries. Says with `emit` what did not arrive, and why.

        A channel that does not take one is left alone until the next time, so that what is out of reach costs
        `ATTEMPT_SECONDS`, however much is waiting. What was tried least comes first: one that is never
        taken does not keep back the others.
        """
        self._clear(channels, emit, clock())
        save()
        began, delivered = time.monotonic(), 0
        for name, channel in channels.items():
            if self.paused.get(name, 0) > clock():
                continue
            for item in sorted(self._due(name, clock()), key=lambda item: item.attempts[name]):
                if time.monotonic() - began > ROUND_SECONDS:
                    return delivered
                try:
                    _attempt(channel, item.notification, environment)
                except Undelivered as error:
                    self._later(item, name, error, clock())
                    save()
                    emit(f"{name}: not delivered, will be tried again: {item.notification.title}: {error}")
                    break
                delivered += 1
                del item.attempts[name]
                self.waiting = [one for one in self.waiting if one.attempts]
                save()
        return delivered

    def _due(self, channel: str, now: float) -> list[Waiting]:
        return [
            item
            for item in self.waiting
            if channel in item.attempts and item.not_before.get(channel, 0) <= now
        ]

    def _later(self, item: Waiting, channel: str, error: Undelivered, now: float) -> None:
        pause = min(FIRST_PAUSE * 2 ** item.attempts[channel], LONGEST_PAUSE)
        item.attempts[channel] += 1
        # A little less, so that it is not the tick after the next one.
        item.not_before[channel] = now + 0.9 * pause
        if error.after:
            self.paused[channel] = now + error.after

    def _clear(self, channels: Mapping[str, Channel], emit: Callable[[str], None], now: float) -> None:
        """Give up what is too old or too much, and forget what was not seen for long."""
        for number, item in enumerate(self.waiting):
            item.attempts = {name: tried for name, tried in item.attempts.items() if name in channels}
            too_many = len(self.waiting) - number > MOST_WAITING
            if item.attempts and (now - item.notification.at > GIVE_UP or too_many):
                emit(f"given up for {', '.join(item.attempts)}: {item.notification.title}")
                item.attempts = {}
        self.waiting = [item for item in self.waiting if item.attempts]
        self.told = {cause: seen for cause, seen in self.told.items() if now - seen < REMEMBERED}
        self.paused = {name: until for name, until in self.paused.items() if until > now}


def _attempt(channel: Channel, notification: Notification, environment: Mapping[str, str]) -> None:
    """`send`, within `ATTEMPT_SECONDS`: no time-out of a socket ends the look-up of a name, or an answer that
    comes byte by byte."""
    outcome: list[Exception | None] = []
    if problem := channel.problem(environment):
        raise Undelivered(problem)

    def send() -> None:
        try:
            channel.send(notification, environment)
            outcome.append(None)
        except Exception as error:  # raised again below, in the thread that asked
            outcome.append(error)

    thread = threading.Thread(target=send, name="notification", daemon=True)
    thread.start()
    thread.join(ATTEMPT_SECONDS)
    if not outcome:
        raise Undelivered(f"nothing was heard within {ATTEMPT_SECONDS:g} s")
    if outcome[0] is not None:
        raise outcome[0]
