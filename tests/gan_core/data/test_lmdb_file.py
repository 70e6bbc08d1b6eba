"""The reader of LMDB files against liblmdb, and against files that are really damaged."""

import random
from pathlib import Path

import lmdb
import pytest

from gan_core.data.sources.lmdb_file import LmdbFile
from gan_core.errors import SourceError

PAGE = 4096


def write_database(folder: Path, content: dict[bytes, bytes], *, one_by_one: bool = False, **options) -> Path:
    with lmdb.open(str(folder), map_size=2**27, **options) as database:
        items = list(content.items())
        for some in [[item] for item in items] if one_by_one else [items]:
            with database.begin(write=True) as writer:
                for key, value in some:
                    writer.put(key, value)
    return folder / "data.mdb"


def random_content(count: int, seed: int = 0, largest: int = 9000) -> dict[bytes, bytes]:
    """Keys as LSUN's, values that lie in leaves and values that lie in pages of their own."""
    numbers = random.Random(seed)
    return {
        b"%040x" % numbers.getrandbits(160): numbers.randbytes(numbers.randint(0, largest))
        for _ in range(count)
    }


@pytest.mark.parametrize(("count", "largest"), [(0, 0), (1, 10), (2, 9000), (300, 9000), (20_000, 40)])
def test_it_reads_what_liblmdb_wrote(tmp_path, count, largest):
    content = random_content(count, largest=largest)
    database = LmdbFile(write_database(tmp_path / "db", content))
    assert len(database) == count
    assert list(database.iterate_keys()) == sorted(content)
    assert all(database.get(key) == value for key, value in content.items())
    assert [database.get(key) for key in (b"", b"0", b"z", b"%040x" % 1)] == [None] * 4


def test_keys_of_every_length_and_a_tree_of_many_transactions(tmp_path):
    content = {bytes([i]) * (i % 511 + 1): bytes(i) for i in range(256)}
    content |= {b"%d" % i: b"%d" % i for i in range(2000)}
    path = write_database(tmp_path / "db", content, sync=False)
    with lmdb.open(str(tmp_path / "db"), map_size=2**27, sync=False) as database:
        for i in range(0, 2000, 3):  # leaves freed pages and half-empty ones
            with database.begin(write=True) as writer:
                writer.delete(b"%d" % i)
            del content[b"%d" % i]
    database = LmdbFile(path)
    assert list(database.iterate_keys()) == sorted(content)
    assert all(database.get(key) == value for key, value in content.items())


def read_all(path: Path) -> dict[bytes, bytes]:
    database = LmdbFile(path)
    return {key: database.get(key) for key in database.iterate_keys()}


def test_damaged_pages_are_one_clear_error_or_do_no_harm(tmp_path):
    """Every page zeroed once, then hundreds of flipped bytes: no traceback, no hang, nothing lost.

    A byte that is flipped within an image or a key cannot be seen here: LMDB has no checksums.
    """
    wanted = random_content(150)
    content = write_database(tmp_path / "db", wanted).read_bytes()
    numbers = random.Random(1)
    damaged = []
    for start in range(0, len(content), PAGE):
        damaged.append(content[:start] + bytes(PAGE) + content[start + PAGE :])
    for _ in range(200):
        changed = bytearray(content)
        for _ in range(numbers.choice([1, 20])):
            page = numbers.randrange(len(content) // PAGE) * PAGE
            changed[page + numbers.randrange(200)] ^= numbers.randrange(1, 256)
        damaged.append(bytes(changed))
    refused = 0
    path = tmp_path / "damaged.mdb"
    for content in damaged:
        path.write_bytes(content)
        try:
            found = read_all(path)
        except SourceError as error:
            assert str(path) in str(error)
            assert "replace it" in str(error)
            refused += 1
            continue
        assert len(found) == len(wanted)
        assert None not in found.values()
    assert refused > 100


def test_a_zeroed_page_that_is_in_use_is_named(tmp_path):
    path = write_database(tmp_path / "db", random_content(3, largest=0) | {b"k": bytes(5 * PAGE)})
    content = bytearray(path.read_bytes())
    number = LmdbFile(path)._page(LmdbFile(path).table.root, 1).targets[-1].page
    content[number * PAGE : number * PAGE + 16] = bytes(16)
    path.write_bytes(content)
    with pytest.raises(SourceError, match=f"data.mdb is damaged: page {number} is not what it should be"):
        LmdbFile(path).get(b"k")


def test_every_cut_is_refused_before_anything_is_read(tmp_path):
    content = write_database(tmp_path / "db", random_content(40)).read_bytes()
    path = tmp_path / "cut.mdb"
    last = LmdbFile(tmp_path / "db" / "data.mdb").table.last_page
    for length in range(0, (last + 1) * PAGE, 3001):
        path.write_bytes(content[:length])
        with pytest.raises(SourceError, match="not complete|not an LMDB"):
            LmdbFile(path)


def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path):
    path = write_database(tmp_path / "db", random_content(400, largest=40))
    database = LmdbFile(path)
    with open(path, "r+b") as file:
        file.truncate(3 * PAGE)
    with pytest.raises(SourceError, match="lies outside"):
        list(database.iterate_keys())


def test_a_table_of_another_kind_is_refused(tmp_path):
    path = write_database(tmp_path / "db", {b"key": b"value"})
    content = bytearray(path.read_bytes())
    for page in (0, PAGE):
        content[page + 92] |= 4  # MDB_DUPSORT, which py-lmdb sets on no main table
    path.write_bytes(content)
    with pytest.raises(SourceError, match="duplicate, integer or reversed keys"):
        LmdbFile(path)


def test_named_tables_are_refused(tmp_path):
    with (
        lmdb.open(str(tmp_path / "db"), map_size=2**22, max_dbs=2) as database,
        database.begin(write=True) as writer,
    ):
        writer.put(b"k", b"v", db=database.open_db(b"named", txn=writer))
    with pytest.raises(SourceError, match="holds tables or duplicates"):
        read_all(tmp_path / "db" / "data.mdb")
