"""Artefacts go from one store to another, and through an archive, whole or not at all."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from gan_core.errors import GanError, StoreError
from gan_core.housekeeping import moving
from gan_core.housekeeping.contents import COPYING
from gan_core.housekeeping.garbage import collect_garbage
from gan_core.housekeeping.moving import export_artefacts, import_artefacts
from gan_core.store import Manifest, Store
from gan_core.versions import CODE_VERSIONS
from tests.gan_core.housekeeping.hanging import import_and_hang, kill, start
from tests.gan_core.housekeeping.lineages import NOTHING_OLD, is_whole, make, make_lineage


@pytest.fixture
def source(tmp_path) -> Store:
    return Store(tmp_path / "source")


@pytest.fixture(autouse=True)
def known_assets(monkeypatch) -> None:
    for name in ("raw", "table", "sum"):
        monkeypatch.setitem(CODE_VERSIONS, name, "1")


def content_of(store: Store, manifest: Manifest) -> dict[str, bytes]:
    return {name: store.local(manifest, name).read_bytes() for name in manifest.files}


# --- between stores ---------------------------------------------------------------------------------------


def test_chosen_artefacts_arrive_with_their_lineage_and_are_current(source, store):
    made = make_lineage(source, b"1")
    other = make(source, "other", b"1")
    moved = export_artefacts(source, store.url, ["sum"], lineage=True)
    assert moved.copied == [one.place for one in made]
    assert moved.became_current == ["raw/p", "table/p", "sum/p"]
    assert moved.bytes == sum(one.total_bytes for one in made)
    arrived = Store(store.url, cache=store.cache)
    assert all(is_whole(arrived, one) and content_of(arrived, one) == content_of(source, one) for one in made)
    assert not is_whole(arrived, other)
    assert make(arrived, "raw", b"1").reused
    assert arrived.list_names(COPYING) == []

    back = Store(source.url + "-2")
    import_artefacts(back, store.url)
    assert [back.current(one.asset, "p") for one in made] == list(made)


def test_without_lineage_and_old_versions_only_what_is_current_and_named_arrives(source, tmp_path):
    old, new = make_lineage(source, b"1"), make_lineage(source, b"2")
    target = Store(tmp_path / "target")
    assert export_artefacts(source, target.root, ["sum/*"]).copied == [new[2].place]
    moved = export_artefacts(source, target.root, ["sum"], old_versions=True)
    assert (moved.copied, moved.present) == ([old[2].place], [new[2].place])
    assert target.current("sum", "p") == new[2]


def test_what_is_current_here_stays_so_unless_told(source, tmp_path):
    mine = Store(tmp_path / "mine")
    there, here = make(source, "raw", b"there"), make(mine, "raw", b"here")
    assert import_artefacts(mine, source.root).became_current == []
    assert mine.current("raw", "p") == here and is_whole(mine, there)
    assert import_artefacts(mine, source.root, current=True).became_current == ["raw/p"]
    assert mine.current("raw", "p") == there


def test_other_content_under_the_same_fingerprint_is_refused_before_anything_is_copied(source, tmp_path):
    mine = Store(tmp_path / "mine")
    make_lineage(source, b"1")
    made = source.current("sum", "p")

    def build(work) -> None:
        (work.folder / "data.bin").write_bytes(b"another device")

    other = mine.produce(
        "sum",
        "p",
        config=made.config,
        inputs={"table/p": source.current("table", "p")},
        code_version="1",
        build=build,
    )
    assert other.fingerprint == made.fingerprint
    with pytest.raises(StoreError, match="with other content .* or replace it with --replace"):
        import_artefacts(mine, source.root)
    assert mine.list_names("raw") == [] and mine.current("sum", "p") == other
    import_artefacts(mine, source.root, replace=True)
    assert is_whole(mine, made)
    assert sorted(mine.list_names(made.place)) == sorted(source.list_names(made.place))


def test_damage_at_the_origin_is_named_and_nothing_of_it_is_visible(source, store):
    made = make(source, "raw", b"1")
    path = Path(source.file_path(made, "more.bin"))
    path.write_bytes(b"x" * made.files["more.bin"].size)
    with pytest.raises(StoreError, match="more.bin does not match its manifest .*goes on from here"):
        export_artefacts(source, store.url)
    assert not is_whole(store, made)
    path.write_bytes(b"1" * 100)
    export_artefacts(source, store.url)
    assert is_whole(store, made)


def test_what_is_damaged_here_is_mended(source, tmp_path):
    made = make(source, "raw", b"1")
    mine = Store(tmp_path / "mine")
    import_artefacts(mine, source.root)
    Path(mine.file_path(made, "more.bin")).write_bytes(b"")
    for path in (tmp_path / "mine" / made.place).glob("manifest*.json"):
        path.write_text("{}")
    moved = import_artefacts(mine, source.root)
    assert (moved.copied, moved.bytes) == ([made.place], made.files["more.bin"].size)
    assert is_whole(mine, made)


def test_a_disk_without_room_is_told_before_anything_is_copied(source, tmp_path, monkeypatch):
    make(source, "raw", b"1")
    monkeypatch.setattr(moving.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10}))
    for target in (tmp_path / "mine", tmp_path / "mine.tar"):
        with pytest.raises(StoreError, match="would need 101 bytes, and 10 bytes are free"):
            export_artefacts(source, target)
        assert not target.exists()


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("source", "is the store itself"),
        ("source/sub", "is the store itself, or in it"),
        ("source/a.tar", "is in the store"),
        ("a.tar.gz", "an archive is not packed: name a file that ends in .tar"),
        ("a.ZIP", "an archive is not packed"),
        ("s3://bucket/x.tar", "an archive is written to a local file"),
    ],
)
def test_a_place_that_cannot_be_is_refused(source, tmp_path, target, told):
    make(source, "raw", b"1")
    place = target if "://" in target else str(tmp_path / target)
    with pytest.raises(GanError, match=told):
        export_artefacts(source, place)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    assert [path.name for path in (tmp_path / "source").iterdir()] == ["raw"]


def test_a_killed_import_shows_nothing_half_and_goes_on(source, store, settled):
    made = make(source, "raw", b"1")
    process = start(import_and_hang, store, source.root)
    assert collect_garbage(store, NOTHING_OLD, delete=True).pieces == []  # it is at work
    kill(process)
    assert not is_whole(store, made) and store.current("raw", "p") is None
    moved = import_artefacts(store, source.root)
    first, second = made.files.values()
    assert moved.bytes == second.size != first.size
    assert is_whole(store, made) and store.current("raw", "p") == made
    garbage = collect_garbage(store, NOTHING_OLD, delete=True)
    assert [piece.place.split("/")[0] for piece in garbage.pieces] == [COPYING]
    assert store.list_names(COPYING) == [] and is_whole(store, made)


# --- archives ---------------------------------------------------------------------------------------------


def test_an_archive_has_the_same_bytes_each_time_and_brings_what_was_put_in(source, store, tmp_path):
    made = make_lineage(source, b"1")
    paths = [tmp_path / "a.tar", tmp_path / "b.tar"]
    for path in paths:
        assert export_artefacts(source, path, ["sum"], lineage=True).copied == [one.place for one in made]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with pytest.raises(StoreError, match="is there already: name another file, or replace it"):
        export_artefacts(source, paths[0])
    moved = import_artefacts(store, paths[0])
    assert moved.became_current == ["raw/p", "table/p", "sum/p"]
    assert all(is_whole(store, one) and content_of(store, one) == content_of(source, one) for one in made)
    assert import_artefacts(store, paths[0], ["raw"]).present == [made[0].place]


def test_of_damage_at_the_origin_there_is_no_archive(source, tmp_path):
    made = make(source, "raw", b"1")
    Path(source.file_path(made, "more.bin")).write_bytes(b"")
    with pytest.raises(StoreError, match="does not match its manifest"):
        export_artefacts(source, tmp_path / "a.tar")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def _plain(name: str, content: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    header = tarfile.TarInfo(name)
    header.size = len(content)
    return header, content


def _special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    header = tarfile.TarInfo(name)
    header.type, header.linkname = kind, target
    return header, b""


PLACE = f"raw/p/{'a' * 64}"
HOSTILE = {
    "parent": _plain("../outside"),
    "hidden parent": _plain(f"{PLACE}/files-1/../../../../../outside"),
    "absolute": _plain("/tmp/outside"),
    "backslash": _plain(f"{PLACE}\\..\\outside"),
    "symbolic link": _special(f"{PLACE}/files-1", tarfile.SYMTYPE, "/tmp"),
    "hard link": _special(f"{PLACE}/files-1", tarfile.LNKTYPE, "/etc/passwd"),
    "device": _special(f"{PLACE}/files-1", tarfile.CHRTYPE),
    "pipe": _special(f"{PLACE}/files-1", tarfile.FIFOTYPE),
    "folder": _special(f"{PLACE}/files-1", tarfile.DIRTYPE),
    "beside the artefacts": _plain("report/index.html"),
    "unknown asset": _plain(f"rwa/p/{'a' * 64}/x"),
    "report's first page": _plain(f"report/index.html/{'a' * 64}/x"),
    "hidden asset": _plain(f".copying/p/{'a' * 64}/x"),
    "without manifest": _plain(f"{PLACE}/files-1/x"),
    "pointer to nothing": _plain("raw/p/current.json", b'{"fingerprint": "%s"}' % (b"a" * 64)),
    "pointer that is none": _plain("raw/p/current.json", b"[]"),
    "damaged manifest": _plain(f"{PLACE}/manifest.json", b"{}"),
}


@pytest.mark.parametrize("member", HOSTILE.values(), ids=HOSTILE)
def test_a_member_that_an_archive_must_not_have_is_refused_with_all_of_it(source, tmp_path, member):
    make(source, "raw", b"1")
    path = tmp_path / "a.tar"
    export_artefacts(source, path)
    with tarfile.open(path, "a") as tar:
        tar.addfile(member[0], io.BytesIO(member[1]))
    before = set(tmp_path.rglob("*"))
    with pytest.raises(StoreError, match="a.tar is refused: .*Nothing of it was imported"):
        import_artefacts(Store(tmp_path / "mine"), path)
    assert set(tmp_path.rglob("*")) == before


def _rewritten(path: Path, change) -> None:
    """The archive with every member as `change(name, content)` gives it; None leaves one out."""
    with tarfile.open(path) as tar:
        members = [(member.name, tar.extractfile(member).read()) for member in tar]
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members:
            if (changed := change(name, content)) is not None:
                header, content = _plain(name, changed)
                tar.addfile(header, io.BytesIO(content))


CHANGES = {
    "lacks": lambda name, content: None if name.endswith("more.bin") else content,
    "another size": lambda name, content: content + b"x" if name.endswith("more.bin") else content,
    "damaged or was edited": lambda name, content: content.replace(b'"raw"', b'"rwa"'),
    "has no manifest": lambda name, content: None if name.endswith("manifest.json") else content,
}


@pytest.mark.parametrize(("told", "change"), CHANGES.items(), ids=CHANGES)
def test_an_archive_that_is_not_what_it_says_is_refused(source, tmp_path, told, change):
    make(source, "raw", b"1")
    path = tmp_path / "a.tar"
    export_artefacts(source, path)
    _rewritten(path, change)
    with pytest.raises(StoreError, match=f"a.tar is refused: .*{told}"):
        import_artefacts(Store(tmp_path / "mine"), path)
    assert not (tmp_path / "mine").exists()


def test_other_bytes_of_the_same_size_are_found_and_not_shown(source, tmp_path):
    made = make(source, "raw", b"1")
    path = tmp_path / "a.tar"
    export_artefacts(source, path)
    _rewritten(path, lambda name, content: b"x" * len(content) if name.endswith("more.bin") else content)
    mine = Store(tmp_path / "mine")
    with pytest.raises(StoreError, match="more.bin in .*a.tar does not match its manifest"):
        import_artefacts(mine, path)
    assert not is_whole(mine, made) and mine.current("raw", "p") is None


@pytest.mark.parametrize("left", [0, 100, 1000, 3000])
def test_an_archive_that_was_cut_off_is_refused(source, tmp_path, left):
    make(source, "raw", b"1")
    path = tmp_path / "a.tar"
    export_artefacts(source, path)
    os.truncate(path, left)
    with pytest.raises(StoreError, match="a.tar is (refused|no archive of artefacts)"):
        import_artefacts(Store(tmp_path / "mine"), path)
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("damage", ["a bit of it is changed", "it is cut off there", "the end is missing"])
def test_a_damaged_header_is_not_taken_for_the_end(source, tmp_path, damage):
    make_lineage(source, b"1")
    path = tmp_path / "a.tar"
    export_artefacts(source, path)
    with tarfile.open(path) as tar:
        members = tar.getmembers()
    offset = next(one.offset for one in members if one.name.startswith("sum/"))
    if damage == "the end is missing":
        offset = members[-1].offset_data + tarfile.BLOCKSIZE
    content = bytearray(path.read_bytes())
    if damage == "a bit of it is changed":
        content[offset + 150] ^= 1
    else:
        del content[offset:]
    path.write_bytes(content)
    with pytest.raises(StoreError, match="a.tar is refused: it is (cut off|damaged)"):
        import_artefacts(Store(tmp_path / "mine"), path)
    assert not (tmp_path / "mine").exists()


def test_a_champion_out_of_an_archive_is_crowned_only_where_that_is_said(source, tmp_path):
    made = make(source, "champion", b"1")
    export_artefacts(source, tmp_path / "a.tar")
    mine, said = Store(tmp_path / "mine"), []
    assert import_artefacts(mine, tmp_path / "a.tar", emit=said.append).became_current == []
    assert is_whole(mine, made) and mine.current("champion", "p") is None
    assert "`store import --current` makes it that" in said[0]
    moved = import_artefacts(mine, tmp_path / "a.tar", current=True, emit=said.append)
    assert (moved.present, moved.became_current) == ([made.place], ["champion/p"])
    assert len(said) == 1
    other = Store(tmp_path / "other")
    assert import_artefacts(other, source.root).became_current == ["champion/p"]


@pytest.mark.parametrize(
    "path", ["manifest.json", "data.bin", "checkpoints/last.pt", "lease-000001.json/x", ".hidden/x"]
)
def test_a_manifest_whose_files_would_take_another_ones_place_is_refused(source, tmp_path, path):
    made = make(source, "raw", b"1")
    entry = made.files["more.bin"].model_copy(update={"path": path})
    hostile = made.model_copy(update={"files": {"more.bin": entry}})
    store = Store(tmp_path / "hostile")
    store.write_atomically(f"{made.place}/manifest.json", hostile.to_json())
    store.write_atomically("raw/p/current.json", b'{"fingerprint": "%s"}' % made.fingerprint.encode())
    with pytest.raises(StoreError, match="names a file that is none of an artefact's"):
        import_artefacts(Store(tmp_path / "mine"), store.root)
    assert not (tmp_path / "mine").exists()
