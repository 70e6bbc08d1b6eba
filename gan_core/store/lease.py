"""A lease on one artefact: of several that would make it at once, one does and the others wait."""

import json
import logging
import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import asdict

from gan_core.errors import LeaseError, StoreError
from gan_core.remedies import how_to_make
from gan_core.store import Manifest, Store
from gan_core.store.attempts import LEASE, Holder, process_namespace

logger = logging.getLogger("gan_core")
TELL_SECONDS = 60.0  # between two lines of one who waits


class Lease:
    """`with Lease(store, asset, partition, fingerprint, emit)`: the only one that makes this artefact.

    With an empty `fingerprint` it is a lease on the partition, for work that finds the fingerprint out.

    A lease is a file `<artefact folder>/lease-<number>.json` that its holder alone could create, with its
    name and a heartbeat every `heartbeat` seconds; the highest number holds. A lease is stale once its
    holder's process is gone (seen on the same host), or once its heartbeat stood still for `stale_after`
    seconds (several heartbeats) by the clock of the one who waits, so that hosts' clocks need not agree. Then
    whoever creates the next number first has taken it over.

    While another holds it, entering says so through `emit`, once a minute, and waits up to `wait` seconds (by
    default as long as the holder lives); then it raises `LeaseError`. A holder that was suspended for so long
    that another took over finds out by `check`, which is cheap enough for every step; `lost` is then set.

    `reads` are the artefacts that the work stands on: while the lease is held, nobody clears them away.
    """

    def __init__(
        self,
        store: Store,
        asset: str,
        partition: str,
        fingerprint: str,
        emit: Callable[[str], None] = logger.info,
        *,
        reads: Iterable[Manifest] = (),
        heartbeat: float = 10.0,
        stale_after: float = 60.0,
        wait: float = math.inf,
    ):
        self.store, self.emit = store.impatient(heartbeat), emit
        self.heartbeat, self.stale_after, self.wait = heartbeat, stale_after, wait
        self.asset, self.partition, self.what = asset, partition, f"{asset}/{partition}"
        self.relative = "/".join(filter(None, (asset, partition, fingerprint)))
        self.reads = tuple(sorted({manifest.place for manifest in reads}))
        self.lost = threading.Event()
        self.owner = uuid.uuid4().hex
        self.number = 0
        self._beaten = 0.0  # when the store last took a heartbeat
        self._failed = -math.inf  # when the store was last found out of reach
        self._done = threading.Event()

    def __enter__(self) -> "Lease":
        self._acquire()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        try:
            self._thread.start()
        except BaseException:  # an interrupt
            self._give_back()
            raise
        return self

    def __exit__(self, *_) -> None:
        self._done.set()
        try:
            self._thread.join(2 * self.heartbeat)
        finally:
            self._give_back()

    def check(self) -> None:
        """Raise `LeaseError` if another has taken the lease. Costs nothing, so that every step can ask.

        The store is asked only where the heartbeat is late, as after a suspension: while it is not, nobody
        can have found the lease stale.
        """
        if not self.lost.is_set() and abs(time.time() - self._beaten) < 2 * self.heartbeat:
            return
        if time.monotonic() - self._failed < self.heartbeat:
            return
        try:
            self._look()
        except StoreError as error:
            # A store that is out of reach takes no checkpoint either: nothing can go wrong meanwhile.
            self._failed = time.monotonic()
            logger.warning("the lease on %s could not be looked at: %s", self.what, error)

    # -- inside

    def _give_back(self) -> None:
        try:
            if not self.lost.is_set() and self._numbers()[-1:] == [self.number]:
                self._remove_up_to(self.number)
        except StoreError as error:
            # Not worth failing for, nor hiding the error of the work: it is stale in a minute.
            logger.warning("the lease on %s could not be given back: %s", self.what, error)

    def _look(self) -> None:
        numbers = self._numbers()
        holder = self._read(numbers[-1]) if numbers else None
        # The owner, too: a store without conditional writes lets two create the same number.
        if numbers[-1:] == [self.number] and holder and holder.owner == self.owner:
            return
        self.lost.set()
        raise LeaseError(
            f"{self.what}: this process stood still for more than {self.stale_after:.0f} s and "
            f"{holder or 'another process, which has ended since,'} took over; it stops here and writes "
            "nothing more. There is nothing to mend: the other one's result counts"
        )

    def _acquire(self) -> None:
        began = time.monotonic()
        tell_at, seen, still_since = began, None, began
        while True:
            numbers = self._numbers()
            number = numbers[-1] if numbers else 0
            holder = self._read(number) if numbers else None
            now = time.monotonic()
            if (number, holder) != seen:
                seen, still_since = (number, holder), now
            reason = self._stale(holder, now - still_since)
            if not numbers or reason:
                if not self._take(number):
                    continue
                if numbers:
                    self.emit(f"{self.what}: {holder or 'the holder of its lease'} {reason}; took over")
                return
            if now >= tell_at:
                tell_at = now + TELL_SECONDS
                limit = "" if math.isinf(self.wait) else f" up to {self.wait:.0f} s"
                self.emit(
                    f"{self.what}: {holder or 'another process'} is making it; waiting{limit} for it to end"
                )
            if now - began >= self.wait:
                raise LeaseError(
                    f"{self.what}: {holder or 'another process'} is still making it after {self.wait:.0f} s. "
                    f"Wait for it to end or stop it, then {how_to_make(self.asset, self.partition)}: it goes "
                    "on from there. "
                    f"(The lease: {self.store.address(f'{self.store.root}/{self._path(number)}')})"
                )
            time.sleep(min(1.0, self.heartbeat / 2, self.stale_after / 4))

    def _stale(self, holder: Holder | None, still: float) -> str:
        """Why a lease that stood still for so many seconds no longer counts; empty if it does."""
        if holder and holder.is_gone():
            return "has ended"
        return f"gave no sign for {self.stale_after:.0f} s" if still >= self.stale_after else ""

    def _take(self, previous: int) -> bool:
        """Create the number after `previous` (0: none). False if another was quicker."""
        now = time.time()
        number = previous + 1
        here = socket.gethostname(), process_namespace(), os.getpid()
        holder = Holder(self.owner, *here, since=now, heartbeat=now, reads=self.reads)
        if not self.store.create(self._path(number), _encode(holder)):
            return False
        # Had `previous` meanwhile been given back, a new count may have begun that knows nothing of this.
        if self._numbers()[-2:] != [n for n in (previous, number) if n]:
            self.store.remove(self._path(number))
            return False
        # A store without conditional writes, or that looks and writes in two steps, lets two create a number.
        found = self._read(number)
        if found and found.owner != self.owner:
            return False
        self.number, self._holder, self._beaten = number, holder, now
        if previous:
            self._remove_up_to(previous)
        return True

    def _keep(self) -> None:
        """Until the end: make the heartbeat go on, and see whether another has taken over."""
        while not self._done.wait(self.heartbeat):
            try:
                self._look()
                beat = Holder(**{**asdict(self._holder), "heartbeat": time.time()})
                self.store.write_atomically(self._path(self.number), _encode(beat))
                self._beaten = beat.heartbeat
            except LeaseError as error:
                logger.error("%s", error)
                return
            except StoreError as error:
                logger.warning("the lease on %s could not be renewed, trying again: %s", self.what, error)

    def _numbers(self) -> list[int]:
        found = (LEASE.fullmatch(name) for name in self.store.list_names(self.relative))
        return sorted(int(match["number"]) for match in found if match and not match["written"])

    def _path(self, number: int) -> str:
        return f"{self.relative}/lease-{number:06d}.json"

    def _read(self, number: int) -> Holder | None:
        """None where it is gone again, or not yet whole."""
        return Holder.read(self.store.read_bytes(self._path(number)))

    def _remove_up_to(self, number: int) -> None:
        """And what a killed holder has left half written."""
        for name in self.store.list_names(self.relative):
            match = LEASE.fullmatch(name)
            if match and int(match["number"]) <= number:
                self.store.remove(f"{self.relative}/{name}")


def _encode(holder: Holder) -> bytes:
    return json.dumps(asdict(holder)).encode()
