"""What nothing needs goes, and nothing else, whoever is at work meanwhile."""

import datetime
import json
import os
import threading
import time
from pathlib import Path

import pytest

from gan_core.config import Keep, KeepPolicy
from gan_core.housekeeping import removing
from gan_core.housekeeping.contents import scan
from gan_core.housekeeping.garbage import collect_garbage
from gan_core.steps import Step
from gan_core.store import CHECKPOINTS, Manifest, Store
from gan_core.store.attempts import ABANDONED_SECONDS
from gan_core.store.lease import Lease
from gan_core.training.records.tensorboard import tensorboard_folder
from tests.gan_core.housekeeping.hanging import kill, make_and_hang, remove_and_hang, start
from tests.gan_core.housekeeping.lineages import NOTHING_OLD, is_whole, make, make_lineage

DAY = 24 * 3600


def removed(store: Store, policy: KeepPolicy = NOTHING_OLD) -> set[str]:
    garbage = collect_garbage(store, policy, delete=True)
    assert [piece.problem for piece in garbage.pieces] == [""] * len(garbage.pieces)
    return {piece.place for piece in garbage.pieces if piece.removed}


def places(*manifests: Manifest) -> set[str]:
    return {manifest.place for manifest in manifests}


def make_older(store: Store, manifest: Manifest, days: float) -> Manifest:
    """The same artefact, made so many days earlier."""
    made = datetime.datetime.fromisoformat(manifest.created_at) - datetime.timedelta(days=days)
    older = manifest.model_copy(update={"created_at": made.isoformat(timespec="seconds")})
    for name in ("manifest.json", "manifest-copy.json"):
        store.write_atomically(f"{manifest.place}/{name}", older.to_json())
    return older


def hold(store: Store, *reads: Manifest):
    """A lease on an artefact that is being made from others."""
    return Lease(store, "other", "p", "f" * 64, reads=reads)


# --- versions ---------------------------------------------------------------------------------------------


def test_what_is_not_current_goes_with_what_only_it_was_made_from(store, settled):
    old = make_lineage(store, b"old")
    new = make_lineage(store, b"new")
    other = make_lineage(store, b"other", partition="q")
    assert removed(store) == places(*old)
    assert [is_whole(store, one) for one in (*old, *new, *other)] == [False] * 3 + [True] * 6
    assert list(scan(store).versions) == [one.key for one in scan(store).chosen([])]
    assert {version.place for version in scan(store).chosen([])} == places(*new, *other)
    assert removed(store) == set()


def test_without_delete_nothing_changes(store, settled):
    old, new = make_lineage(store, b"old"), make_lineage(store, b"new")
    garbage = collect_garbage(store, NOTHING_OLD)
    assert {piece.place for piece in garbage.pieces} == places(*old)
    assert garbage.bytes == sum(version.bytes for version in scan(store).chosen([]) if not version.is_current)
    assert garbage.freed_bytes == 0
    assert all(is_whole(store, one) for one in (*old, *new))


def test_what_a_current_one_was_made_from_stays_though_it_is_not_current(store, settled):
    raw, table, total = make_lineage(store, b"old")
    newer = make(store, "raw", b"new")
    garbage = collect_garbage(store, NOTHING_OLD, delete=True)
    assert garbage.pieces == []
    assert garbage.kept == {raw.place: f"{table.place} was made from it"}
    assert all(is_whole(store, one) for one in (raw, table, total, newer))


def test_the_policy_keeps_the_newest_and_the_young_with_their_lineage(tmp_path, settled):
    store = Store(tmp_path)
    ages = {b"a": 40, b"b": 20, b"c": 10, b"d": 0}
    made = {content: make_lineage(store, content) for content in ages}
    made = {
        content: tuple(make_older(store, one, days=ages[content]) for one in lineage)
        for content, lineage in made.items()
    }
    policy = KeepPolicy(keep=Keep(versions=0, days=15), assets={})
    assert removed(store, policy) == places(*made[b"a"], *made[b"b"])
    policy = KeepPolicy(keep=Keep(versions=1, days=0))
    assert removed(store, policy) == set()
    assert "of the newest 1" in collect_garbage(store, policy).kept[made[b"c"][2].place]


def test_an_asset_has_a_policy_of_its_own_and_keeps_what_its_versions_were_made_from(tmp_path, settled):
    store = Store(tmp_path)
    shards = [make(store, "image_shards", content) for content in (b"1", b"2")]
    trained = [make(store, "trained_gan", b"t", image_shards=one) for one in shards]
    samples = [make(store, "samples", b"s", trained_gan=one) for one in trained]
    policy = KeepPolicy(keep=Keep(versions=0, days=0), assets={"trained_gan": Keep(versions=1, days=0)})
    assert removed(store, policy) == places(samples[0])
    assert all(is_whole(store, one) for one in (*shards, *trained, samples[1]))


def test_what_was_current_a_moment_ago_stays(store):
    old = make(store, "raw", b"old")
    make(store, "raw", b"new")
    assert "a moment ago" in collect_garbage(store, NOTHING_OLD, delete=True).kept[old.place]
    assert is_whole(store, old)


def test_confirming_what_is_current_does_not_put_that_off(tmp_path):
    store = Store(tmp_path)
    old = make(store, "raw", b"old")
    make(store, "raw", b"new")
    for name in ("current.json", f"{old.fingerprint}/manifest.json"):
        os.utime(tmp_path / "raw" / "p" / name, (time.time() - 2 * 3600,) * 2)
    assert make(store, "raw", b"new").reused
    assert removed(store) == places(old)


def test_what_a_process_reads_stays_with_its_lineage(store, settled):
    old, _ = make_lineage(store, b"old"), make_lineage(store, b"new")
    with hold(store, old[1]):
        garbage = collect_garbage(store, NOTHING_OLD, delete=True)
        assert {piece.place for piece in garbage.pieces} == places(old[2])
        assert f"process {os.getpid()}" in garbage.kept[old[1].place]
    assert removed(store) >= places(old[0], old[1])


def test_what_a_step_reads_stays_while_it_runs(store, settled):
    old, new = (make(store, "trained_gan", content) for content in (b"old", b"new"))

    def build(work) -> None:
        assert collect_garbage(store, NOTHING_OLD, delete=True).pieces == []
        (work.folder / "data.bin").write_bytes(b"data")

    assert is_whole(store, Step("samples", "p", {}, {"trained_gan": old}).produce(store, build))
    assert is_whole(store, old) and is_whole(store, new)


def test_a_version_that_is_being_made_again_stays(store, settled):
    old, _ = make(store, "raw", b"old"), make(store, "raw", b"new")
    with Lease(store, *old.place.split("/")):
        assert collect_garbage(store, NOTHING_OLD, delete=True).pieces == []
    assert removed(store) == places(old)


def test_while_a_process_does_not_say_what_it_reads_no_version_goes(tmp_path, settled):
    store = Store(tmp_path)
    old, _ = make(store, "raw", b"old"), make(store, "raw", b"new")
    with hold(store) as lease:
        path = tmp_path / "other" / "p" / ("f" * 64) / f"lease-{lease.number:06d}.json"
        holder = json.loads(path.read_text())
        del holder["reads"]
        path.write_text(json.dumps(holder))
        garbage = collect_garbage(store, NOTHING_OLD, delete=True)
    assert garbage.pieces == []
    assert "does not say: wait for it to end" in garbage.blocked[0]
    assert is_whole(store, old)


def test_while_a_manifest_or_a_pointer_cannot_be_read_no_version_goes(tmp_path, settled):
    store = Store(tmp_path)
    old, new = make(store, "raw", b"old"), make(store, "raw", b"new")
    other = make(store, "table", b"other")
    for path in (tmp_path / other.place).glob("manifest*.json"):
        path.write_text("{}")
    garbage = collect_garbage(store, NOTHING_OLD, delete=True)
    assert garbage.pieces == []
    assert other.place in garbage.blocked[0] and "is damaged" in garbage.blocked[0]

    (tmp_path / "raw" / "p" / "current.json").write_text("{")
    blocked = collect_garbage(store, NOTHING_OLD, delete=True).blocked
    assert any("raw/p/current.json is damaged" in reason for reason in blocked)
    assert is_whole(store, old) and is_whole(store, new)


def damage_manifest(folder: Path, *manifests: Manifest) -> None:
    for manifest in manifests:
        for path in (folder / manifest.place).glob("manifest*.json"):
            path.write_text("{}")


def make_twice(store: Store, asset: str, partition: str) -> Manifest:
    """The one of two that is not current."""
    old = make(store, asset, b"old", partition=partition)
    make(store, asset, b"new", partition=partition)
    return old


def test_what_cannot_be_read_holds_back_only_what_it_may_stand_on(tmp_path, settled):
    store = Store(tmp_path)
    shards, plain = make_twice(store, "image_shards", "d"), make_twice(store, "trained_gan", "plain")
    wide, table = make_twice(store, "trained_gan", "wide"), make_twice(store, "leaderboard", "all")
    damage_manifest(tmp_path, make(store, "samples", b"damaged", partition="plain"))
    garbage = collect_garbage(store, NOTHING_OLD, delete=True)
    assert {piece.place for piece in garbage.pieces} == places(wide, table)
    assert len(garbage.blocked) == 1 and "what samples/plain/" in garbage.blocked[0]
    assert all("may have been made from it" in garbage.kept[one.place] for one in (shards, plain))


def test_of_a_dataset_what_cannot_be_read_holds_back_nothing_of_experiments(tmp_path, settled):
    store = Store(tmp_path)
    make_twice(store, "raw_images", "d")
    wide = make_twice(store, "trained_gan", "wide")
    damage_manifest(tmp_path, make(store, "image_shards", b"damaged", partition="d"))
    assert removed(store) == places(wide)


def test_a_process_that_does_not_say_what_it_reads_holds_back_only_what_it_may_read(tmp_path, settled):
    store = Store(tmp_path)
    make_twice(store, "image_shards", "d")
    wide, samples = make_twice(store, "trained_gan", "wide"), make_twice(store, "samples", "plain")
    with Lease(store, "trained_gan", "plain", "f" * 64) as lease:
        path = tmp_path / "trained_gan" / "plain" / ("f" * 64) / f"lease-{lease.number:06d}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "reads": None}))
        garbage = collect_garbage(store, NOTHING_OLD, delete=True)
    assert {piece.place for piece in garbage.pieces} == places(wide)
    assert "may read it for trained_gan/plain" in garbage.kept[samples.place]


def test_where_it_is_not_known_what_is_current_that_partition_stays_with_what_it_was_made_from(
    tmp_path, settled
):
    store = Store(tmp_path)
    shards = make(store, "image_shards", b"old", partition="d")
    old = make(store, "trained_gan", b"old", partition="plain", image_shards=shards)
    make(store, "image_shards", b"new", partition="d")
    make(store, "trained_gan", b"new", partition="plain")
    wide = make_twice(store, "trained_gan", "wide")
    (tmp_path / "trained_gan" / "plain" / "current.json").write_text("{")
    garbage = collect_garbage(store, NOTHING_OLD, delete=True)
    assert {piece.place for piece in garbage.pieces} == places(wide)
    assert "it may be current" in garbage.kept[old.place] and is_whole(store, shards)


# --- at the same time -------------------------------------------------------------------------------------


def test_one_that_becomes_current_while_it_is_removed_is_whole_again(store, settled, monkeypatch):
    old, _ = make_lineage(store, b"old"), make_lineage(store, b"new")
    remove = Store.remove

    def remove_and_be_overtaken(self, relative):
        remove(self, relative)
        if relative == f"{old[2].place}/manifest.json":
            store.point_to(old[2])

    monkeypatch.setattr(Store, "remove", remove_and_be_overtaken)
    garbage = collect_garbage(store, NOTHING_OLD, delete=True)
    assert "has become current meanwhile" in garbage.pieces[0].problem
    assert all("was made from it, and stays" in piece.problem for piece in garbage.pieces[1:])
    assert len(garbage.pieces) == 3 and garbage.freed_bytes == 0
    assert all(is_whole(store, one) for one in old)
    assert store.current("sum", "p") == old[2]


def test_one_that_is_removed_while_it_is_reused_is_made_again(store, monkeypatch):
    old = make(store, "raw", b"old")
    make(store, "raw", b"new")
    point_to = Store.point_to

    def point_too_late(self, manifest):
        monkeypatch.setattr(Store, "point_to", point_to)
        removing.remove_version(store, old.place.split("/"))
        point_to(self, manifest)

    monkeypatch.setattr(Store, "point_to", point_too_late)
    again = make(store, "raw", b"old")
    assert not again.reused
    assert store.current("raw", "p") == again
    assert is_whole(store, again)


def test_nobody_who_reuses_old_versions_meanwhile_loses_anything(tmp_path, settled):
    """Steps that go back and forth between versions, beside one who clears away all the time."""
    store = Store(tmp_path)
    done, errors, rounds = threading.Event(), [], 0

    def build(work) -> None:
        (work.folder / "data.bin").write_bytes(b"data")

    def by_steps(number: int) -> Manifest:
        shards = Step("image_shards", "p", {"number": number}).produce(store, build)
        trained = Step("trained_gan", "p", {}, {"image_shards": shards}).produce(store, build)
        return Step("samples", "p", {}, {"trained_gan": trained}).produce(store, build)

    def work() -> None:
        try:
            for number in range(20):
                made = by_steps(number % 3)
                assert is_whole(store, made)
                assert store.require("samples", "p") == made
        except BaseException as error:
            errors.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=work)
    thread.start()
    while not done.is_set():
        rounds += 1
        collect_garbage(store, KeepPolicy(keep=Keep(versions=0, days=0)), delete=True)
    thread.join(60)
    assert errors == []
    assert rounds > 1


# --- killed in the middle ---------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [1, 2])  # the manifest; and the files
def test_a_removal_that_is_killed_leaves_nothing_half_there(store, settled, after):
    old, new = make_lineage(store, b"old"), make_lineage(store, b"new")
    process = start(remove_and_hang, store, tuple(old[2].place.split("/")), after)
    names = store.list_names(old[2].place)
    kill(process)
    assert "manifest.json" not in names and len(names) > 1
    assert not is_whole(store, old[2])
    assert all(is_whole(store, one) for one in (*old[:2], *new))

    assert removed(store) == {*places(*old), "sum/p/lease-000001.json"}
    assert store.list_names(old[2].place) == []
    assert all(is_whole(store, one) for one in new)


def test_what_a_killed_removal_left_is_made_again_by_the_next_step(store):
    old, _ = make(store, "raw", b"old"), make(store, "raw", b"new")
    kill(start(remove_and_hang, store, tuple(old.place.split("/")), 1))
    again = make(store, "raw", b"old")
    assert not again.reused and is_whole(store, again)


# --- what attempts left -----------------------------------------------------------------------------------


def test_a_killed_attempt_goes_and_one_that_is_at_work_stays(tmp_path):
    store = Store(tmp_path)
    process = start(make_and_hang, store)
    assert [version.state for version in scan(store).chosen([])] == ["attempt in progress"]
    assert removed(store) == set()
    kill(process)
    assert [version.state for version in scan(store).chosen([])] == ["killed attempt"]
    assert len(removed(store)) == 1
    assert store.list_names("raw/p") == []


def test_what_another_host_left_goes_once_it_is_old(tmp_path):
    store = Store(tmp_path)
    file = tmp_path / "raw" / "p" / ("a" * 64) / "files-00000000-1-1-00000000" / "half"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"half")
    assert removed(store) == set()
    for path in (file, file.parent):
        os.utime(path, (time.time() - ABANDONED_SECONDS - 60,) * 2)
    assert removed(store) == {f"raw/p/{'a' * 64}"}


def test_what_a_step_could_go_on_from_stays_for_its_time(tmp_path):
    store = Store(tmp_path)
    place = f"trained_gan/p/{'a' * 64}"
    store.write_atomically(f"{place}/{CHECKPOINTS}/last.pt", b"state")
    dead = {"owner": "x", "host": "h", "processes": "", "pid": 1, "since": 0, "heartbeat": 0, "reads": []}
    store.write_atomically(f"{place}/lease-000001.json", json.dumps(dead).encode())
    assert removed(store, KeepPolicy(unfinished_days=1)) == set()
    for path in (tmp_path / place).rglob("*"):
        os.utime(path, (time.time() - 2 * DAY,) * 2)
    with Lease(store, *place.split("/"), heartbeat=0.1, stale_after=0.5):  # somebody goes on with it
        assert removed(store, KeepPolicy(unfinished_days=1)) == set()
    assert removed(store, KeepPolicy(unfinished_days=1)) == {place}
    assert store.list_names("trained_gan/p") == []


def test_a_forced_attempt_that_was_stopped_stays_for_its_time_beside_the_whole_artefact(tmp_path):
    store = Store(tmp_path)
    made = make(store, "raw", b"one")
    store.begin_again(*made.place.split("/"))
    store.write_atomically(f"{made.place}/{CHECKPOINTS}/last.pt", b"state")
    assert removed(store, KeepPolicy(unfinished_days=1)) == set()
    assert store.is_begun_again(*made.place.split("/"))
    assert removed(store) == {made.place}
    assert not store.is_begun_again(*made.place.split("/"))
    assert is_whole(store, made)


def test_leftovers_beside_a_whole_artefact_and_beside_partitions_go(tmp_path):
    store = Store(tmp_path)
    made = make(store, "raw", b"one")
    dead = f"{_host()}-{_dead_process()}-1-00000000"
    left = [f"{made.place}/files-{dead}/half", f"raw/p/.current.json.{dead}", f"raw/.table.csv.{dead}"]
    for path in left:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(b"half")
    assert removed(store) == {made.place, *left[1:]}
    assert not any((tmp_path / path).exists() for path in left)
    assert is_whole(store, made)


def test_notes_of_a_pass_over_images_go_once_they_are_old(tmp_path):
    store = Store(tmp_path)
    store.write_atomically("raw_images/p/hashed-0123/train-000000.parquet", b"rows")
    assert removed(store, KeepPolicy(unfinished_days=1)) == set()
    with Lease(store, "raw_images", "p", ""):
        assert removed(store) == set()
    assert removed(store) == {"raw_images/p/hashed-0123"}


def test_curves_go_with_their_training(tmp_path, settled):
    store = Store(tmp_path)
    trained = [make(store, "trained_gan", content) for content in (b"1", b"2")]
    folders = [tensorboard_folder(store, "p", one.fingerprint) for one in trained]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "events").write_bytes(b"curve")
    assert removed(store) == {trained[0].place, folders[0].relative_to(tmp_path).as_posix()}
    assert [folder.exists() for folder in folders] == [False, True]


def test_an_asset_on_another_disk_is_seen_through_its_link(tmp_path, settled):
    store, elsewhere = Store(tmp_path / "store"), tmp_path / "disk"
    raw, _, total = make_lineage(store, b"old")
    make(store, "raw", b"new")
    (tmp_path / "store" / "sum" / "p").rename(elsewhere)
    (tmp_path / "store" / "sum" / "p").symlink_to(elsewhere)
    assert removed(store) == set()
    assert is_whole(store, raw) and is_whole(store, total)


def _host() -> str:
    from gan_core.store.attempts import attempt_name

    return attempt_name().split("-")[0]


def _dead_process() -> int:
    """A number that no process has."""
    return int(Path("/proc/sys/kernel/pid_max").read_text()) + 1
