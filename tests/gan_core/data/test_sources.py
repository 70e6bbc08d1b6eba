import gzip
import io
import os
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.datasets import load_digits

from gan_core.data.sources import Entry, interleave, open_sources
from gan_core.data.sources.file_collections import open_files
from gan_core.data.sources.kinds.cifar10 import Cifar10
from gan_core.data.sources.kinds.mnist import Mnist
from gan_core.errors import SourceError
from tests.gan_core.data.conftest import class_files, encoded, make_dataset, write_files


def zip_of(path, files: dict[str, bytes]):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tar_of(path, files: dict[str, bytes], mode: str = "w"):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def opened(dataset, cache, train=None, test=None):
    given = {split: str(place) if place else None for split, place in (("train", train), ("test", test))}
    return open_sources(dataset, given, cache, emit=lambda line: None)


def keys(source, limit=None):
    return [entry.key for entry in source.entries(limit)]


# --- folders and archives ---------------------------------------------------------------------------------

TRAIN_ONLY = {"splits": ["train"]}
LABELLED = {**TRAIN_ONLY, "classes": ["cat", "dog"]}


@pytest.fixture(params=["folder", "zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz", "file url"])
def place(request, tmp_path):
    """A function that stores files in one of the ways that are accepted."""

    def make(files):
        if request.param in ("folder", "file url"):
            folder = write_files(tmp_path / "given", files)
            return folder if request.param == "folder" else folder.as_uri()
        path = tmp_path / f"given.{request.param}"
        if request.param == "zip":
            return zip_of(path, files)
        compression = {"tar": "", "tgz": "gz"}.get(request.param, request.param.rpartition(".")[2])
        return tar_of(path, files, f"w:{compression}")

    return make


def test_class_folders_come_in_turn_wherever_they_are(place, tmp_path):
    files = class_files({"cat": 3, "dog": 2})
    source = opened(make_dataset(**LABELLED), tmp_path / "cache", place(files))["train"]
    assert keys(source) == ["cat/000.png", "dog/000.png", "cat/001.png", "dog/001.png", "cat/002.png"]
    assert [e.class_name for e in source.entries(3)] == ["cat", "dog", "cat"]
    copy = pickle.loads(pickle.dumps(source))  # as another process gets it
    for entry in source.entries():
        assert source.read(entry) == copy.read(entry) == files[entry.key]
        assert source.decode(source.read(entry)).size == (12, 10)


def test_common_top_folder_hidden_and_other_files_are_left_out(place, tmp_path):
    files = class_files({"cat": 2, "dog": 2}, prefix="top/below/")
    rubbish = {
        "top/below/cat/.hidden.png": b"",
        "top/.git/x.png": b"",
        "__MACOSX/top/cat/._000.png": b"",
        "top/readme.txt": b"",
        "top/below/labels.csv": b"",
    }
    source = opened(make_dataset(**LABELLED), tmp_path / "cache", place({**files, **rubbish}))["train"]
    assert sorted(keys(source)) == ["cat/000.png", "cat/001.png", "dog/000.png", "dog/001.png"]


def test_without_classes_every_image_counts_wherever_it_lies(tmp_path):
    folder = write_files(
        tmp_path / "x", {"a.PNG": encoded(0), "b/c.png": encoded(1), "b/d/e.png": encoded(2)}
    )
    source = opened(make_dataset(**TRAIN_ONLY), tmp_path / "cache", folder)["train"]
    assert list(source.entries()) == [Entry("a.PNG", None), Entry("b/c.png", None), Entry("b/d/e.png", None)]
    assert keys(source, limit=2) == ["a.PNG", "b/c.png"]


def test_classes_are_the_folders_that_are_found(tmp_path):
    folder = write_files(tmp_path / "x", class_files({"owl": 1, "elk": 2}))
    source = opened(make_dataset(classes="folders", **TRAIN_ONLY), tmp_path / "cache", folder)["train"]
    assert keys(source) == ["elk/000.png", "owl/000.png", "elk/001.png"]


def test_a_single_class_folder_is_a_class_and_no_common_top(tmp_path):
    folder = write_files(tmp_path / "x", class_files({"cat": 2}, prefix="top/"))
    source = opened(make_dataset(classes="folders", **TRAIN_ONLY), tmp_path / "cache", folder)["train"]
    assert {entry.class_name for entry in source.entries()} == {"cat"}


@pytest.mark.parametrize("test_folder", ["test", "val"])
def test_a_location_with_split_folders_serves_both_splits(place, tmp_path, test_folder):
    files = class_files({"cat": 2, "dog": 2}, "top/train/") | class_files(
        {"cat": 1, "dog": 1}, f"top/{test_folder}/", 1
    )
    dataset = make_dataset(classes=["dog", "cat"])
    sources = opened(dataset, tmp_path / "cache", place(files))
    assert keys(sources["train"]) == ["dog/000.png", "cat/000.png", "dog/001.png", "cat/001.png"]
    assert keys(sources["test"]) == ["dog/000.png", "cat/000.png"]
    entry = list(sources["test"].entries())[0]
    assert sources["test"].read(entry) == files[f"top/{test_folder}/dog/000.png"]


def test_two_locations(tmp_path):
    train = write_files(tmp_path / "train", class_files({"cat": 2, "dog": 2}))
    test = zip_of(tmp_path / "test.zip", class_files({"cat": 1, "dog": 1}, seed=1))
    sources = opened(make_dataset(classes=["cat", "dog"]), tmp_path / "cache", train, test)
    assert (len(list(sources["train"].entries())), len(list(sources["test"].entries()))) == (4, 2)


def test_a_missing_test_split_names_the_three_ways_out(tmp_path):
    folder = write_files(tmp_path / "x", class_files({"cat": 1}))
    with pytest.raises(SourceError) as caught:
        opened(make_dataset(), tmp_path / "cache", folder)
    for remedy in ("GAN_SOURCE_PICTURES_TEST", "test_fraction", "splits: [train]"):
        assert remedy in str(caught.value)


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz"])
def test_names_that_climb_out_of_an_archive_do_no_harm(tmp_path, name):
    files = {"../../evil.png": encoded(0), "/abs/evil.png": encoded(1), "ok/a.png": encoded(2)}
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / name
    archive = zip_of(path, files) if name == "x.zip" else tar_of(path, files, "w:gz")
    source = opened(make_dataset(**TRAIN_ONLY), tmp_path / "cache", archive)["train"]
    assert {source.read(entry) for entry in source.entries()} == set(files.values())
    assert not list(tmp_path.rglob("evil.png"))


def without_utf8_flag(path, names: list[bytes]):
    """A zip of pictures whose names are the given bytes, with no flag that tells their encoding."""
    plain = [b"x" * (len(name) - 1) + str(index).encode() for index, name in enumerate(names)]
    files = {name.decode(): encoded(index) for index, name in enumerate(plain)}
    content = zip_of(path, files).read_bytes()
    for before, after in zip(plain, names, strict=True):
        assert content.count(before) == 2  # the member's own header and the table of contents
        content = content.replace(before, after)
    path.write_bytes(content)
    return path, list(files.values())


def test_zip_names_in_utf8_without_its_flag_are_those_of_the_folder(tmp_path):
    names = ["Ünï/a.png", "日本/b.png", "plain/c.png"]
    path, contents = without_utf8_flag(tmp_path / "x.zip", [name.encode() for name in names])
    dataset = make_dataset(classes="folders", **TRAIN_ONLY)
    source = opened(dataset, tmp_path / "cache", path)["train"]
    folder = write_files(tmp_path / "x", dict(zip(names, contents, strict=True)))
    same = opened(dataset, tmp_path / "cache", folder)["train"]
    assert list(source.entries()) == list(same.entries())
    assert {entry.class_name for entry in source.entries()} == {"Ünï", "日本", "plain"}
    copy = pickle.loads(pickle.dumps(source))
    for entry in source.entries():
        assert source.read(entry) == copy.read(entry) == same.read(entry)


def test_zip_names_that_are_no_utf8_stay_cp437(tmp_path):
    path, contents = without_utf8_flag(tmp_path / "x.zip", ["Ünï.png".encode("cp437")])
    source = opened(make_dataset(**TRAIN_ONLY), tmp_path / "cache", path)["train"]
    assert keys(source) == ["Ünï.png"]
    assert source.read(list(source.entries())[0]) == contents[0]


def test_zip_names_with_the_utf8_flag_are_taken_as_they_are(tmp_path):
    name = "Ünï".encode().decode("cp437") + ".png"  # would become Ünï if it were read again
    source = opened(make_dataset(**TRAIN_ONLY), tmp_path / "cache", zip_of(tmp_path / "x.zip", {name: b""}))
    assert keys(source["train"]) == [name]


def test_links_in_a_tar_are_not_followed(tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    images = {f"{index:03d}.png": encoded(0) for index in range(100)}
    path = tar_of(tmp_path / "x.tar", images)
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("b.png")
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        archive.addfile(link)
    source = opened(make_dataset(**TRAIN_ONLY), tmp_path / "cache", path)["train"]
    assert keys(source) == list(images)
    assert source.left_out == [("b.png", f"a link to `{secret}`, which is not in the archive")]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.png": b"", "cat/b.png": b"", "dog/c.png": b""}, ["1 images are in no class folder", "`a.png`"]),
        ({"cat/b.png": b"", "cow/c.png": b""}, ["missing: `dog`", "no class of the dataset: `cow`"]),
        ({"a.png": b"", "b.png": b""}, ["2 images are in no class folder", "missing: `cat`, `dog`"]),
        ({"readme.txt": b""}, ["contains no images"]),
    ],
)
def test_wrong_layouts_name_what_is_wrong_and_what_is_expected(tmp_path, files, words):
    folder = write_files(tmp_path / "x", files)
    with pytest.raises(SourceError) as caught:
        opened(make_dataset(**LABELLED), tmp_path / "cache", folder)
    for word in [*words, str(folder)]:
        assert word in str(caught.value)


def test_what_is_not_there_or_no_archive(tmp_path):
    with pytest.raises(SourceError, match="does not exist"):
        opened(make_dataset(), tmp_path / "cache", tmp_path / "nowhere")
    (tmp_path / "x.rar").write_bytes(b"Rar!")
    with pytest.raises(SourceError, match="neither a folder nor an archive"):
        opened(make_dataset(), tmp_path / "cache", tmp_path / "x.rar")
    with pytest.raises(SourceError, match="set GAN_SOURCE_PICTURES"):
        opened(make_dataset(), tmp_path / "cache")
    with pytest.raises(SourceError, match="cannot be reached"):
        opened(make_dataset(), tmp_path / "cache", "nothing://bucket/x.zip")


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz"])
def test_a_damaged_archive_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(os.urandom(3000))
    with pytest.raises(SourceError, match=f"{name} cannot be .*damaged"):
        opened(make_dataset(), tmp_path / "cache", tmp_path / name)


def test_half_a_compressed_tar_is_refused_and_leaves_nothing(tmp_path):
    whole = tar_of(tmp_path / "x.tar.gz", class_files({"cat": 30}), "w:gz")
    whole.write_bytes(whole.read_bytes()[:-2000])
    with pytest.raises(SourceError, match="x.tar.gz cannot be decompressed"):
        opened(make_dataset(), tmp_path / "cache", whole)
    assert {path.suffix for path in (tmp_path / "cache").rglob("*.tar*")} == {".lock"}


def test_an_archive_on_a_web_server_is_fetched_once(tmp_path, server):
    archive = zip_of(tmp_path / "x.zip", class_files({"cat": 2, "dog": 2}))
    server.files["/x.zip"] = archive.read_bytes()
    for _ in range(2):
        source = opened(make_dataset(**LABELLED), tmp_path / "cache", f"{server.url}/x.zip")["train"]
        assert len(list(source.entries())) == 4
    assert server.ranges("/x.zip") == [None]


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz"])
def test_what_was_fetched_and_is_no_archive_does_not_stay_in_the_cache(tmp_path, server, name):
    """A server that sends a page in an archive's place, and says nothing of the file's version."""
    server.files[f"/{name}"] = b"<html>Sign in</html>"
    server.silent = True
    place = f"{server.url}/{name}"
    for _ in range(2):
        with pytest.raises(SourceError, match=f"{place}.*cannot be .*was deleted: run again"):
            opened(make_dataset(**LABELLED), tmp_path / "cache", place)
    assert not list((tmp_path / "cache").rglob(f"*{name}"))
    files = class_files({"cat": 2, "dog": 2})
    sound = zip_of(tmp_path / name, files) if name == "x.zip" else None
    sound = sound or tar_of(tmp_path / name, files, "w:gz" if name == "x.tar.gz" else "w")
    server.files[f"/{name}"] = sound.read_bytes()
    assert len(keys(opened(make_dataset(**LABELLED), tmp_path / "cache", place)["train"])) == 4
    assert server.ranges(f"/{name}") == [None] * 3


def test_a_damaged_archive_of_ones_own_is_not_deleted(tmp_path):
    whole = tar_of(tmp_path / "x.tar.gz", class_files({"cat": 30}), "w:gz").read_bytes()
    for name, content in (("cut.tar.gz", whole[:-2000]), ("cut.tar", gzip.decompress(whole)[:-10240])):
        place = tmp_path / "cache" / name  # wherever it lies
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(content)
        with pytest.raises(SourceError, match=f"{name} cannot be"):
            opened(make_dataset(), tmp_path / "cache", place)
        assert place.read_bytes() == content


def test_a_compressed_tar_whose_tar_is_damaged_is_refused_each_time(tmp_path):
    path = tmp_path / "x.tar.gz"
    tar = tar_of(tmp_path / "x.tar", class_files({"cat": 30})).read_bytes()
    path.write_bytes(gzip.compress(tar[:20_480]))
    for _ in range(2):
        with pytest.raises(SourceError, match=f"{path} cannot be opened as an archive"):
            opened(make_dataset(), tmp_path / "cache", path)
    assert not list((tmp_path / "cache").rglob("*.tar"))


def test_a_folder_and_an_archive_of_another_file_system(tmp_path):
    import fsspec

    memory = fsspec.filesystem("memory")
    files = class_files({"cat": 2, "dog": 2})
    memory.pipe({f"/given/{name}": content for name, content in files.items()})
    memory.pipe_file("/given.zip", zip_of(tmp_path / "x.zip", files).read_bytes())
    for place in ("memory://given", "memory://given.zip"):
        source = opened(make_dataset(**LABELLED), tmp_path / "cache", place)["train"]
        assert {entry.key: source.read(entry) for entry in source.entries()} == files


def test_a_file_that_vanishes_is_named(tmp_path):
    folder = write_files(tmp_path / "x", class_files({"cat": 2}))
    source = opened(make_dataset(**TRAIN_ONLY), tmp_path / "cache", folder)["train"]
    (folder / "cat" / "001.png").unlink()
    with pytest.raises(SourceError, match=r"001\.png"):
        for entry in source.entries():
            source.read(entry)


def test_the_signature_changes_with_a_file(tmp_path):
    folder = write_files(tmp_path / "x", class_files({"cat": 2}))
    before = open_files(str(folder), tmp_path / "cache").signature()
    assert open_files(str(folder), tmp_path / "cache").signature() == before
    (folder / "cat" / "001.png").write_bytes(encoded(9))
    assert open_files(str(folder), tmp_path / "cache").signature() != before


def test_interleave_takes_groups_in_turn():
    one, two = [Entry("a", "x"), Entry("b", "x")], [Entry("c", "y")]
    assert [entry.key for entry in interleave([one, two])] == ["a", "c", "b"]


# --- digits -----------------------------------------------------------------------------------------------

DIGITS = {"name": "digits", "source": {"kind": "digits"}, "channels": 1}


def test_digits_are_scikit_learns_scaled_to_bytes(tmp_path):
    dataset = make_dataset(**DIGITS, classes=list("0123456789"), test_fraction=0.2)
    source = opened(dataset, tmp_path)["train"]
    reference = load_digits()
    assert len(list(source.entries())) == 1797
    for entry in source.entries(40):
        index = int(entry.key)
        assert entry.class_name == str(reference.target[index])
        pixels = np.asarray(source.decode(source.read(entry)))
        np.testing.assert_array_equal(pixels, np.round(reference.images[index] * 255 / 16))
    assert {entry.class_name for entry in source.entries(10)} == set("0123456789")
    assert "test" not in opened(dataset, tmp_path)


def test_digits_have_no_test_split_of_their_own(tmp_path):
    with pytest.raises(SourceError, match="test_fraction"):
        opened(make_dataset(**DIGITS), tmp_path)


# --- CIFAR-10 ---------------------------------------------------------------------------------------------

CIFAR10 = {
    "name": "cifar10",
    "source": {"kind": "cifar10"},
    "classes": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}
BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


def cifar10_files():
    """The official layout with 20 images a batch; also the images (N, 3, 32, 32) and labels by batch."""
    rng = np.random.default_rng(0)
    files, arrays = {"cifar-10-batches-py/readme.html": b""}, {}
    for name in BATCHES:
        data = rng.integers(0, 256, (20, 3072), dtype=np.uint8)
        labels = [int(label) for label in rng.permutation(20) % 10]
        batch = {b"batch_label": b"x", b"labels": labels, b"data": data, b"filenames": [b"a.png"] * 20}
        files[f"cifar-10-batches-py/{name}"] = pickle.dumps(batch, protocol=2)
        arrays[name] = (data.reshape(-1, 3, 32, 32), labels)
    return files, arrays


def check_cifar10(sources, arrays):
    for split, names in (("train", BATCHES[:5]), ("test", BATCHES[5:])):
        images = np.concatenate([arrays[name][0] for name in names])
        labels = sum((arrays[name][1] for name in names), [])
        source = pickle.loads(pickle.dumps(sources[split]))
        entries = list(source.entries())
        assert len(entries) == len(images)
        for entry in entries:
            index = int(entry.key)
            assert entry.class_name == CIFAR10["classes"][labels[index]]
            pixels = np.asarray(source.decode(source.read(entry))).transpose(2, 0, 1)
            np.testing.assert_array_equal(pixels, images[index])


def test_cifar10_from_its_official_archive_over_the_network(tmp_path, server, monkeypatch):
    import hashlib

    files, arrays = cifar10_files()
    content = tar_of(tmp_path / "x.tar.gz", files, "w:gz").read_bytes()
    server.files["/kriz/cifar-10-python.tar.gz"] = content
    server.faults["/kriz/cifar-10-python.tar.gz"] = ["cut"]
    monkeypatch.setenv("GAN_MIRROR_CIFAR10", f"{server.url}/kriz")
    monkeypatch.setitem(Cifar10.md5, "cifar-10-python.tar.gz", hashlib.md5(content).hexdigest())
    check_cifar10(opened(make_dataset(**CIFAR10), tmp_path / "cache"), arrays)
    assert len(server.seen) == 2


def test_a_corrupt_cifar10_is_refused_by_its_official_checksum(tmp_path, server, monkeypatch):
    server.files["/cifar-10-python.tar.gz"] = b"not it"
    monkeypatch.setenv("GAN_MIRROR_CIFAR10", server.url)
    with pytest.raises(SourceError, match="cifar-10-python.tar.gz.*c58f30108f718f92721af3b95e74349a"):
        opened(make_dataset(**CIFAR10), tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.gz"))
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_a_forbidden_cifar10_names_the_variable_and_the_file(tmp_path, server, monkeypatch):
    server.faults["/cifar-10-python.tar.gz"] = [403]
    monkeypatch.setenv("GAN_MIRROR_CIFAR10", server.url)
    with pytest.raises(SourceError) as caught:
        opened(make_dataset(**CIFAR10), tmp_path / "cache")
    for word in ("403", "GAN_SOURCE_CIFAR10", str(tmp_path / "cache" / "downloads" / "cifar10")):
        assert word in str(caught.value)


@pytest.mark.parametrize("kind", ["archive", "folder"])
def test_cifar10_official_files_from_disk(tmp_path, kind):
    files, arrays = cifar10_files()
    if kind == "archive":
        given = tar_of(tmp_path / "cifar-10-python.tar.gz", files, "w:gz")
    else:
        given = write_files(tmp_path / "x", files) / "cifar-10-batches-py"
    check_cifar10(opened(make_dataset(**CIFAR10), tmp_path / "cache", given), arrays)


def test_cifar10_from_a_zip_with_a_folder_a_class(tmp_path):
    counts = dict.fromkeys(CIFAR10["classes"], 2)
    train, test = (zip_of(tmp_path / f"{i}.zip", class_files(counts, seed=i)) for i in (0, 1))
    sources = opened(make_dataset(**CIFAR10), tmp_path / "cache", train, test)
    assert [len(list(sources[split].entries())) for split in ("train", "test")] == [20, 20]
    assert {entry.class_name for entry in sources["train"].entries(10)} == set(CIFAR10["classes"])


class Trap:
    def __reduce__(self):
        return (os.system, ("echo trapped > trapped.txt",))


def test_a_pickle_that_would_run_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files, _ = cifar10_files()
    files["cifar-10-batches-py/data_batch_3"] = pickle.dumps({b"data": Trap(), b"labels": []})
    given = tar_of(tmp_path / "x.tar.gz", files, "w:gz")
    with pytest.raises(SourceError, match="data_batch_3.*system"):
        opened(make_dataset(**CIFAR10), tmp_path / "cache", given)
    assert not (tmp_path / "trapped.txt").exists()


def test_cifar10_with_other_classes_is_refused(tmp_path):
    files, _ = cifar10_files()
    given = tar_of(tmp_path / "x.tar", files)
    with pytest.raises(SourceError, match="airplane"):
        opened(make_dataset(**{**CIFAR10, "classes": ["a", "b"]}), tmp_path / "cache", given)


def test_an_incomplete_cifar10_names_what_is_missing(tmp_path):
    files, _ = cifar10_files()
    del files["cifar-10-batches-py/data_batch_4"]
    with pytest.raises(SourceError, match="lacks data_batch_4"):
        opened(make_dataset(**CIFAR10), tmp_path / "cache", tar_of(tmp_path / "x.tar", files))


# --- MNIST ------------------------------------------------------------------------------------------------

MNIST = {"name": "mnist", "source": {"kind": "mnist"}, "channels": 1, "classes": tuple("0123456789")}


def mnist_files():
    rng = np.random.default_rng(0)
    files, arrays = {}, {}
    for split, count in (("train", 30), ("t10k", 20)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        header = struct.pack(">HBBIII", 0, 8, 3, count, 28, 28)
        files[f"{split}-images-idx3-ubyte.gz"] = gzip.compress(header + images.tobytes())
        header = struct.pack(">HBBI", 0, 8, 1, count)
        files[f"{split}-labels-idx1-ubyte.gz"] = gzip.compress(header + labels.tobytes())
        arrays["train" if split == "train" else "test"] = (images, labels)
    return files, arrays


def check_mnist(sources, arrays):
    for split, (images, labels) in arrays.items():
        entries = list(sources[split].entries())
        assert len(entries) == len(images)
        for entry in entries:
            assert entry.class_name == str(labels[int(entry.key)])
            pixels = np.asarray(sources[split].decode(sources[split].read(entry)))
            np.testing.assert_array_equal(pixels, images[int(entry.key)])


def test_mnist_from_its_official_files_over_the_network(tmp_path, server, monkeypatch):
    import hashlib

    files, arrays = mnist_files()
    for name, content in files.items():
        server.files[f"/{name}"] = content
        monkeypatch.setitem(Mnist.md5, name, hashlib.md5(content).hexdigest())
    monkeypatch.setenv("GAN_MIRROR_MNIST", server.url)
    check_mnist(opened(make_dataset(**MNIST), tmp_path / "cache"), arrays)
    assert len(server.seen) == 4


@pytest.mark.parametrize("zipped", [True, False])
def test_mnist_official_files_from_disk(tmp_path, zipped):
    files, arrays = mnist_files()
    if not zipped:
        files = {name.removesuffix(".gz"): gzip.decompress(content) for name, content in files.items()}
    check_mnist(opened(make_dataset(**MNIST), tmp_path / "cache", write_files(tmp_path / "x", files)), arrays)


def test_a_file_that_is_no_idx_is_named(tmp_path):
    files, _ = mnist_files()
    files["train-images-idx3-ubyte.gz"] = b"<html>"
    with pytest.raises(SourceError, match="train-images-idx3-ubyte is not an idx file"):
        opened(make_dataset(**MNIST), tmp_path / "cache", write_files(tmp_path / "x", files))


# --- LSUN -------------------------------------------------------------------------------------------------

LSUN = {"name": "bedroom", "source": {"kind": "lsun", "category": "bedroom"}}


@pytest.fixture
def lsun(tmp_path):
    """A folder with the zips of both splits, and the photographs by split and key."""
    import lmdb

    photographs = {}
    (tmp_path / "lsun").mkdir()
    for split, name, count in (("train", "bedroom_train_lmdb", 12), ("test", "bedroom_val_lmdb", 4)):
        wanted = {f"{37 * i % 100:040x}": encoded(count + i, extension="webp") for i in range(count)}
        with (
            lmdb.open(str(tmp_path / name), map_size=2**22) as database,
            database.begin(write=True) as writer,
        ):
            for key, content in wanted.items():
                writer.put(key.encode(), content)
        database_file = (tmp_path / name / "data.mdb").read_bytes()
        zip_of(
            tmp_path / "lsun" / f"{name}.zip", {f"{name}/data.mdb": database_file, f"{name}/lock.mdb": b""}
        )
        photographs[split] = wanted
    return tmp_path / "lsun", photographs


def check_lsun(sources, photographs):
    for split, wanted in photographs.items():
        source = pickle.loads(pickle.dumps(sources[split]))
        assert list(source.entries()) == [Entry(key, None) for key in sorted(wanted)]
        assert source.count() == len(wanted)
        assert all(source.read(entry) == wanted[entry.key] for entry in source.entries())
        assert source.decode(source.read(next(source.entries()))).format == "WEBP"


def test_lsun_over_the_network(tmp_path, server, monkeypatch, lsun):
    folder, photographs = lsun
    for archive in folder.iterdir():
        server.files[f"/scenes/{archive.name}"] = archive.read_bytes()
    server.faults["/scenes/bedroom_train_lmdb.zip"] = ["cut"]
    monkeypatch.setenv("GAN_MIRROR_LSUN", f"{server.url}/scenes")
    check_lsun(opened(make_dataset(**LSUN), tmp_path / "cache"), photographs)
    asked = len(server.seen)
    check_lsun(opened(make_dataset(**LSUN), tmp_path / "cache"), photographs)
    assert len(server.seen) == asked == 3
    assert not list((tmp_path / "cache").rglob("*.zip"))  # only the database is kept


@pytest.mark.parametrize("broken", ["a page", "half", "another zip", "another file in it"])
def test_an_official_lsun_that_is_broken_does_not_stay_in_the_cache(
    tmp_path, server, monkeypatch, lsun, broken
):
    """It is published without a checksum."""
    whole = (lsun[0] / "bedroom_train_lmdb.zip").read_bytes()
    content = {
        "a page": lambda: b"<html>Sign in</html>",
        "half": lambda: whole[: len(whole) // 2],
        "another zip": lambda: zip_of(tmp_path / "a.zip", {"a.txt": b""}).read_bytes(),
        "another file in it": lambda: zip_of(tmp_path / "a.zip", {"data.mdb": b"none" * 5000}).read_bytes(),
    }[broken]()
    path = "/scenes/bedroom_train_lmdb.zip"
    monkeypatch.setenv("GAN_MIRROR_LSUN", f"{server.url}/scenes")
    dataset = make_dataset(**LSUN, **TRAIN_ONLY)
    server.silent, server.files[path] = True, content
    for _ in range(2):
        with pytest.raises(SourceError, match=r"was deleted: run again"):
            opened(dataset, tmp_path / "cache")
    server.files[path] = whole
    assert opened(dataset, tmp_path / "cache")["train"].count() == 12


def test_a_database_that_was_fetched_and_is_not_whole_does_not_stay_in_the_cache(tmp_path, server, lsun):
    whole = (tmp_path / "bedroom_train_lmdb" / "data.mdb").read_bytes()
    server.silent, server.files["/data.mdb"] = True, whole[: len(whole) // 2]
    dataset, place = make_dataset(**LSUN, **TRAIN_ONLY), f"{server.url}/data.mdb"
    for _ in range(2):
        with pytest.raises(SourceError, match=r"not complete.*data.mdb was deleted: run again"):
            opened(dataset, tmp_path / "cache", place)
    server.files["/data.mdb"] = whole
    assert opened(dataset, tmp_path / "cache", place)["train"].count() == 12


def test_a_version_is_asked_for_again_where_the_server_falters(tmp_path, server):
    server.files["/x.zip"] = zip_of(tmp_path / "x.zip", class_files({"cat": 2, "dog": 2})).read_bytes()
    server.head_faults = [503, "cut"]
    assert opened(make_dataset(**LABELLED), tmp_path / "cache", f"{server.url}/x.zip")["train"].count() == 4
    assert opened(make_dataset(**LABELLED), tmp_path / "cache", f"{server.url}/x.zip")["train"].count() == 4
    assert server.ranges("/x.zip") == [None]


def test_lsun_from_disk(tmp_path, lsun):
    folder, photographs = lsun
    train, test = folder / "bedroom_train_lmdb.zip", folder / "bedroom_val_lmdb.zip"
    dataset = make_dataset(**LSUN)
    check_lsun(opened(dataset, tmp_path / "cache", train, test), photographs)
    check_lsun(opened(dataset, tmp_path / "cache", folder), photographs)  # both zips lie there
    unpacked = tmp_path / "bedroom_train_lmdb", tmp_path / "bedroom_val_lmdb"
    check_lsun(opened(dataset, tmp_path / "cache", *unpacked), photographs)
    check_lsun(opened(dataset, tmp_path / "cache", tmp_path), photographs)  # both folders lie there


def test_a_limit_takes_the_first_keys_of_lsun(tmp_path, lsun):
    folder, photographs = lsun
    sources = opened(make_dataset(**LSUN), tmp_path / "cache", folder)
    assert keys(sources["train"], limit=5) == sorted(photographs["train"])[:5]
    assert [sources["train"].count(limit) for limit in (5, 100)] == [5, 12]


def test_lsun_without_its_val_zip(tmp_path, lsun):
    folder, _ = lsun
    with pytest.raises(SourceError, match="GAN_SOURCE_BEDROOM_TEST"):
        opened(make_dataset(**LSUN), tmp_path / "cache", folder / "bedroom_train_lmdb.zip")


def test_damaged_lsun_zips_and_databases_are_named(tmp_path, lsun):
    folder, _ = lsun
    dataset = make_dataset(**LSUN, **TRAIN_ONLY)
    whole = (tmp_path / "bedroom_train_lmdb" / "data.mdb").read_bytes()
    cut = write_files(tmp_path / "cut", {"data.mdb": whole[: len(whole) // 2]})
    with pytest.raises(SourceError, match="not complete"):
        opened(dataset, tmp_path / "cache", cut)["train"].entries()
    other = write_files(tmp_path / "other", {"data.mdb": os.urandom(20_000)})
    with pytest.raises(SourceError, match="not an LMDB"):
        opened(dataset, tmp_path / "cache", other)["train"].entries()
    archive = zip_of(tmp_path / "x.zip", {"a.txt": b""})
    with pytest.raises(SourceError, match="0 files named data.mdb"):
        opened(dataset, tmp_path / "cache", archive)
    content = bytearray((folder / "bedroom_train_lmdb.zip").read_bytes())
    content[5000] ^= 255
    (tmp_path / "flipped.zip").write_bytes(content)
    with pytest.raises(SourceError, match="flipped.zip is damaged"):
        opened(dataset, tmp_path / "cache", tmp_path / "flipped.zip")
    assert not list((tmp_path / "cache").rglob("data.mdb"))


def test_lsun_has_no_classes():
    with pytest.raises(ValidationError, match="remove `classes`"):
        make_dataset(**LSUN, classes="folders")
