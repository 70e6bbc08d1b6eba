"""Zips, whole, damaged and made to do harm."""

import io
import os
import struct
import zipfile
import zlib

import numpy as np
import pytest

from gan_core.data.sources.file_collections import open_files
from gan_core.errors import SourceError

RNG = np.random.default_rng(0)
CONTENTS = {f"a/{index:02d}.png": RNG.bytes(3_000) + bytes(3_000) for index in range(12)}


def packed(contents: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def opened(tmp_path):
    def open_zip(content: bytes):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.zip"
        path.write_bytes(content)
        return open_files(str(path), tmp_path / "cache", emit=lambda line: None)

    return open_zip


def contents_of(files) -> dict[str, bytes]:
    return {name: files.read(name) for name in files.names()}


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_every_method_is_read(opened, method):
    assert contents_of(opened(packed(CONTENTS, method))) == CONTENTS


def test_what_stands_before_a_zip_does_not_matter(opened):
    assert contents_of(opened(b"#!/bin/sh\n" * 100 + packed(CONTENTS))) == CONTENTS


def test_a_large_zip_has_larger_numbers(opened):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("a.png", "w", force_zip64=True) as member:
        member.write(b"content")
    assert contents_of(opened(buffer.getvalue())) == {"a.png": b"content"}


def test_a_name_that_is_not_the_utf8_it_says_is_an_error(opened):
    content = packed({"é.png": b"1"}).replace("é".encode(), b"\xff\xfe")
    with pytest.raises(SourceError, match="cannot be opened as an archive: 'utf-8' codec"):
        opened(content)


def test_an_encrypted_member_is_named(opened):
    content = bytearray(packed({"a.png": b"1"}))
    content[content.index(b"PK\1\2") + 8] |= 1
    with pytest.raises(SourceError, match=r"`a\.png` cannot be read: .*password"):
        contents_of(opened(bytes(content)))


def test_a_damaged_zip_never_gives_wrong_or_fewer_images(opened):
    """Cut anywhere, or a byte changed, or a page of zeros: an error in one line, or all of it as it was.

    A changed name in the table of contents is a changed name: the only thing that a zip does not check.
    """
    whole, rng = packed(CONTENTS), np.random.default_rng(1)
    refused = 0
    for attempt in range(300):
        broken = bytearray(whole)
        if attempt % 3 == 0:
            del broken[rng.integers(0, len(whole)) :]
        elif attempt % 3 == 1:
            broken[rng.integers(0, len(whole))] ^= rng.integers(1, 256)
        else:
            page = rng.integers(0, len(whole) - 4096)
            broken[page : page + 4096] = bytes(4096)
        try:
            found = contents_of(opened(bytes(broken)))
        except SourceError as error:
            assert "\n" not in str(error)
            refused += 1
        else:
            assert sorted(found.values()) == sorted(CONTENTS.values())
    assert refused > 200


def bomb(claimed: int, real: int) -> bytes:
    """A zip whose table says that its member has `claimed` bytes, and which grows to `real`."""
    content = bytearray(packed({"a.png": bytes(real)}))
    for mark, place in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        start = content.index(mark) + place
        content[start : start + 4] = struct.pack("<I", claimed)
    return bytes(content)


def test_a_member_that_grows_beyond_what_it_says_is_not_read_whole(opened, monkeypatch):
    longest = []
    decompressor = zlib.decompressobj

    class Watched:
        def __init__(self, bits):
            self.inner = decompressor(bits)

        def decompress(self, content, limit):
            longest.append(len(self.inner.decompress(content, limit)))
            return bytes(longest[-1])

    monkeypatch.setattr("gan_core.data.sources.zips.zlib.decompressobj", Watched)
    with pytest.raises(SourceError, match="not what the archive's table says"):
        contents_of(opened(bomb(claimed=1_000, real=50_000_000)))
    assert longest == [1_001]


def test_a_member_that_is_too_large_is_not_read(opened, monkeypatch):
    monkeypatch.setenv("GAN_MAX_IMAGE_MB", "1")
    files = opened(packed({"a.png": bytes(2**20), "b.png": bytes(2**20 + 1)}))
    assert len(files.read("a.png")) == 2**20
    with pytest.raises(SourceError, match="1,048,577 bytes are more than GAN_MAX_IMAGE_MB=1 allows"):
        files.read("b.png")


def test_random_bytes_are_no_zip(opened):
    for size in (0, 100, 10_240):
        with pytest.raises(SourceError, match="cannot be opened as an archive"):
            opened(os.urandom(size))
