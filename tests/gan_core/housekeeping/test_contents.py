"""What is in a store, how much it takes, and whether it is whole."""

import pytest

from gan_core.errors import ConfigError
from gan_core.housekeeping.contents import scan
from gan_core.housekeeping.usage import cache_bytes, summed, usages
from gan_core.housekeeping.verifying import Verification, verify_store
from gan_core.store import Store
from gan_core.store.lease import Lease
from tests.gan_core.housekeeping.lineages import make, make_lineage


def verified(store: Store, *patterns: str) -> Verification:
    return verify_store(store, scan(store), patterns)


def test_versions_are_found_with_what_is_current(store):
    old, new = make_lineage(store, b"old"), make_lineage(store, b"new")
    store.write_atomically("table/table.csv", b"rows")
    found = {version.place: version for version in scan(store).chosen([])}
    assert set(found) == {one.place for one in (*old, *new)}
    assert {place for place, version in found.items() if version.is_current} == {one.place for one in new}
    for version in found.values():
        assert version.state == "whole"
        assert version.bytes > version.manifest.total_bytes  # and the manifest itself


def test_states_are_told_apart(store):
    whole = make(store, "raw", b"whole")
    cut = make(store, "raw", b"cut")
    store.remove(f"{cut.place}/{cut.files['more.bin'].path}")
    edited = make(store, "raw", b"edited")
    for name in ("manifest.json", "manifest-copy.json"):
        store.write_atomically(f"{edited.place}/{name}", b"{}")
    killed, held = f"raw/p/{'a' * 64}", f"raw/p/{'b' * 64}"
    store.write_atomically(f"{killed}/checkpoints/last.pt", b"state")
    with Lease(store, *held.split("/")):
        states = {version.place: version.state for version in scan(store).chosen([])}
    assert states == {
        whole.place: "whole",
        cut.place: "damaged",
        edited.place: "damaged",
        killed: "killed attempt",
        held: "attempt in progress",
    }


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["raw"], {"raw/p", "raw/q"}),
        (["*/q"], {"raw/q", "table/q", "sum/q"}),
        (["raw/p", "s*/q"], {"raw/p", "sum/q"}),
    ],
)
def test_patterns_choose_assets_and_partitions(tmp_path, patterns, expected):
    store = Store(tmp_path)
    make_lineage(store, b"1", partition="p")
    make_lineage(store, b"2", partition="q")
    found = scan(store, patterns).chosen(patterns)
    assert {f"{version.asset}/{version.partition}" for version in found} == expected


@pytest.mark.parametrize("pattern", ["rwa", "raw/x"])
def test_a_pattern_that_names_nothing_is_refused_with_what_is_near(tmp_path, pattern):
    store = Store(tmp_path)
    make(store, "raw", b"1")
    with pytest.raises(ConfigError, match=f"nothing in the store matches `{pattern}`; did you mean .*`raw"):
        scan(store, [pattern]).chosen([pattern])


def test_all_bytes_are_counted_once_where_they_belong(tmp_path):
    store = Store(tmp_path / "store")
    make(store, "raw", b"old")
    make(store, "raw", b"new")
    make(store, "table", b"one", partition="q")
    store.write_atomically(f"raw/p/{'a' * 64}/checkpoints/last.pt", b"12345")
    store.write_atomically("table/table.csv", b"123")
    store.cache.mkdir()
    (store.cache / "download").write_bytes(b"1234567")
    found = {(one.asset, one.partition): one for one in usages(scan(store))}
    raw = found["raw", "p"]
    assert raw.versions == 2
    assert raw.current > 600 and raw.older > 600
    assert raw.attempts == 5
    assert found["table", ""].beside == 3
    there = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    total = sum(path.stat().st_size for path in there if store.cache not in path.parents)
    assert summed(found.values()).total == total
    assert cache_bytes(store) == {"download": 7}


def test_a_whole_store_verifies(store):
    made = make_lineage(store, b"old")
    result = verified(store)
    assert (result.artefacts, result.files, result.damages) == (3, 6, ())
    assert result.bytes == sum(one.total_bytes for one in made)


@pytest.mark.parametrize(
    ("damage", "told"), [(b"NEW", "has sha256"), (b"short", "has 5 bytes"), (None, "missing")]
)
def test_each_damage_is_named_with_its_remedy(store, damage, told):
    old, new = make(store, "trained_gan", b"old"), make(store, "trained_gan", b"new")
    for one in (old, new):
        path = f"{one.place}/{one.files['sub/data.bin'].path}"
        store.write_atomically(path, damage) if damage else store.remove(path)
    damages = {one.place: one for one in verified(store).damages}
    assert set(damages) == {old.place, new.place}
    assert all(told in one.problem and "data.bin" in one.problem for one in damages.values())
    assert damages[new.place].remedy == "run `python -m gan_core train p --force`"
    assert "not current: remove its folder, or import it again" in damages[old.place].remedy


def test_lost_inputs_manifests_and_pointers_are_damages(tmp_path):
    store = Store(tmp_path)
    raw, table, _ = make_lineage(store, b"1")
    store.remove(raw.place)
    found = [(one.place, one.problem) for one in verified(store).damages]
    assert found == [
        (table.place, f"what it was made from is not there: raw {raw.fingerprint[:12]}"),
    ]
    other = make(store, "other", b"1")
    for path in (tmp_path / other.place).glob("manifest*.json"):
        path.write_text("{}")
    store.write_atomically("sum/p/current.json", b"{")
    problems = {one.place: one.problem for one in verified(store, "other", "sum").damages}
    assert "is damaged or was edited" in problems[other.place]
    assert problems["sum/p"] == "current.json is damaged or was edited"
    store.write_atomically("sum/p/current.json", b'{"fingerprint": "%s"}' % (b"a" * 64))
    assert "its current version, aaaaaaaaaaaa, is not there" in verified(store, "sum").damages[0].problem


def test_a_folder_without_a_version_is_not_proposed_for_itself(tmp_path):
    store = Store(tmp_path)
    make(store, "raw", b"a")
    store.write_atomically("champion/d/last_look.json", b"{}")
    with pytest.raises(ConfigError, match="matches `champion`; there are: raw, raw/p"):
        scan(store).chosen(["champion"])
