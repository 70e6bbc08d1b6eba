"""Read LMDB files, strictly: every page is checked before it is believed.

liblmdb trusts its file: a damaged page gives wrong data, hangs or ends the process, and what it has read
counts as the process's memory because it maps the file. Here a damaged page is one error, files are read with
`pread`, and any number of threads and processes may read at once.

Format: https://git.openldap.org/openldap/openldap/-/blob/LMDB_0.9.33/libraries/liblmdb/mdb.c, a B+ tree of
pages. Read are the 64-bit little-endian files with one table and one value per key, as LSUN publishes them.
"""

import bisect
import contextlib
import itertools
import os
import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from gan_core.errors import SourceError

MAGIC, VERSION = 0xBEEFC0DE, 1
BRANCH, LEAF, OVERFLOW, META = 1, 2, 4, 8  # what a page is
DIRTY = 16  # of a page in memory; without a meaning in a file
IN_OVERFLOW = 1  # of a leaf's node: its value lies in pages of its own
HEADER = struct.Struct("<QHHHH")  # number, unused, kind, end of the node pointers, start of the nodes
OVERFLOW_HEADER = struct.Struct("<QHHI")  # number, unused, kind, number of pages
FIRST_META = struct.Struct("<II16x")  # magic, version; address and size of the map
TABLE = struct.Struct("<IHH24xQQ")  # page size, flags, depth; numbers of pages; entries, root
LAST_META = struct.Struct("<QQ")  # number of the last page, transaction
NODE = struct.Struct("<HHHH")  # lower and upper half of the value's size, flags, size of the key
PAGE_SIZES = [2**power for power in range(8, 17)]
CACHED_PAGES = 512


class Table(NamedTuple):
    """What a meta page says of the file and of its table."""

    page_size: int
    flags: int
    depth: int
    entries: int
    root: int
    last_page: int
    transaction: int


class Value(NamedTuple):
    """Where a value lies: its first byte in the file, its size, and its first overflow page, if any."""

    start: int
    size: int
    page: int | None


class Page(NamedTuple):
    """A page of the tree: keys in order, and for each the number of a page (branch) or a value (leaf)."""

    keys: list[bytes]
    targets: list


class LmdbFile:
    """An open LMDB. Raises `SourceError`, with the file and what is wrong, for whatever is not sound."""

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.file = os.open(self.path, os.O_RDONLY)
        try:
            self.table = self._open()
        except BaseException:
            os.close(self.file)
            raise
        self._page = lru_cache(CACHED_PAGES)(self._read_page)

    def __del__(self):
        with contextlib.suppress(AttributeError, OSError):
            os.close(self.file)

    def __len__(self) -> int:
        return self.table.entries

    def iterate_keys(self) -> Iterator[bytes]:
        """All keys in order. Raises `SourceError` at the end if they are not as many as the file says."""
        count, last = 0, None
        for page in self._leaves(self.table.root, 1) if self.table.depth else ():
            for key in page.keys:
                if last is not None and key <= last:
                    raise self._damaged("its keys are not in order")
                last = key
                yield key
            count += len(page.keys)
        if count != self.table.entries:
            raise self._damaged(f"it holds {count:,} of {self.table.entries:,} entries")

    def get(self, key: bytes) -> bytes | None:
        """A key's value, or None where there is no such key."""
        if not self.table.depth:
            return None
        number = self.table.root
        for level in range(1, self.table.depth):
            page = self._page(number, level)
            # The first key of a branch stands for everything below the second.
            number = page.targets[bisect.bisect_right(page.keys, key, lo=1) - 1]
        page = self._page(number, self.table.depth)
        place = bisect.bisect_left(page.keys, key)
        if place == len(page.keys) or page.keys[place] != key:
            return None
        return self._value(page.targets[place])

    def _open(self) -> Table:
        """The newer of the two meta pages."""
        first = self._meta(0)
        second = self._meta(first.page_size)
        table = max(first, second, key=lambda table: table.transaction)
        if first.page_size != second.page_size:
            raise self._damaged("its two meta pages differ in the size of pages")
        if table.flags:
            raise SourceError(
                f"{self.path} is an LMDB with duplicate, integer or reversed keys (flags {table.flags:#x}), "
                "unlike LSUN's: replace it"
            )
        size, needed = os.fstat(self.file).st_size, (table.last_page + 1) * table.page_size
        if size < needed:
            raise SourceError(
                f"{self.path} has {size:,} bytes instead of {needed:,}: it is not complete; replace it"
            )
        return table

    def _meta(self, start: int) -> Table:
        length = HEADER.size + FIRST_META.size + 2 * TABLE.size + LAST_META.size
        content = os.pread(self.file, length, start)
        if len(content) < length:
            raise SourceError(f"{self.path} is not an LMDB: it has no meta page; replace it")
        _, _, kind, _, _ = HEADER.unpack_from(content)
        magic, version = FIRST_META.unpack_from(content, HEADER.size)
        if kind & ~DIRTY != META or magic != MAGIC:
            raise SourceError(f"{self.path} is not an LMDB, or its meta pages are damaged; replace it")
        if version != VERSION:
            raise SourceError(
                f"{self.path} is an LMDB of format {version}, and format {VERSION} is read: replace it by "
                "one that liblmdb 0.9 wrote"
            )
        place = HEADER.size + FIRST_META.size
        page_size, _, _, _, _ = TABLE.unpack_from(content, place)  # in the table of free pages
        _, flags, depth, entries, root = TABLE.unpack_from(content, place + TABLE.size)
        last_page, transaction = LAST_META.unpack_from(content, place + 2 * TABLE.size)
        if page_size not in PAGE_SIZES:
            raise self._damaged(f"its pages would have {page_size:,} bytes")
        return Table(page_size, flags, depth, entries, root, last_page, transaction)

    def _leaves(self, number: int, level: int) -> Iterator[Page]:
        page = self._page(number, level)
        if level == self.table.depth:
            yield page
            return
        for child in page.targets:
            yield from self._leaves(child, level + 1)

    def _read_page(self, number: int, level: int) -> Page:
        """The page of that number, which must be of the kind that belongs on that level."""
        wanted = LEAF if level == self.table.depth else BRANCH
        size = self.table.page_size
        content = self._read(number * size, size, number)
        found, _, kind, pointers_end, nodes = HEADER.unpack_from(content)
        if found != number or kind & ~DIRTY != wanted or not HEADER.size < pointers_end <= nodes <= size:
            raise self._damaged(f"page {number:,} is not what it should be")
        count = (pointers_end - HEADER.size) // 2
        parse = self._leaf_node if wanted == LEAF else self._branch_node
        starts = struct.unpack_from(f"<{count}H", content, HEADER.size)
        try:
            parsed = [parse(content, start, number) for start in starts]
        except (struct.error, IndexError) as error:
            raise self._damaged(f"page {number:,} has a node outside of it") from error
        keys = [key for key, _ in parsed]
        # A branch's first key may be anything.
        ordered = keys[1:] if wanted == BRANCH else keys
        if any(one >= following for one, following in itertools.pairwise(ordered)):
            raise self._damaged(f"the keys of page {number:,} are not in order")
        return Page(keys, [target for _, target in parsed])

    def _branch_node(self, content: bytes, start: int, number: int) -> tuple[bytes, int]:
        low, middle, high, key_size = NODE.unpack_from(content, start)
        end = start + NODE.size + key_size
        if end > len(content):
            raise IndexError(start)
        return content[start + NODE.size : end], low | middle << 16 | high << 32

    def _leaf_node(self, content: bytes, start: int, number: int) -> tuple[bytes, Value]:
        low, high, flags, key_size = NODE.unpack_from(content, start)
        size, end = low | high << 16, start + NODE.size + key_size
        if flags & ~IN_OVERFLOW:
            raise self._damaged(f"page {number:,} holds tables or duplicates")
        if flags:
            (page,) = struct.unpack_from("<Q", content, end)
            value = Value(page * self.table.page_size, size, page)
        else:
            value = Value(number * self.table.page_size + end, size, None)
        if end + (0 if flags else size) > len(content):
            raise IndexError(start)
        return content[start + NODE.size : end], value

    def _value(self, value: Value) -> bytes:
        if value.page is None:
            return self._read(value.start, value.size, value.start // self.table.page_size)
        content = self._read(value.start, OVERFLOW_HEADER.size + value.size, value.page)
        found, _, kind, pages = OVERFLOW_HEADER.unpack_from(content)
        if found != value.page or kind & ~DIRTY != OVERFLOW or pages * self.table.page_size < len(content):
            raise self._damaged(f"page {value.page:,} is not what it should be")
        return content[OVERFLOW_HEADER.size :]

    def _read(self, start: int, size: int, page: int) -> bytes:
        """Bytes of the file, which must lie in the pages that it uses."""
        end = (self.table.last_page + 1) * self.table.page_size
        content = os.pread(self.file, size, start) if start >= 0 and start + size <= end else b""
        if len(content) < size:
            raise self._damaged(f"page {page:,} lies outside of it")
        return content

    def _damaged(self, what: str) -> SourceError:
        return SourceError(f"{self.path} is damaged: {what}; replace it")
