"""Copies of a remote store's files stay within GAN_CACHE_LIMIT, and what is used stays."""

import os
from pathlib import Path

import pytest

from gan_core.errors import ConfigError
from gan_core.store import Store, copies

SIZE = 1000
NAMES = [f"{number}.bin" for number in range(6)]


@pytest.fixture
def six(s3_store):
    def build(work):
        for number, name in enumerate(NAMES):
            (work.folder / name).write_bytes(bytes([number]) * SIZE)

    return s3_store.produce("thing", "p", config={}, inputs={}, code_version="1", build=build)


def there(store: Store) -> list[Path]:
    return [path for path in (store.cache / "files").rglob("*") if path.is_file()]


def age(store: Store, seconds: float) -> None:
    """Let everything that is there have been used so much earlier."""
    for path in there(store):
        at = path.stat().st_mtime - seconds
        os.utime(path, (at, at))


def test_what_was_not_used_for_longest_goes(s3_store, six, monkeypatch):
    monkeypatch.setenv(copies.CACHE_LIMIT, f"{3 * SIZE}B")
    for name in (*NAMES[:3], NAMES[0], *NAMES[3:]):
        content = s3_store.local(six, name).read_bytes()
        assert content == bytes([NAMES.index(name)]) * SIZE
        age(s3_store, 2 * copies.IN_USE_SECONDS)
        assert sum(path.stat().st_size for path in there(s3_store)) <= 3 * SIZE
    assert sorted(path.name[-5:] for path in there(s3_store)) == NAMES[3:]
    # The first was used again, and so outlasted the second and the third.
    for name in (NAMES[0], NAMES[1]):
        s3_store.local(six, name)
    assert sorted(path.name[-5:] for path in there(s3_store)) == [NAMES[0], NAMES[1], NAMES[5]]


def test_what_may_be_about_to_be_read_stays_and_a_warning_says_so(s3_store, six, monkeypatch, caplog):
    monkeypatch.setenv(copies.CACHE_LIMIT, f"{2 * SIZE}B")
    paths = [s3_store.local(six, name) for name in NAMES[:3]]
    assert all(path.exists() for path in paths)
    assert "3,000 bytes, more than GAN_CACHE_LIMIT allows" in caplog.text


def test_without_a_limit_all_stay(s3_store, six, monkeypatch):
    monkeypatch.delenv(copies.CACHE_LIMIT, raising=False)
    for name in NAMES:
        s3_store.local(six, name)
        age(s3_store, 2 * copies.IN_USE_SECONDS)
    assert len(there(s3_store)) == len(NAMES)


def test_one_that_another_process_removed_meanwhile_is_fetched_again(s3_store, six, monkeypatch):
    path = s3_store.local(six, NAMES[0])
    path.unlink()
    assert s3_store.local(six, NAMES[0]).read_bytes() == bytes(SIZE)


def test_a_limit_that_is_no_size_is_one_line(s3_store, six, monkeypatch):
    monkeypatch.setenv(copies.CACHE_LIMIT, "much")
    with pytest.raises(ConfigError, match="GAN_CACHE_LIMIT is `much`: give a size such as 500MB or 8GB"):
        s3_store.local(six, NAMES[0])
