"""The lease: one holder at a time, taken over from the dead and the silent, on a local disk and on S3."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from gan_core.errors import LeaseError
from gan_core.store import Manifest, Store
from gan_core.store import lease as lease_module
from gan_core.store.attempts import Holder
from gan_core.store.lease import Lease

KEY = "a" * 64
FOLDER = f"trained_gan/small/{KEY}"


@pytest.fixture(params=["local", "memory", "s3"])
def store(request, tmp_path) -> Store:
    if request.param == "local":
        return Store(tmp_path / "store")
    if request.param == "memory":
        return Store(f"memory://{uuid.uuid4().hex}", cache=tmp_path / "cache")
    return request.getfixturevalue("s3_store")


@pytest.fixture
def elsewhere(monkeypatch):
    """From now on this process takes what it finds for a lease of another host."""

    def move() -> None:
        monkeypatch.setattr(lease_module.socket, "gethostname", lambda: "elsewhere")

    return move


def make(store: Store, emit=lambda line: None, **options) -> Lease:
    """A lease that beats often. A test that means to find another's stale says after how many seconds.

    Everywhere else a busy machine may hold a heartbeat up for a while, and nothing may come of it.
    """
    options = {"heartbeat": 0.1, "stale_after": 60, "wait": 60, **options}
    return Lease(store, "trained_gan", "small", KEY, emit, **options)


def wait_until(holds, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not so within {seconds} s"
        time.sleep(0.02)


def leases(store: Store) -> list[str]:
    return [name for name in store.list_names(FOLDER) if not name.startswith(".")]


def test_it_names_its_holder_beats_and_is_given_back(store):
    with make(store) as held:
        (name,) = leases(store)
        first = json.loads(store.read_bytes(f"{FOLDER}/{name}"))
        assert first["pid"] == os.getpid()
        held.check()
        wait_until(lambda: json.loads(store.read_bytes(f"{FOLDER}/{name}"))["heartbeat"] > first["heartbeat"])
        assert not held.lost.is_set()
    assert leases(store) == []


def test_it_says_what_its_work_reads(store):
    shards, classifier = (
        Manifest(asset=asset, partition="p", fingerprint="a" * 64, code_version="1", config={}, inputs={})
        for asset in ("image_shards", "classifier")
    )
    with make(store, reads=[shards, classifier, shards]) as held:
        (name,) = leases(store)
        first = Holder.read(store.read_bytes(f"{FOLDER}/{name}"))
        assert first.reads == (classifier.place, shards.place)
        wait_until(lambda: Holder.read(store.read_bytes(f"{FOLDER}/{name}")).heartbeat > first.heartbeat)
        assert Holder.read(store.read_bytes(f"{FOLDER}/{name}")).reads == first.reads
        assert held.reads == first.reads


def test_one_of_an_earlier_version_does_not_say_what_it_reads_and_a_later_one_may_say_more(store):
    with make(store) as held:
        content = json.loads(store.read_bytes(f"{FOLDER}/{leases(store)[0]}"))
    assert Holder.read(json.dumps({**content, "more": 1}).encode()).owner == held.owner
    assert content.pop("reads") == []
    assert Holder.read(json.dumps(content).encode()).reads is None


def test_it_is_given_back_after_an_exception(store):
    with pytest.raises(ZeroDivisionError), make(store):
        1 / 0  # noqa: B018
    assert leases(store) == []
    with make(store):
        pass


def test_another_is_told_who_holds_it_and_gives_up_after_its_wait(store):
    lines: list[str] = []
    with make(store) as held:
        with pytest.raises(LeaseError) as caught, make(store, lines.append, wait=1.5):
            raise AssertionError("two hold it")
        held.check()
    assert len(lines) == 1
    assert f"trained_gan/small: process {os.getpid()} on " in lines[0]
    assert "is making it; waiting up to" in lines[0]
    message = str(caught.value)
    assert f"process {os.getpid()} on " in message
    assert "since 20" in message
    assert "stop it, then run `python -m gan_core train small`: it goes on" in message
    assert "lease-000001.json" in message


def test_another_waits_until_it_is_given_back(store):
    lines: list[str] = []
    with make(store):
        waiting = threading.Thread(target=lambda: make(store, lines.append).__enter__().__exit__())
        waiting.start()
        time.sleep(0.3)
        assert waiting.is_alive()
    waiting.join(30)
    assert not waiting.is_alive()
    assert len(lines) == 1
    assert leases(store) == []


def test_of_many_that_want_it_one_holds_it_at_a_time(store):
    inside, most, done = [], [], []

    def work() -> None:
        with make(store):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()
        done.append(1)

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == 5
    assert set(most) == {1}


def abandon(store: Store) -> Lease:
    """A lease whose heart has stopped."""
    held = make(store).__enter__()
    held._done.set()
    held._thread.join()
    return held


def test_one_that_stands_still_is_taken_over_by_one_only(store, elsewhere):
    abandoned = abandon(store)
    elsewhere()
    lines, winners, ended = [], [], []
    began = time.monotonic()
    takers = [make(store, lines.append, stale_after=0.6, wait=2) for _ in range(4)]

    def work(mine: Lease) -> None:
        try:
            with mine:
                for taker in takers:
                    taker.stale_after = 60  # the winner's heart may be slow on a busy machine
                winners.append(time.monotonic() - began)
                wait_until(lambda: len(ended) == 3)
        except LeaseError as error:
            lines.append(str(error))
        ended.append(mine)

    threads = [threading.Thread(target=work, args=(taker,)) for taker in takers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(winners) == 1
    assert winners[0] >= 0.6
    assert len([line for line in lines if "gave no sign for 1 s; took over" in line]) == 1
    assert len([line for line in lines if "is still making it after" in line]) == 3
    with pytest.raises(LeaseError, match="took over; it stops here and writes nothing more"):
        abandoned.check()
    assert abandoned.lost.is_set()


@pytest.mark.parametrize("skew", [-7200, 7200])
def test_a_clock_that_is_wrong_does_not_matter(store, elsewhere, monkeypatch, skew):
    encode = lease_module._encode

    def by_a_wrong_clock(holder: lease_module.Holder) -> bytes:
        return encode(replace(holder, since=holder.since + skew, heartbeat=holder.heartbeat + skew))

    monkeypatch.setattr(lease_module, "_encode", by_a_wrong_clock)
    with make(store) as held:
        elsewhere()
        with pytest.raises(LeaseError, match="is still making it"), make(store, stale_after=20, wait=1):
            raise AssertionError("two hold it")
        held.check()


def test_one_that_was_suspended_finds_it_lost_and_leaves_the_other_alone(store):
    suspended = abandon(store)
    with make(store, stale_after=0.6) as other:
        suspended._done.clear()
        suspended._thread = threading.Thread(target=suspended._keep)
        suspended._thread.start()
        assert suspended.lost.wait(30)
        suspended.__exit__()
        other.check()
        assert leases(store) == ["lease-000002.json"]
    with pytest.raises(LeaseError, match="another process, which has ended since, took over"):
        suspended.check()


def test_without_conditional_writes_the_earlier_of_two_stops(store, monkeypatch):
    monkeypatch.setattr(store, "create", lambda *arguments: bool(store.write_atomically(*arguments)))
    with make(store) as earlier, monkeypatch.context() as patch:
        first = earlier._numbers
        patch.setattr(Lease, "_numbers", lambda self: first() if self._done.is_set() or self.number else [])
        later = make(store)
        later._numbers = iter([[], [1], [1], [1]]).__next__
        later._acquire()
        assert earlier.lost.wait(30)
        with pytest.raises(LeaseError, match="took over"):
            earlier.check()


def test_a_half_written_lease_holds_until_it_is_stale(store):
    store.create(f"{FOLDER}/lease-000001.json", b'{"owner": ')
    lines: list[str] = []
    began = time.monotonic()
    with make(store, lines.append, stale_after=0.6):
        assert time.monotonic() - began >= 0.6
    assert "another process is making it" in lines[0]


def test_asking_at_every_step_costs_nothing_while_the_heart_beats(store, monkeypatch):
    with make(store, heartbeat=5) as held:
        monkeypatch.setattr(store, "list_names", lambda *_: 1 / 0)
        began = time.perf_counter()
        for _ in range(1000):
            held.check()
        assert time.perf_counter() - began < 1
        monkeypatch.undo()


def test_one_that_wakes_up_asks_the_store_before_its_next_step(store):
    suspended = make(store, heartbeat=5).__enter__()
    store.remove(f"{FOLDER}/lease-000001.json")
    with make(store, heartbeat=5):
        suspended.check()  # nobody can know yet
        suspended._beaten -= 3600
        with pytest.raises(LeaseError, match="took over"):
            suspended.check()
        suspended.__exit__()


def test_a_store_that_fails_for_a_while_is_survived(store, monkeypatch, caplog):
    def gone(*_, **__):
        raise OSError("gone away")

    with make(store) as held:
        with monkeypatch.context() as patch:
            patch.setattr(held.store.reading, "ls", gone)
            wait_until(lambda: "could not be renewed, trying again" in caplog.text)
        beaten = held._beaten
        wait_until(lambda: held._beaten > beaten)
        held.check()
        assert not held.lost.is_set()


# --- processes that die -----------------------------------------------------------------------------------

HOLD = """
import sys, time
from gan_core.store.lease import Lease
from gan_core.store import Store
with Lease(Store(sys.argv[1]), "trained_gan", "small", "a" * 64, print, heartbeat=0.1, stale_after=60):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "store")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_one_whose_process_was_killed_here_is_taken_over_at_once(tmp_path, holder):
    store = Store(tmp_path / "store")
    with (
        pytest.raises(LeaseError, match=f"process {holder.pid} on"),
        make(store, wait=0.5, stale_after=60),
    ):
        raise AssertionError("two hold it")
    holder.send_signal(signal.SIGKILL)  # and stays a zombie, as in a container without an init process
    time.sleep(0.1)
    lines: list[str] = []
    began = time.monotonic()
    with make(store, lines.append, stale_after=60):
        assert time.monotonic() - began < 30
    (line,) = lines
    assert f"process {holder.pid} on" in line
    assert "has ended; took over" in line


def test_a_number_that_was_given_to_a_younger_process_is_not_its_holder(tmp_path, holder):
    store = Store(tmp_path / "store")
    holder.send_signal(signal.SIGSTOP)  # alive, but it does not write any more
    path = Path(store.root) / FOLDER / "lease-000001.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "heartbeat": time.time() - 3600}))
    began = time.monotonic()
    with make(store, stale_after=60):
        assert time.monotonic() - began < 30


def test_a_real_suspension_ends_the_suspended(tmp_path):
    context = multiprocessing.get_context("spawn")
    held, outcome = context.Event(), context.Queue()
    process = context.Process(target=_hold_until_lost, args=(str(tmp_path / "store"), held, outcome))
    process.start()
    assert held.wait(30)
    os.kill(process.pid, signal.SIGSTOP)
    store = Store(tmp_path / "store")
    with make(store, stale_after=0.6) as mine:
        os.kill(process.pid, signal.SIGCONT)
        assert f"process {os.getpid()} on" in outcome.get(timeout=30)
        mine.check()
    process.join(30)


def _hold_until_lost(root: str, held, outcome) -> None:
    with make(Store(root)) as mine:
        held.set()
        mine.lost.wait(30)
        try:
            mine.check()
        except LeaseError as error:
            outcome.put(str(error))
