"""Tars that are whole, and damaged ones, which give all images or an error, and never fewer images."""

import io
import os
import subprocess
import tarfile

import numpy as np
import pytest

from gan_core.data.sources import tars
from gan_core.data.sources.file_collections import open_files
from gan_core.errors import SourceError

RNG = np.random.default_rng(0)
CONTENTS = {f"some/folder/{index:02d}.png": RNG.bytes(5_000 + 700 * index) for index in range(12)}
DIALECTS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def packed(contents: dict[str, bytes], dialect: str = "ustar", **options) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=DIALECTS[dialect], **options) as archive:
        for name, content in contents.items():
            add(archive, name, content)
    return buffer.getvalue()


def add(archive: tarfile.TarFile, name: str, content: bytes = b"", **fields) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for field, value in fields.items():
        setattr(member, field, value)
    archive.addfile(member, io.BytesIO(content))


@pytest.fixture
def opened(tmp_path):
    """Opens the bytes of a tar as a source does."""

    def open_tar(content: bytes):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.tar"
        path.write_bytes(content)
        return open_files(str(path), tmp_path / "cache", emit=lambda line: None)

    return open_tar


def contents_of(files) -> dict[str, bytes]:
    return {name: files.read(name) for name in files.names()}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_is_read(opened, dialect):
    long = {f"{'deep/' * 30}{'x' * 120 if dialect != 'ustar' else 'x'}{i}.png": b"%d" % i for i in range(3)}
    long = long if dialect != "ustar" else {}
    assert contents_of(opened(packed({**CONTENTS, **long, "leer.png": b""}, dialect))) == {
        **CONTENTS,
        **long,
        "leer.png": b"",
    }


def header_places(whole: bytes) -> list[int]:
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        return [member.offset for member in archive]


def damaged_in_every_way(whole: bytes, count: int):
    """Cut at a random byte and at a block's edge, a header's byte changed, a page of zeros."""
    rng = np.random.default_rng(1)
    headers = header_places(whole)
    for _ in range(count):
        yield "cut", whole[: rng.integers(0, len(whole))]
        yield "cut at a block", whole[: 512 * rng.integers(0, len(whole) // 512)]
        broken = bytearray(whole)
        broken[rng.choice(headers) + rng.integers(0, 512)] ^= rng.integers(1, 256)
        yield "header", bytes(broken)
        broken = bytearray(whole)
        page = 4096 * rng.integers(0, len(whole) // 4096)
        broken[page : page + 4096] = bytes(4096)
        yield "page", bytes(broken)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_damaged_tar_never_loses_images_in_silence(opened, dialect):
    whole = packed(CONTENTS, dialect)
    outcomes = {"refused": 0, "all": 0}
    for kind, content in damaged_in_every_way(whole, 100):
        try:
            files = opened(content)
        except SourceError as error:
            assert "\n" not in str(error)
            outcomes["refused"] += 1
            continue
        assert files.names() == list(CONTENTS), kind
        if kind != "page":  # which also falls into an image
            assert contents_of(files) == CONTENTS, kind
        outcomes["all"] += 1
    assert min(outcomes.values()) > 20, outcomes


def test_a_cut_at_a_members_edge_is_named(opened):
    whole = packed(CONTENTS)
    third = header_places(whole)[3]
    with pytest.raises(SourceError, match="cut off"):
        opened(whole[:third])


def test_a_page_of_zeros_is_no_end(opened):
    whole = packed(CONTENTS)
    offset = header_places(whole)[3]
    with pytest.raises(SourceError, match=f"more after what looks like its end at byte {offset:,}"):
        opened(whole[:offset] + bytes(1024) + whole[offset + 1024 :])


def test_several_tars_in_one_file_are_refused(opened):
    with pytest.raises(SourceError, match="several tars in one file"):
        opened(packed({"a.png": b"1"}) + packed({"b.png": b"2"}))


def test_hard_links_and_links_to_members_have_the_content_of_these(opened):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        add(archive, "./a/first.png", b"first")
        add(archive, "./a/hard.png", type=tarfile.LNKTYPE, linkname="./a/first.png")
        add(archive, "./b/soft.png", type=tarfile.SYMTYPE, linkname="../a/chain.png")
        add(archive, "./a/chain.png", type=tarfile.SYMTYPE, linkname="hard.png")
        add(archive, "ring.png", type=tarfile.SYMTYPE, linkname="ring.png")
        add(archive, "out.png", type=tarfile.SYMTYPE, linkname="../../etc/passwd")
        add(archive, "pipe.png", type=tarfile.FIFOTYPE)
    files = opened(buffer.getvalue())
    names = ["a/chain.png", "a/first.png", "a/hard.png", "b/soft.png"]
    assert contents_of(files) == dict.fromkeys(names, b"first")
    assert dict(files.table().problems) == {
        "ring.png": "a link to `ring.png`, which is not in the archive",
        "out.png": "a link to `../../etc/passwd`, which is not in the archive",
        "pipe.png": "a pipe, a device or of a type that is not known",
    }


@pytest.mark.parametrize(
    "options", [["--format=gnu"], ["--format=pax"], ["--format=pax", "--sparse-version=0.1"]]
)
def test_sparse_members_are_read_with_their_holes(tmp_path, opened, options):
    (tmp_path / "in").mkdir()
    with open(tmp_path / "in" / "a.png", "wb") as file:
        for place in range(6):  # more parts than fit into one header
            file.seek(place * 200_000)
            file.write(b"%d" % place * 5000)
        file.truncate(1_500_000)
    (tmp_path / "in" / "b.png").write_bytes(b"after it")
    command = [
        "tar",
        "-cf",
        tmp_path / "x.tar",
        "--sparse",
        *options,
        "-C",
        tmp_path / "in",
        "a.png",
        "b.png",
    ]
    subprocess.run(command, check=True)
    content = (tmp_path / "x.tar").read_bytes()
    assert len(content) < 500_000  # it is sparse
    expected = {name: (tmp_path / "in" / name).read_bytes() for name in ("a.png", "b.png")}
    assert contents_of(opened(content)) == expected


def test_of_members_with_one_name_the_last_counts_and_the_others_are_named(opened):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for content in (b"1", b"2", b"3"):
            add(archive, "a.png", content)
    files = opened(buffer.getvalue())
    assert contents_of(files) == {"a.png": b"3"}
    assert files.table().problems == [("a.png", "another file of this name comes later in the archive")] * 2


def test_a_name_that_is_not_utf8_is_named(opened):
    content = packed({"\udcff\udcfe.png": b"1", "b.png": b"2"}, encoding="utf-8", errors="surrogateescape")
    files = opened(content)
    assert files.names() == ["b.png"]
    assert files.table().problems == [(r"\xff\xfe.png", "its name is not UTF-8: rename it")]


def test_a_header_that_says_it_is_long_is_not_read(opened, monkeypatch):
    monkeypatch.setattr(tars, "LARGEST_HEADER", 10_000)
    with pytest.raises(SourceError, match="a header of 20,.* bytes"):
        opened(packed({"x" * 20_000: b""}, "gnu"))


def test_random_bytes_are_no_tar(opened):
    for size in (0, 100, 512, 10_240):
        with pytest.raises(SourceError, match="cannot be opened as an archive"):
            opened(os.urandom(size))
