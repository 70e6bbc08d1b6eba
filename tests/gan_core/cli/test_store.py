"""`store ls`, `du`, `verify`, `gc`, `export` and `import`: what they print, and how they end."""

import json
import os
import time

import pytest

from gan_core.store import Store
from tests.gan_core.housekeeping.lineages import is_whole, make


@pytest.fixture
def made(project):
    """Two versions of shards and a training on the second, made long ago."""
    store = project.store
    old, new = (make(store, "image_shards", content, partition="few-digits") for content in (b"1", b"2"))
    trained = make(store, "trained_gan", b"t", partition="plain", image_shards=new)
    for path in (project.folder / "store").rglob("*.json"):
        os.utime(path, (time.time() - 7200,) * 2)
    return old, new, trained


def test_ls_says_what_is_there(run, told, made):
    old, new, trained = made
    rows = told("store", "ls")
    assert [(row["asset"], row["fingerprint"], row["current"], row["state"]) for row in rows] == [
        ("image_shards", new.fingerprint, True, "whole"),
        ("image_shards", old.fingerprint, False, "whole"),
        ("trained_gan", trained.fingerprint, True, "whole"),
    ]
    assert all(row["files"] == 4 and row["bytes"] > 101 and row["made"] for row in rows)
    out, _ = run("store", "ls", "trained_gan")
    heading, line = out.splitlines()
    assert heading.split()[:3] == ["asset", "partition", "version"]
    assert line.split()[:5] == ["trained_gan", "plain", trained.fingerprint[:12], "current", "whole"]
    _, err = run("store", "ls", "trained_gna", status=2)
    assert "did you mean `trained_gan`" in err and len(err.splitlines()) == 1


def test_du_adds_up(run, told, made):
    found = told("store", "du")
    assert [(row["asset"], row["partition"], row["versions"]) for row in found["partitions"]] == [
        ("image_shards", "few-digits", 2),
        ("trained_gan", "plain", 1),
    ]
    assert found["bytes"] == sum(row["total"] for row in found["partitions"])
    out, _ = run("store", "du")
    assert out.splitlines()[-1].startswith("all ")


def test_verify_ends_with_1_where_something_is_damaged(run, told, project, made):
    assert told("store", "verify")["whole"]
    store, trained = project.store, made[2]
    store.write_atomically(f"{trained.place}/{trained.files['more.bin'].path}", b"")
    found = told("store", "verify", status=1)
    assert [one["place"] for one in found["damages"]] == [trained.place]
    out, _ = run("store", "verify", "trained_gan", status=1)
    assert "more.bin has 0 bytes" in out and "run `python -m gan_core train plain --force`" in out
    assert out.splitlines()[-1] == "1 artefact, 2 files, 101 bytes: 1 damaged"


def test_gc_says_what_it_would_remove_and_removes_it_when_told(run, told, project, made):
    old, *needed = made
    (project.folder / "configs" / "store.yaml").write_text("keep: {versions: 0, days: 0}\n")
    out, _ = run("store", "gc")
    assert old.place in out and "`store gc --delete` clears this away" in out
    assert is_whole(project.store, old)
    found = told("store", "gc", "--delete")
    assert [(piece["place"], piece["removed"]) for piece in found["pieces"]] == [(old.place, True)]
    assert found["freed_bytes"] == found["bytes"] > 101
    assert not is_whole(project.store, old) and all(is_whole(project.store, one) for one in needed)
    out, _ = run("store", "gc")
    assert out == "there is nothing to clear away\n"


def test_gc_without_a_policy_keeps_the_last_version_and_what_is_young(run, told, made):
    out, _ = run("store", "gc")
    stays = "1 that is not current stays: `store gc --json` says why"
    assert out.splitlines() == ["there is nothing to clear away", stays]
    assert list(told("store", "gc")["kept"]) == [made[0].place]


def test_gc_refuses_a_policy_with_a_mistake(run, project, made):
    (project.folder / "configs" / "store.yaml").write_text("keep: {versions: 0, days: 0}\nkep: 1\n")
    _, err = run("store", "gc", "--delete", status=2)
    assert "store.yaml:2: unknown key `kep`, did you mean `keep`?" in err
    assert is_whole(project.store, made[0])


def test_export_and_import_go_there_and_back(run, project, made):
    _, new, trained = made
    archive, other = str(project.folder / "a.tar"), str(project.folder / "other")
    out, _ = run("store", "export", "trained_gan/plain", "--lineage", "--to", archive)
    assert json.loads(out)["copied"] == [new.place, trained.place]
    out, _ = run("store", "import", archive, "--store", other)
    assert json.loads(out)["became_current"] == ["image_shards/few-digits", "trained_gan/plain"]
    assert is_whole(Store(other), trained)
    _, err = run("store", "export", "--to", archive, status=2)
    assert "is there already" in err


@pytest.mark.parametrize("command", ["ls", "du", "verify", "gc"])
def test_where_there_is_no_store_none_is_made(run, project, command):
    _, err = run("store", command, status=2)
    assert "there is no store at" in err
    assert not (project.folder / "store").exists()
