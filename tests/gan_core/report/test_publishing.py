"""Pages that are made two at a time, except those that must be made alone."""

import functools
import threading

import pytest

from gan_core.errors import StoreError
from gan_core.report.page import Page
from gan_core.report.publishing import publish_pages
from gan_core.store import Store


def test_a_page_that_must_be_made_alone_is_while_others_are_made_together(tmp_path):
    both_there = threading.Barrier(2, timeout=60)
    being_made: list[str] = []
    beside_it: list[str] = []

    def render(path: str) -> bytes:
        being_made.append(path)
        if path == "alone.html":
            beside_it.extend(being_made)
        else:
            both_there.wait()
        being_made.remove(path)
        return path.encode()

    names = ["first.html", "alone.html", "second.html"]
    pages = [Page(name, {}, functools.partial(render, name), alone=name == "alone.html") for name in names]
    store = Store(tmp_path)
    written = publish_pages(store, pages, {}, lambda line: None)
    assert beside_it == ["alone.html"]
    assert list(written) == names
    assert all(store.read_bytes(f"report/{name}") == name.encode() for name in names)


def test_a_page_that_cannot_be_made_ends_the_report(tmp_path):
    def fail() -> bytes:
        raise StoreError("the disk is full")

    pages = [Page("whole.html", {}, lambda: b"whole"), Page("not.html", {}, fail)]
    with pytest.raises(StoreError, match="the disk is full"):
        publish_pages(Store(tmp_path), pages, {}, lambda line: None)
