"""The manifest: how it is written, and what is refused when it is read."""

import hashlib
import json
from pathlib import Path

import pytest

from gan_core.errors import DamagedError, StoreError
from gan_core.store import Build, Store
from gan_core.store.manifest import Manifest

KEY = "9" * 64
# As the first version of this project wrote it: no number of a format, no hash of itself.
FIRST_FORMAT = {
    "asset": "thing",
    "partition": "p",
    "fingerprint": KEY,
    "code_version": "3",
    "config": {"a": 1, "b": None},
    "inputs": {"raw": "8" * 64},
    "input_versions": {"raw": "7" * 64},
    "files": {"sub/data.bin": {"path": "files-0badf00d/sub/data.bin", "size": 3, "sha256": "6" * 64}},
    "figures": {"bytes": 3, "share": 0.5, "verdict": "healthy", "fid": None},
    "details": {"classes": ["a", "b"]},
    "created_at": "2026-01-01T00:00:00+00:00",
    "seconds": 1.5,
}


def sealed(content: dict) -> bytes:
    """A manifest with a hash of itself, computed here on its own terms."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return json.dumps({**content, "sha256": hashlib.sha256(canonical.encode()).hexdigest()}).encode()


def place(store: Store, text: bytes) -> Path:
    path = Path(store.folder("thing", "p", KEY)) / "manifest.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    return path


def make(store: Store) -> tuple[Manifest, Path]:
    def build(work: Build) -> None:
        (work.folder / "data.bin").write_bytes(b"one")
        work.figures |= {"fid": 12.5, "größe": "ä", "not_a_number": float("nan")}

    manifest = store.produce("thing", "p", config={}, inputs={}, code_version="1", build=build)
    return manifest, Path(store.folder("thing", "p", manifest.fingerprint)) / "manifest.json"


def test_it_has_a_format_number_and_a_hash_of_itself(tmp_path):
    _, path = make(Store(tmp_path))
    content = json.loads(path.read_text())
    assert content["format"] == 3
    digest = content.pop("sha256")
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert digest == hashlib.sha256(canonical.encode()).hexdigest()
    assert content["figures"] == {"fid": 12.5, "größe": "ä", "not_a_number": None}


def test_one_of_the_first_format_is_read_as_what_it_said(tmp_path):
    place(Store(tmp_path), json.dumps(FIRST_FORMAT).encode())
    manifest = Store(tmp_path).read_manifest("thing", "p", KEY)
    (entry,) = FIRST_FORMAT["files"].values()
    expected = {**FIRST_FORMAT, "format": 3, "files": {"sub/data.bin": {**entry, "counts": True}}}
    expected["provenance"] = {}
    assert manifest.model_dump(mode="json") == expected
    # What stands on it stays valid: its version is still the hash that it was.
    known = json.dumps([KEY, {"sub/data.bin": "6" * 64}], separators=(",", ":"))
    assert manifest.version == hashlib.sha256(known.encode()).hexdigest()


def test_one_of_the_second_format_is_read_as_what_it_said(tmp_path):
    place(Store(tmp_path), sealed({**FIRST_FORMAT, "format": 2}))
    manifest = Store(tmp_path).read_manifest("thing", "p", KEY)
    known = json.dumps([KEY, {"sub/data.bin": "6" * 64}], separators=(",", ":"))
    assert manifest.version == hashlib.sha256(known.encode()).hexdigest()
    assert manifest.figures == FIRST_FORMAT["figures"]


def test_a_file_that_does_not_count_is_kept_and_verified_but_changes_no_version(tmp_path):
    def made(store: Store, seconds: bytes) -> Manifest:
        def build(work: Build) -> None:
            (work.folder / "data.bin").write_bytes(b"one")
            (work.folder / "times").write_bytes(seconds)
            work.not_counting.add("times")

        return store.produce("thing", "p", config={}, inputs={}, code_version="1", build=build)

    one, other = Store(tmp_path / "one"), Store(tmp_path / "other")
    manifest = made(one, b"3 s")
    assert manifest.version == made(other, b"4 s").version
    assert one.current("thing", "p").version == manifest.version
    one.local(manifest, "times").write_bytes(b"5 s")
    assert one.problems(manifest, hashes=True)


def test_one_of_a_later_format_is_refused_with_the_remedy_and_left_alone(tmp_path):
    store = Store(tmp_path)
    text = sealed({**FIRST_FORMAT, "format": 4, "something_new": {}})
    path = place(store, text)
    with pytest.raises(DamagedError) as caught:
        store.read_manifest("thing", "p", KEY)
    assert str(caught.value) == (
        f"{path}: it has format 4, and this version reads formats up to 3: update gan-pipelines, or name "
        "another store with GAN_STORE"
    )
    assert path.read_bytes() == text


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["figures"].update(fid=1.25),
        lambda content: content["details"].update(note="edited"),
        lambda content: content.update(something=1),
        lambda content: content.pop("figures"),
        lambda content: content.pop("sha256"),
        lambda content: content["files"]["data.bin"].update(size=4),
        lambda content: content.update(seconds="long"),
    ],
)
def test_an_edited_one_without_a_copy_is_known_by_its_own_hash_and_named(tmp_path, change):
    store = Store(tmp_path)
    manifest, path = make(store)
    path.with_name("manifest-copy.json").unlink()
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(DamagedError) as caught:
        store.require("thing", "p")
    assert str(caught.value) == (
        f"{path} is damaged or was edited: its content does not match its own sha256; "
        "run `python -m gan_core thing p --force`"
    )
    assert store.all_current("thing", ["p"]) == {}
    path.unlink()
    assert make(store)[0].fingerprint == manifest.fingerprint


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content.pop("files"), None),
        (lambda content: content.pop("config"), "config: Field required"),
        (lambda content: content.update(something=1), "something: Extra inputs are not permitted"),
        (lambda content: content.update(details=[]), "details: Input should be a valid dictionary"),
        (lambda content: content.update(figures={"fid": [1]}), "figures.fid"),
        (lambda content: content["files"]["sub/data.bin"].update(size=-1), "files.sub/data.bin.size"),
        (
            lambda content: content["files"]["sub/data.bin"].update(sha256="short"),
            "files.sub/data.bin.sha256",
        ),
        (lambda content: content["files"]["sub/data.bin"].pop("path"), "files.sub/data.bin.path: Field req"),
        (lambda content: content.update(format="2"), "its format is '2', not a number from 1 to 3"),
        (lambda content: content.update(format=True), "its format is True"),
        (lambda content: content.update(format=0), "its format is 0"),
    ],
)
def test_a_key_of_the_first_format_that_is_wrong_is_named(tmp_path, change, reason):
    content = json.loads(json.dumps(FIRST_FORMAT))
    change(content)
    place(Store(tmp_path), json.dumps(content).encode())
    if reason is None:
        assert Store(tmp_path).read_manifest("thing", "p", KEY).files == {}
        return
    with pytest.raises(DamagedError) as caught:
        Store(tmp_path).read_manifest("thing", "p", KEY)
    assert f"manifest.json is damaged or was edited: {reason}" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"null", b"[1]", b'"text"', b"\xff\xfe", b"[" * 100_000, b'{"format": ' + b"9" * 5000 + b"}"],
)
def test_what_is_no_manifest_is_one_clear_error(tmp_path, text):
    place(Store(tmp_path), text)
    with pytest.raises(DamagedError, match="manifest.json is damaged or was edited: .*thing p --force"):
        Store(tmp_path).read_manifest("thing", "p", KEY)


def test_a_folder_in_place_of_the_manifest_is_one_clear_error(tmp_path):
    _, path = make(Store(tmp_path))
    path.unlink()
    path.mkdir()
    with pytest.raises(DamagedError, match="manifest.json cannot be read: Is a directory; .*remove it and"):
        make(Store(tmp_path))


@pytest.mark.parametrize(
    "outside",
    [
        "/etc/passwd",
        "../../../secret",
        "files-1/../../../../secret",
        "..",
        ".",
        "",
        "files-1//data",
        "s3://bucket/secret",
        "file:///etc/passwd",
        "..\\secret",
        "files-1\\data",
        "files-1/\0",
    ],
)
@pytest.mark.parametrize("of", ["path", "name"])
def test_a_path_that_leaves_the_artefact_is_refused_before_anything_is_hashed(
    tmp_path, monkeypatch, outside, of
):
    store = Store(tmp_path / "store")
    (tmp_path / "secret").write_bytes(b"abc")
    entry = {"path": "files-1/data", "size": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}
    files = {"data": {**entry, "path": outside}} if of == "path" else {outside: entry}
    place(store, sealed({**FIRST_FORMAT, "format": 2, "files": files}))
    monkeypatch.setattr(Store, "_sha256", lambda *_: pytest.fail("a file was hashed"))
    monkeypatch.setattr("gan_core.store.sha256_of", lambda *_: pytest.fail("a file was hashed"))
    with pytest.raises(DamagedError) as caught:
        store.read_manifest("thing", "p", KEY)
    assert f"`{outside}` is not a path inside the artefact's folder" in str(caught.value)
    assert "manifest.json is damaged or was edited: files." in str(caught.value)


@pytest.mark.parametrize("key", ["asset", "partition", "fingerprint"])
def test_one_of_another_folder_is_refused(tmp_path, key):
    other = {**FIRST_FORMAT, "format": 2, key: "5" * 64}
    place(Store(tmp_path), sealed(other))
    found = f"{other['asset']}/{other['partition']}/{other['fingerprint']}"
    with pytest.raises(DamagedError, match=f"it is the manifest of {found}"):
        Store(tmp_path).read_manifest("thing", "p", KEY)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"fingerprint": 5}', '{"fingerprint": "../../elsewhere"}', '{"fingerprint": "9"}'],
)
def test_a_pointer_to_no_fingerprint_is_refused(tmp_path, text):
    store = Store(tmp_path)
    make(store)
    (tmp_path / "thing" / "p" / "current.json").write_text(text)
    with pytest.raises(DamagedError, match="current.json is damaged or was edited: .*thing p`"):
        store.current("thing", "p")


# --- mended -----------------------------------------------------------------------------------------------

DAMAGE = {
    "torn": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "emptied": lambda path: path.write_bytes(b""),
    "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "edited": lambda path: path.write_text(path.read_text().replace("12.5", "2.5")),
    "another's": lambda path: path.write_bytes(sealed({**FIRST_FORMAT, "format": 2})),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_one_is_mended_from_its_copy_where_all_that_it_names_is_whole(tmp_path, caplog, damage):
    store = Store(tmp_path)
    manifest, path = make(store)
    text = path.read_bytes()
    damage(path)
    assert store.require("thing", "p").files == manifest.files
    assert path.read_bytes() == text
    (line,) = caplog.messages
    assert line.startswith(f"{path} was damaged or edited (") and line.endswith("): mended from its copy")
    damage(path)
    assert make(store)[0].reused
    assert path.read_bytes() == text


@pytest.mark.parametrize("of", ["manifest-copy.json", "data.bin"])
@pytest.mark.parametrize("lost", ["removed", "torn"])
def test_none_is_mended_where_the_copy_or_a_file_is_not_whole(tmp_path, of, lost):
    store = Store(tmp_path)
    manifest, path = make(store)
    path.write_bytes(path.read_bytes()[:100])
    file = path.with_name(of) if of.endswith(".json") else store.local(manifest, of)
    file.unlink() if lost == "removed" else file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DamagedError, match="manifest.json is damaged or was edited: .*thing p --force"):
        make(store)


def test_a_copy_says_nothing_where_there_is_no_manifest(tmp_path):
    store = Store(tmp_path)
    _, path = make(store)
    path.unlink()
    assert store.current("thing", "p") is None
    assert not make(store)[0].reused


def test_one_of_a_later_format_is_not_overwritten_by_a_copy(tmp_path):
    store = Store(tmp_path)
    manifest, path = make(store)
    text = sealed({**json.loads(manifest.model_dump_json()), "format": 4})
    path.write_bytes(text)
    with pytest.raises(DamagedError, match="it has format 4"):
        store.current("thing", "p")
    assert path.read_bytes() == text


def test_one_that_an_earlier_version_wrote_gets_a_copy_when_it_is_reused(tmp_path):
    store = Store(tmp_path)
    _, path = make(store)
    copy = path.with_name("manifest-copy.json")
    copy.unlink()
    assert make(store)[0].reused
    assert copy.read_bytes() == path.read_bytes()


def test_where_the_store_cannot_be_written_the_copy_is_read(tmp_path, monkeypatch, caplog):
    store = Store(tmp_path)
    manifest, path = make(store)
    path.write_bytes(b"{")

    def refuse(*_):
        raise StoreError("read-only")

    monkeypatch.setattr(Store, "write_atomically", refuse)
    assert store.current("thing", "p").files == manifest.files
    assert "its copy is read: read-only" in caplog.text
    assert path.read_bytes() == b"{"


def test_a_forced_artefact_that_was_not_finished_is_still_known_as_such(tmp_path):
    store = Store(tmp_path)
    manifest, path = make(store)
    store.begin_again("thing", "p", manifest.fingerprint)
    path.write_bytes(path.read_bytes()[:100])
    assert store.reuse("thing", "p", manifest.fingerprint) is None
    assert not make(store)[0].reused
