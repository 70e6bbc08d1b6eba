"""Near-duplicates of a dataset, with some that were planted: found, told, and left out of the shards."""

import io

import imagehash
import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from gan_core import steps
from gan_core.data.duplicates import artefact, find_duplicates, hashing
from gan_core.data.duplicates.hashing import perceptual_hash
from gan_core.data.raw import collect_raw_images
from gan_core.data.shards import write_image_shards
from gan_core.data.tars import read_tar
from gan_core.errors import StoreError
from tests.gan_core.data.conftest import make_dataset, write_files

COUNT, TESTS = 60, 20


def picture(seed: int) -> Image.Image:
    """A smooth picture of 32x32, as photographs are at that size; two seeds have nothing in common."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG", **settings) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def altered(seed: int) -> dict[str, bytes]:
    """One picture, saved again in other ways."""
    image = picture(seed)
    return {
        "jpeg.jpg": encoded(image, "JPEG", quality=60),
        "large.png": encoded(image.resize((64, 64), Image.Resampling.BICUBIC)),
        "dark.png": encoded(image.point(lambda value: int(value * 0.8))),
    }


@pytest.fixture
def folder(tmp_path):
    """Train images of two classes, three of which come again in three ways, the last one in the other class;
    and test images, one of which is a train image as JPEG."""
    files = {f"train/cat/{seed:03d}.png": encoded(picture(seed)) for seed in range(COUNT)}
    for seed, name in ((0, "cat"), (7, "cat"), (9, "dog")):
        files |= {f"train/{name}/{seed:03d}-{how}": content for how, content in altered(seed).items()}
    files |= {f"train/dog/{seed:03d}.png": encoded(picture(seed)) for seed in range(900, 910)}
    files |= {f"test/cat/{seed:03d}.png": encoded(picture(seed)) for seed in range(100, 100 + TESTS)}
    files["test/dog/copy.jpg"] = altered(20)["jpeg.jpg"]
    return write_files(tmp_path / "images", files)


def dataset_of(folder, **values):
    source = {"kind": "images", "train": str(folder)}
    return make_dataset(source=source, image_size=32, classes=["cat", "dog"], **values)


def silent(line):
    pass


@pytest.fixture
def found(store, folder):
    def find(**values):
        dataset = dataset_of(folder, deduplicate={"threshold": 6, **values})
        raw = collect_raw_images(store, dataset, emit=silent)
        return dataset, raw, find_duplicates(store, dataset, raw, emit=silent)

    return find


EXPECTED = {
    "cat/000.png": {"cat/000-dark.png", "cat/000-jpeg.jpg", "cat/000-large.png"},
    "cat/007.png": {"cat/007-dark.png", "cat/007-jpeg.jpg", "cat/007-large.png"},
    "cat/009.png": {"dog/009-dark.png", "dog/009-jpeg.jpg", "dog/009-large.png"},
}


def test_what_was_planted_is_found_and_nothing_else(store, found):
    _, _, manifest = found()
    table = pyarrow.parquet.read_table(store.local(manifest, "duplicates.parquet")).to_pylist()
    groups = [{row["key"] for row in table if row["group"] == number} for number in range(3)]
    assert sorted(groups, key=min) == [{original, *copies} for original, copies in EXPECTED.items()]
    kept = {row["key"] for row in table if row["kept"]}
    assert kept == {"cat/000-dark.png", "cat/007-dark.png", "cat/009.png"}  # the first by its key
    assert all(row["distance"] == 0 for row in table if row["kept"])
    assert all(0 <= row["distance"] <= 12 for row in table)
    leaks = pyarrow.parquet.read_table(store.local(manifest, "leaks.parquet")).to_pylist()
    assert [(row["key"], row["train_key"]) for row in leaks] == [("dog/copy.jpg", "cat/020.png")]
    assert manifest.figures == {
        "images_train": COUNT + 19,
        "groups": 3,
        "duplicates": 9,
        "duplicate_share": 9 / (COUNT + 19),
        "largest_group": 4,
        "groups_of_several_classes": 1,
        "leaks": 1,
        "leak_share": 1 / (TESTS + 1),
        "undecodable": 0,
    }
    assert sum(manifest.details["pairs_by_distance"].values()) == 18  # six of each group
    for name in ("pairs.png", "groups.png"):
        assert Image.open(store.local(manifest, name)).format == "PNG"
    assert artefact.NOTES not in store.list_names(store_folder(manifest))


def store_folder(manifest):
    return f"{manifest.asset}/{manifest.partition}/{manifest.fingerprint}"


def keys_of(store, shards, split):
    names = shards.details["splits"][split]["shards"]
    samples = (sample for name in names for sample in read_tar(store.local(shards, name)))
    return [key.partition("-")[2] for key, _, _ in samples]


def test_what_can_go_is_left_out_of_the_shards(store, found):
    whole, raw, manifest = found()
    shards = write_image_shards(store, whole, raw, manifest, workers=1, emit=silent)
    assert shards.figures["images_train"] == COUNT + 19 and "duplicates_left_out" not in shards.figures
    fewer, raw, again = found(remove=True)
    assert again.reused and again.fingerprint == manifest.fingerprint
    without = write_image_shards(store, fewer, raw, manifest, workers=1, emit=silent)
    assert without.figures["images_train"] == COUNT + 10 and without.figures["duplicates_left_out"] == 9
    assert without.inputs["duplicates"] == manifest.fingerprint
    assert without.fingerprint != shards.fingerprint
    removed = {copy for copies in EXPECTED.values() for copy in copies} | {"cat/000.png", "cat/007.png"}
    removed -= {"cat/000-dark.png", "cat/007-dark.png"}
    gone = {key.rpartition(".")[0].replace("/", "-") for key in removed}
    assert set(keys_of(store, shards, "train")) - set(keys_of(store, without, "train")) == gone
    assert keys_of(store, shards, "test") == keys_of(store, without, "test")


def test_where_nothing_goes_the_shards_stay_what_they_were(store, folder, found):
    asked, raw, manifest = found()
    plain = steps.image_shards(dataset_of(folder), raw)
    assert steps.image_shards(asked, raw, manifest).fingerprint == plain.fingerprint


def test_where_none_are_asked_for_nothing_is_read(store, folder, monkeypatch):
    dataset = dataset_of(folder)
    raw = collect_raw_images(store, dataset, emit=silent)
    monkeypatch.setattr(artefact, "hash_all", None)
    manifest = find_duplicates(store, dataset, raw, emit=silent)
    assert manifest.details["asked"] is False and manifest.files == {} and manifest.figures == {}
    assert find_duplicates(store, dataset, raw, emit=silent).reused


def test_shards_without_duplicates_need_these_by_todays_settings(store, found):
    _, raw, manifest = found()
    stricter, _, _ = found(remove=True)
    stricter = stricter.model_copy(
        update={"deduplicate": stricter.deduplicate.model_copy(update={"threshold": 2})}
    )
    for given in (None, manifest):
        with pytest.raises(
            StoreError, match="by these settings are not found yet: run `python -m gan_core shard"
        ):
            write_image_shards(store, stricter, raw, given, emit=silent)


def test_a_run_that_was_cut_off_is_gone_on_with(store, folder, monkeypatch):
    dataset = dataset_of(folder, deduplicate={})
    raw = collect_raw_images(store, dataset, emit=silent)
    monkeypatch.setattr(hashing, "PART", 10)
    hashed = []

    def here(function, tasks, workers):
        for task in tasks:
            if len(hashed) == 3:
                raise KeyboardInterrupt
            hashed.append(len(task.rows))
            yield function(task)

    monkeypatch.setattr(hashing, "map_in_processes", here)
    with pytest.raises(KeyboardInterrupt):
        find_duplicates(store, dataset, raw, emit=silent)
    assert store.current("duplicates", dataset.name) is None
    hashed[:] = []
    monkeypatch.setattr(
        hashing, "map_in_processes", lambda function, tasks, workers: map(counted(function), tasks)
    )

    def counted(function):
        def call(task):
            hashed.append(len(task.rows))
            return function(task)

        return call

    manifest = find_duplicates(store, dataset, raw, emit=silent)
    assert hashed == [10, 10, 10, 10, 9, 10, 10, 1]
    assert manifest.figures["duplicates"] == 9
    forced = find_duplicates(store, dataset, raw, force=True, emit=silent)
    assert not forced.reused and len(hashed) == 8 + 11
    assert forced.version == manifest.version  # the same bytes


def test_a_damaged_note_is_made_again(store, folder, monkeypatch):
    dataset = dataset_of(folder, deduplicate={})
    raw = collect_raw_images(store, dataset, emit=silent)
    step = steps.duplicates(dataset, raw)
    notes = f"duplicates/{dataset.name}/{step.fingerprint}/hashes"
    store.write_atomically(f"{notes}/000000.npy", b"not an array")
    assert find_duplicates(store, dataset, raw, emit=silent).figures["duplicates"] == 9


def test_images_that_do_not_decode_are_counted_and_in_no_group(store, folder):
    for name in ("a", "b"):
        (folder / "train" / "cat" / f"broken-{name}.png").write_bytes(b"no image " + name.encode())
    dataset = dataset_of(folder, deduplicate={"remove": True})
    raw = collect_raw_images(store, dataset, emit=silent)
    manifest = find_duplicates(store, dataset, raw, emit=silent)
    assert manifest.figures["undecodable"] == 2 and manifest.figures["groups"] == 3
    shards = write_image_shards(store, dataset, raw, manifest, workers=1, emit=silent)
    assert shards.figures["undecodable"] == 2 and shards.figures["images_train"] == COUNT + 10


@pytest.mark.parametrize("channels", [1, 3])
def test_the_hash_is_that_of_the_package(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (channels, 32, 32), dtype=np.uint8)
    image = Image.fromarray(pixels[0] if channels == 1 else pixels.transpose(1, 2, 0))
    assert f"{perceptual_hash(pixels):016x}" == str(imagehash.phash(image))
