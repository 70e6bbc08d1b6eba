"""Work that stands still in its middle, to be killed there. Apart from the tests, so that a process that does
it loads no more than it needs."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable

from gan_core.housekeeping import moving, removing
from gan_core.store import Store


def start(work: Callable, store: Store, *arguments):
    """A process that is in the middle of `work(url, cache, started, *arguments)`."""
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    process = context.Process(target=work, args=(store.url, str(store.cache), started, *arguments))
    process.start()
    assert started.wait(60)
    return process


def kill(process) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)


def make_and_hang(url: str, cache: str, started) -> None:
    """An attempt that has written half."""

    def build(work) -> None:
        (work.folder / "half").write_bytes(b"half")
        started.set()
        time.sleep(600)

    Store(url, cache=cache).produce("raw", "p", config={}, inputs={}, code_version="1", build=build)


def remove_and_hang(url: str, cache: str, started, key: tuple[str, str, str], after: int) -> None:
    """A removal that stands still after so many things were removed."""
    store, count, remove = Store(url, cache=cache), 0, Store.remove

    def remove_then_hang(self, relative: str) -> None:
        nonlocal count
        remove(self, relative)
        count += 1
        if count == after:
            started.set()
            time.sleep(600)

    Store.remove = remove_then_hang
    removing.remove_version(store, key)


def import_and_hang(url: str, cache: str, started, place: str) -> None:
    """An import that stands still at the second file that it brings."""
    count, fetch = 0, moving._StoreOrigin.fetch

    def fetch_and_hang(self, manifest, name, target) -> None:
        nonlocal count
        count += 1
        if count == 2:
            target.write_bytes(b"half")
            started.set()
            time.sleep(600)
        fetch(self, manifest, name, target)

    moving._StoreOrigin.fetch = fetch_and_hang
    moving.import_artefacts(Store(url, cache=cache), place)
