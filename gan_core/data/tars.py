"""WebDataset tars: written byte-identically for identical input, read back sample by sample.

Format: https://github.com/webdataset/webdataset, consecutive members with one base name are one sample.
"""

import functools
import io
import itertools
import operator
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from gan_core.errors import StoreError

BLOCK = 512  # a tar's header, and the unit that contents are padded to
END = bytes(BLOCK)  # the first block of a tar's end
LONGEST_KEY = 90  # a ustar header has 100 bytes for a name
READ_BUFFER = 2**14
_key_of = operator.attrgetter("key")
KEY = re.compile(rf"[A-Za-z0-9_-]{{1,{LONGEST_KEY}}}")


def write_tar(path: Path, samples: Iterable[tuple[str, bytes, int | None]]) -> int:
    """Write samples (key, PNG bytes, class index or None); return their number.

    A sample becomes `<key>.png` and, where it has a class, `<key>.cls` with the index as text. Headers are
    fixed (ustar, time 0, owner 0, mode 0644), so that the same samples give the same bytes.

    Raises `StoreError` for a key that readers would not find again: one that is there already, is longer
    than 90 characters, or has other characters than letters, digits, `_` and `-`. No file is left then.
    """
    keys: set[str] = set()
    try:
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for key, png, label in samples:
                _check_key(path, key, keys)
                _add(tar, f"{key}.png", png)
                if label is not None:
                    _add(tar, f"{key}.cls", str(label).encode())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return len(keys)


def largest_sample_bytes(image_size: int, channels: int, labelled: bool) -> int:
    """What one sample takes in a tar at most, whatever its pixels: incompressible ones included."""
    pixels = image_size * (image_size * channels + 1)  # a filter byte a row
    png = pixels + pixels // 1000 + 1024  # deflate's stored blocks and PNG's chunks
    padded = -(-png // BLOCK) * BLOCK
    return BLOCK + padded + (2 * BLOCK if labelled else 0)


def read_tar(
    path: Path, rows: Sequence[int] | None = None, report: Callable[[str], None] | None = None
) -> Iterator[tuple[str, bytes | None, int | None]]:
    """The samples of a tar, in order, as (key, PNG bytes, class index or None).

    With `rows`, ascending, only the samples at these places: the contents of others are passed over, and
    what comes after the last is not looked at. A sample is what `write_tar` makes of it: members `<key>.png`
    and `<key>.cls`, side by side, of a key that no other sample has. Where one is not, `report` is told in
    words that name file and key, and what there is of the sample is given (PNG bytes None where there are
    none). Without `report` that is a `ValueError`.

    Raises `ValueError` or `EOFError`, naming the file, where the tar is damaged. Names may be as long as GNU
    tar and pax make them, so that a key that is too long can be named.
    """
    report = report or _refuse
    wanted = None if rows is None else iter(rows)
    next_row = None if wanted is None else next(wanted, None)
    keys: set[str] = set()
    with open(path, "rb", buffering=READ_BUFFER) as file:
        for row, (key, members) in enumerate(itertools.groupby(_members(file, path), _key_of)):
            if wanted is not None and next_row is None:
                return
            report_here = functools.partial(_report_of, path, key, report)
            _report_key(key, keys, report_here)
            if wanted is not None:
                if row != next_row:
                    continue
                next_row = next(wanted, None)
            yield key, *_read_sample(file, path, members, report_here)


def _report_of(path: Path, key: str, report: Callable[[str], None], problem: str) -> None:
    report(f"{path}: `{key}` {problem}")


class _Member(NamedTuple):
    """A member of a tar, whose content is read when it is asked for."""

    name: str
    key: str
    extension: str
    is_file: bool
    size: int
    position: int  # of its content


def _report_key(key: str, before: set[str], report: Callable[[str], None]) -> None:
    if key in before:
        report("is the key of two samples, or its members are not side by side")
    if len(key) > LONGEST_KEY:
        report(f"is a key of {len(key)} characters, more than {LONGEST_KEY}")
    before.add(key)


def _read_sample(
    file: BinaryIO, path: Path, members: Iterable[_Member], report: Callable[[str], None]
) -> tuple[bytes | None, int | None]:
    """PNG bytes and class index of one sample, as far as it has them."""
    contents: dict[str, bytes] = {}
    for member in members:
        if not member.is_file:
            report("is no regular file")
        elif member.extension not in ("png", "cls"):
            report(f"has a member `.{member.extension}`, which is neither .png nor .cls")
        elif member.extension in contents:
            report(f"has two members .{member.extension}")
        else:
            contents[member.extension] = _read_content(file, path, member)
    if "png" not in contents:
        report("has no .png")
    return contents.get("png"), _class_index(contents["cls"], report) if "cls" in contents else None


def _read_content(file: BinaryIO, path: Path, member: _Member) -> bytes:
    file.seek(member.position)
    content = file.read(member.size)
    if len(content) < member.size:
        raise EOFError(f"{path} ends within `{member.name}`: it is not complete")
    return content


def _class_index(content: bytes, report: Callable[[str], None]) -> int | None:
    digits = content.strip()
    if digits.isdigit() and len(digits) < 19:  # int64
        return int(digits)
    report(f"has the class {content[:20]!r}, which is no index")
    return None


def _members(file: BinaryIO, path: Path) -> Iterator[_Member]:
    """Every member of a tar; ten times as fast as tarfile, which knows every dialect."""
    position, long_name = 0, None
    while True:
        file.seek(position)
        header = file.read(BLOCK)
        if len(header) < BLOCK:
            raise EOFError(f"{path} ends without a tar's end: it is not complete")
        if header == END:
            return
        try:
            size = _checked_size(header)
        except ValueError as error:
            raise ValueError(f"{path} has a damaged header at byte {position:,}") from error
        kind = header[156:157]
        member = _member(long_name or _name(header), kind in b"0\0", size, position + BLOCK)
        position += BLOCK + -(-size // BLOCK) * BLOCK
        if kind in b"Lx":  # GNU tar's and pax's way to give the next member a long name
            long_name = _long_name(kind, _read_content(file, path, member)) or long_name
        elif kind not in b"Kg":
            yield member
            long_name = None


def _checked_size(header: bytes) -> int:
    """The size of a member's content. Raises `ValueError` where the header is not what was written."""
    checksum, used = header[148:156], header.translate(None, b"\0")  # mostly zeros, which add nothing
    # POSIX ustar: the checksum is taken with its own eight bytes as spaces.
    expected = sum(used) - sum(checksum) + 8 * ord(" ")
    if header[257:262] != b"ustar" or int(checksum.strip(b" \0"), 8) != expected:
        raise ValueError("checksum")
    return int(header[124:136].strip(b" \0"), 8)


def _name(header: bytes) -> str:
    name = header[:100].rstrip(b"\0")
    if header[262] == 0 and header[345]:  # GNU tar, whose magic goes on, keeps other things there
        name = header[345:500].rstrip(b"\0") + b"/" + name
    return name.decode(errors="backslashreplace")


def _long_name(kind: bytes, content: bytes) -> str | None:
    if kind == b"L":
        return content.rstrip(b"\0").decode(errors="backslashreplace")
    path = re.search(rb"(?:^|\n)\d+ path=([^\n]*)\n", content)
    return path and path[1].decode(errors="backslashreplace")


def _member(name: str, is_file: bool, size: int, position: int) -> _Member:
    """As WebDataset divides a name: the key goes to the first dot of its last part."""
    dot = name.find(".", name.rfind("/") + 1)
    dot = len(name) if dot < 0 else dot
    return _Member(name, name[:dot], name[dot + 1 :], is_file, size, position)


def _refuse(problem: str) -> None:
    raise ValueError(problem)


def _check_key(path: Path, key: str, seen: set[str]) -> None:
    """Refuse a key that cannot be read back, and enter it among those seen."""
    if not KEY.fullmatch(key):
        raise StoreError(
            f"{path.name}: `{key}` cannot be a sample's key: "
            f"give it 1 to {LONGEST_KEY} letters, digits, `_` or `-`"
        )
    if key in seen:
        raise StoreError(f"{path.name}: two samples have the key `{key}`: give each its own")
    seen.add(key)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    header = tarfile.TarInfo(name)  # its defaults are time 0, owner 0 without a name, mode 0644
    header.size = len(content)
    tar.addfile(header, io.BytesIO(content))
