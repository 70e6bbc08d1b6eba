import hashlib
import itertools
import os
import shutil
import tracemalloc
from collections import Counter
from pathlib import Path

import lmdb
import pandas
import pytest

from gan_core.data import inventory as inventory_module
from gan_core.data import raw as raw_module
from gan_core.data.raw import collect_raw_images, read_inventory
from gan_core.data.sources.base import Entry, Source
from gan_core.data.sources.images import ImageFiles
from gan_core.errors import SourceError
from gan_core.store import Store
from tests.gan_core.data.conftest import class_files, encoded, make_dataset, write_files

LABELLED = {"classes": ["cat", "dog"]}


@pytest.fixture
def given(tmp_path) -> dict[str, str]:
    train = write_files(tmp_path / "train", class_files({"cat": 6, "dog": 4}))
    test = write_files(tmp_path / "test", class_files({"cat": 2, "dog": 2}, seed=1))
    return {"train": str(train), "test": str(test)}


def collect(store: Store, dataset, given, **options):
    return collect_raw_images(store, dataset, locations=given, emit=lambda line: None, **options)


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """The keys that are read from folders and archives."""
    seen, read = [], ImageFiles.read
    monkeypatch.setattr(ImageFiles, "read", lambda self, entry: seen.append(entry.key) or read(self, entry))
    return seen


def test_the_inventory_names_every_image_with_its_hash(store, given):
    raw = collect(store, make_dataset(**LABELLED), given)
    table = pandas.read_parquet(store.local(raw, "inventory.parquet"))
    assert list(table.columns) == ["split", "key", "class_name", "bytes", "sha256"]
    assert Counter(zip(table["split"], table["class_name"], strict=True)) == {
        ("train", "cat"): 6,
        ("train", "dog"): 4,
        ("test", "cat"): 2,
        ("test", "dog"): 2,
    }
    for row in table.itertuples():
        content = (Path(given[row.split]) / row.key).read_bytes()
        assert (row.bytes, row.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert raw.figures == {
        "images_train": 10,
        "images_test": 4,
        "bytes": int(table["bytes"].sum()),
        "left_out": 0,
    }
    assert raw.details["splits"]["train"] == {
        "images": 10,
        "classes": {"cat": 6, "dog": 4},
        "location": given["train"],
    }
    assert raw.details["classes"] == ["cat", "dog"]


def test_a_second_run_reads_no_image(store, given, reads):
    first = collect(store, make_dataset(**LABELLED), given)
    assert len(reads) == 14
    second = collect(store, make_dataset(**LABELLED), given)
    assert second.reused
    assert second.fingerprint == first.fingerprint
    assert len(reads) == 14
    assert not collect(store, make_dataset(**LABELLED), given, force=True).reused
    assert len(reads) == 28


def test_a_changed_image_changes_the_fingerprint(store, given):
    first = collect(store, make_dataset(**LABELLED), given)
    (Path(given["train"]) / "cat" / "000.png").write_bytes(encoded(77, size=(20, 20)))
    second = collect(store, make_dataset(**LABELLED), given)
    assert second.fingerprint != first.fingerprint


def test_touched_files_with_the_same_content_are_the_same(store, given, reads):
    first = collect(store, make_dataset(**LABELLED), given)
    os.utime(Path(given["train"]) / "cat" / "000.png", (1, 1))
    second = collect(store, make_dataset(**LABELLED), given)
    assert len(reads) == 28  # looked at again
    assert second.reused
    assert second.fingerprint == first.fingerprint


def test_the_same_images_elsewhere_have_the_same_fingerprint_and_the_new_place(store, given, tmp_path):
    first = collect(store, make_dataset(**LABELLED), given)
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", given["train"])
    moved = {**given, "train": archive}
    second = collect(store, make_dataset(**LABELLED), moved)
    assert second.fingerprint == first.fingerprint
    assert second.details["locations"] == moved
    assert second.details["splits"]["train"]["location"] == archive


def test_a_damaged_artefact_is_made_again(store, given):
    first = collect(store, make_dataset(**LABELLED), given)
    store.local(first, "inventory.parquet").write_bytes(b"")
    second = collect(store, make_dataset(**LABELLED), given)
    assert not second.reused
    assert len(list(read_inventory(store, second))) == 14


@pytest.mark.parametrize("damage", [b"", b'{"abc": "de', b"[]", b"\xff\xfe\x00"])
def test_a_damaged_memory_is_forgotten(store, given, reads, damage):
    first = collect(store, make_dataset(**LABELLED), given)
    memory = Path(store.root) / "raw_images" / "pictures" / "known_content.json"
    sound = memory.read_bytes()
    memory.write_bytes(damage)
    second = collect(store, make_dataset(**LABELLED), given)
    assert len(reads) == 28  # nothing is known: looked at again
    assert second.reused
    assert second.fingerprint == first.fingerprint
    assert memory.read_bytes() == sound


def test_what_the_dataset_says_decides_the_fingerprint_too(store, given):
    one = collect(store, make_dataset(**LABELLED), given)
    other = collect(store, make_dataset(classes=["dog", "cat"]), given)
    unlabelled = collect(store, make_dataset(), given)
    assert len({one.fingerprint, other.fingerprint, unlabelled.fingerprint}) == 3


def test_another_choice_of_the_same_images_is_noted(store, given):
    all_of_them = collect(store, make_dataset(**LABELLED), given)
    most = make_dataset(**LABELLED, limit=100)
    for dataset, limit in ((most, 100), (most, 100), (make_dataset(**LABELLED), None)):
        raw = collect(store, dataset, given)
        assert raw.fingerprint == all_of_them.fingerprint and raw.details["chosen"]["limit"] == limit
        assert store.current("raw_images", dataset.name).details == raw.details


def test_a_limit_is_balanced_in_each_split(store, given):
    raw = collect(store, make_dataset(**LABELLED, limit=4), given)
    assert raw.details["splits"]["train"]["classes"] == {"cat": 2, "dog": 2}
    assert raw.details["splits"]["test"]["classes"] == {"cat": 2, "dog": 2}


def test_a_limit_reads_no_more_than_it_takes(store, given, reads):
    collect(store, make_dataset(**LABELLED, limit=2), given)
    assert len(reads) == 4


def test_held_out_images_are_chosen_by_their_content(store, tmp_path):
    files = class_files({"cat": 150, "dog": 150})
    copies = {f"{name[:-4]}-copy.png": content for name, content in files.items()}
    folder = write_files(tmp_path / "x", files | copies)
    dataset = make_dataset(**LABELLED, test_fraction=0.2)
    raw = collect(store, dataset, {"train": str(folder)})
    rows = list(read_inventory(store, raw))
    hashes = {split: {row.sha256 for row in rows if row.split == split} for split in ("train", "test")}
    assert len(rows) == 600
    assert not hashes["train"] & hashes["test"]  # a copy goes where its twin goes
    assert 30 <= len(hashes["test"]) <= 90  # binomial(300, 0.2): 60 ± 4 standard deviations
    limited = collect(store, make_dataset(**LABELLED, test_fraction=0.2, limit=20), {"train": str(folder)})
    for split in ("train", "test"):
        assert limited.details["splits"][split]["classes"] == {"cat": 10, "dog": 10}
    held_out = {row.sha256 for row in read_inventory(store, limited) if row.split == "test"}
    assert held_out <= hashes["test"]  # a limit does not change who is held out


def test_an_own_test_split_comes_before_test_fraction(store, given):
    lines = []
    raw = collect_raw_images(
        store, make_dataset(**LABELLED, test_fraction=0.5), locations=given, emit=lines.append
    )
    assert raw.figures["images_test"] == 4
    assert any("test_fraction is not used" in line for line in lines)


def test_the_environment_names_the_source(store, given, monkeypatch):
    monkeypatch.setenv("GAN_SOURCE_PICTURES", given["train"])
    monkeypatch.setenv("GAN_SOURCE_PICTURES_TEST", given["test"])
    raw = collect(store, make_dataset(**LABELLED), None)
    assert (raw.figures["images_train"], raw.figures["images_test"]) == (10, 4)


def test_relative_paths_mean_the_same_later(store, given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    raw = collect(store, make_dataset(**LABELLED), {"train": "train", "test": "test"})
    assert raw.details["locations"] == given


def test_an_unknown_class_in_test_is_refused(store, tmp_path):
    files = class_files({"cat": 2, "dog": 2}, "train/") | class_files({"cat": 1, "owl": 1}, "test/", seed=1)
    folder = write_files(tmp_path / "x", files)
    with pytest.raises(SourceError, match="owl"):
        collect(store, make_dataset(classes="folders"), {"train": str(folder)})


def test_a_single_class_folder_is_refused_before_images_are_read(store, tmp_path, reads):
    files = class_files({"cat": 2}, "train/") | class_files({"cat": 1}, "test/", seed=1)
    folder = write_files(tmp_path / "x", files)
    with pytest.raises(SourceError, match=r"one class folder, `cat`.*remove `classes: folders`.*add folders"):
        collect(store, make_dataset(classes="folders"), {"train": str(folder)})
    assert reads == []


def test_a_test_split_may_have_fewer_classes(store, tmp_path):
    files = class_files({"cat": 2, "dog": 2}, "train/") | class_files({"cat": 1}, "test/", seed=1)
    folder = write_files(tmp_path / "x", files)
    raw = collect(store, make_dataset(classes="folders"), {"train": str(folder)})
    assert raw.details["classes"] == ["cat", "dog"]


def test_an_empty_split_is_refused(store, tmp_path):
    folder = write_files(tmp_path / "x", {"a.png": encoded(0)})
    dataset = make_dataset(test_fraction=0.5)
    with pytest.raises(SourceError, match="split of dataset `pictures` is empty"):
        collect(store, dataset, {"train": str(folder)})


def test_failure_publishes_nothing(store, tmp_path):
    with pytest.raises(SourceError):
        collect(store, make_dataset(), {"train": str(tmp_path / "nowhere")})
    assert store.current("raw_images", "pictures") is None


def test_a_remote_store(given, tmp_path):
    store = Store("memory://raw-test", cache=tmp_path / "cache")
    first = collect(store, make_dataset(**LABELLED), given)
    assert collect(store, make_dataset(**LABELLED), given).fingerprint == first.fingerprint
    assert len(list(read_inventory(store, first))) == 14


# --- millions of images -----------------------------------------------------------------------------------


class Numbers(Source):
    """A source without files: image `i` has the class `i % 3` and its number as content."""

    location = "numbers"

    def __init__(self, count: int, classes: bool):
        self.number, self.classes = count, classes

    def entries(self, limit=None):
        numbers = range(self.number if limit is None else min(limit, self.number))
        return (Entry(f"{i:07d}", f"c{i % 3}" if self.classes else None) for i in numbers)

    def read(self, entry):
        return entry.key.encode()

    def signature(self):
        return self.number


def numbered(monkeypatch, count: int, **dataset):
    """A dataset of numbers."""
    made = make_dataset(**{"splits": ["train"], **dataset})
    sources = {"train": Numbers(count, made.labelled)}
    monkeypatch.setattr(raw_module, "open_sources", lambda *arguments: sources)
    return made


@pytest.mark.parametrize("classes", [None, ["c0", "c1", "c2"]])
@pytest.mark.parametrize("limit", [None, 40])
@pytest.mark.parametrize("fraction", [None, 0.3])
def test_batches_do_not_show(store, monkeypatch, classes, limit, fraction):
    for module, name, size in (
        *((raw_module, "PART", 10), (raw_module, "READ_TOGETHER", 3), (raw_module, "ROW_GROUP", 7)),
        (inventory_module, "ROW_GROUP", 7),
    ):
        monkeypatch.setattr(module, name, size)
    splits = ["train", "test"] if fraction else ["train"]
    options = {"classes": classes, "limit": limit, "test_fraction": fraction, "splits": splits}
    raw = collect(store, numbered(monkeypatch, 203, **options), None)
    expected = {"train": [], "test": []}
    for entry in Numbers(203, bool(classes)).entries():
        digest = hashlib.sha256(entry.key.encode()).hexdigest()
        split = "test" if fraction and int(digest[:16], 16) / 2**64 < fraction else "train"
        expected[split].append((split, entry.key, entry.class_name, 7, digest))
    if limit:
        for split, rows in expected.items():
            by_class = {name: [row for row in rows if row[2] == name] for name in (classes or [None])}
            if fraction:  # in the order in which the classes come first in this split
                names = dict.fromkeys(row[2] for row in rows)
                by_class = {name: by_class[name] for name in names}
            turns = itertools.chain.from_iterable(itertools.zip_longest(*by_class.values()))
            expected[split] = [row for row in turns if row][:limit]
    assert list(read_inventory(store, raw)) == expected["train"] + expected["test"]
    assert raw.figures["images_train"] == len(expected["train"])


def test_memory_does_not_grow_with_the_number_of_images(tmp_path, monkeypatch):
    for module in (raw_module, inventory_module):
        monkeypatch.setattr(module, "ROW_GROUP", 500)
    monkeypatch.setattr(raw_module, "PART", 500)
    peaks = []
    for count in (2_000, 2_000, 12_000):  # the first one also loads what is loaded once
        store = Store(tmp_path / f"{len(peaks)}")
        dataset = numbered(monkeypatch, count, splits=["train", "test"], test_fraction=0.3)
        tracemalloc.start()
        raw = collect(store, dataset, None)
        assert sum(1 for _ in read_inventory(store, raw)) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.3 * peaks[1]


def test_a_damaged_lmdb_is_one_clear_error(store, tmp_path):
    with (
        lmdb.open(str(tmp_path / "x_train_lmdb"), map_size=2**22) as database,
        database.begin(write=True) as writer,
    ):
        for number in range(300):
            writer.put(b"%040x" % number, bytes(10 * number))
    path = tmp_path / "x_train_lmdb" / "data.mdb"
    content = path.read_bytes()
    dataset = make_dataset(source={"kind": "lsun", "category": "x"}, splits=["train"])
    refused = 0
    for start in range(0, len(content), 16 * 4096):
        path.write_bytes(content[:start] + bytes(4096) + content[start + 4096 :])
        try:
            raw = collect(store, dataset, {"train": str(tmp_path)}, force=True)
        except SourceError as error:
            assert "replace it" in str(error)
            refused += 1
        else:
            assert raw.figures["images_train"] == 300
    assert refused > 3
