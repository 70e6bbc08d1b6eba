"""Shards that are broken or that others wrote: what the check finds, and what reading them says."""

import contextlib
import gzip
import io
import re
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from gan_core.data.epoch_order import EpochOrder
from gan_core.data.feed import StreamedFeed
from gan_core.data.loading import iterate_images, load_resident
from gan_core.data.pixels import encode_png
from gan_core.data.tars import write_tar
from gan_core.data.verification import verify_image_shards
from gan_core.errors import StoreError
from gan_core.store import Build, Manifest, Store

NAME = "train-000001.tar"
REMEDY = "run `python -m gan_core shard pets --force`"
COUNT, SHAPE = 4, (3, 8, 8)
IMAGES = np.random.default_rng(0).integers(0, 256, (2 * COUNT, *SHAPE), dtype=np.uint8)
PNGS = [encode_png(image) for image in IMAGES]
LONG = "k" * 129


def members(**changes: bytes | None) -> list[tuple[str, bytes]]:
    """The members of a sound shard of four images of the classes 0, 1, 0, 1; some replaced or left out."""
    found = {}
    for row in range(COUNT):
        found |= {f"{row}.png": PNGS[COUNT + row], f"{row}.cls": str(row % 2).encode()}
    found |= {name.replace("_", ".").lstrip("n"): content for name, content in changes.items()}
    return [(name, content) for name, content in found.items() if content is not None]


def packed(files: list[tuple[str, bytes | str]], format: int = tarfile.USTAR_FORMAT) -> bytes:
    """A tar as Python's tarfile writes it; a text instead of bytes is where a symbolic link leads."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for name, content in files:
            header = tarfile.TarInfo(name)
            header.mtime = 1.5 if format == tarfile.PAX_FORMAT else 1  # a fraction needs a header of its own
            if isinstance(content, str):
                header.type, header.linkname = tarfile.SYMTYPE, content
                tar.addfile(header)
                continue
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    return buffer.getvalue()


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def flipped(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


PICTURE = Image.fromarray(IMAGES[0].transpose(1, 2, 0))
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n"
SOUND = members()
WITH_LONG_KEY = [(f"{LONG}.png", PNGS[4]), *SOUND[1:]]
USED = len(packed(SOUND).rstrip(b"\0")) // 512 * 512 + 512

# What the shard holds, and what must be said of it beside the file's name.
BROKEN: dict[str, tuple[bytes, str]] = {
    "equal base names": (packed([*SOUND, ("0.png", PNGS[4]), ("0.cls", b"0")]), "`0` is the key of two"),
    "a member twice": (packed([("0.png", PNGS[4]), *SOUND]), "`0` has two members .png"),
    "equal up to the first dot": (packed([("0.a.png", PNGS[4]), *SOUND]), "`0` has a member `.a.png`"),
    "interleaved": (
        packed([SOUND[0], SOUND[2], SOUND[1], SOUND[3], *SOUND[4:]]),
        "`0` (is the key of two samples, or its members are not side by side|has no .cls)",
    ),
    "a long key, pax": (
        packed([(f"{LONG}.png", PNGS[4]), *SOUND[1:]], tarfile.PAX_FORMAT),
        f"`{LONG}` is a key",
    ),
    "a long key, GNU": (
        packed([(f"{LONG}.png", PNGS[4]), *SOUND[1:]], tarfile.GNU_FORMAT),
        f"`{LONG}` is a key",
    ),
    "a long key, ustar": (
        packed([(f"{LONG}/0.png", PNGS[4]), *SOUND[1:]]),
        f"`{LONG}/0` is a key of 131",
    ),
    "cut within a member": (packed(SOUND)[: USED - 600], "not complete"),
    "cut at a member's edge": (packed(SOUND)[: USED - 1024], "not complete"),
    "cut before its end": (packed(SOUND)[:USED], "not complete"),
    "empty": (b"", "not complete"),
    "a damaged header in the middle": (flipped(packed(SOUND), 2 * 1024 + 3), "has a damaged header"),
    "no tar": (b"no tar at all, " * 100, "has a damaged header at byte 0"),
    "compressed": (gzip.compress(packed(SOUND)) + bytes(512), "has a damaged header at byte 0"),
    "a label that is no number": (
        packed(members(n2_cls=b"cat")),
        "`2` has the class b'cat', which is no i",
    ),
    "a negative label": (packed(members(n2_cls=b"-1")), "`2` has the class b'-1', which is no index"),
    "a label outside the classes": (packed(members(n2_cls=b"2")), "`2` has class 2, but there are 2 classes"),
    "a huge label": (packed(members(n2_cls=b"9" * 5000)), "`2` has the class b'9999.*which is no index"),
    "no label": (packed(members(n2_cls=None)), "`2` has no .cls, but there are 2 classes"),
    "no image": (packed(members(n2_png=None)), "`2` has no .png"),
    "an empty image": (packed(members(n2_png=b"")), "`2` does not decode: it is no PNG"),
    "a cut image": (packed(members(n2_png=PNGS[6][:100])), "`2` does not decode"),
    "a damaged image": (packed(members(n2_png=flipped(PNGS[6], 60))), "`2` does not decode"),
    "another size": (
        packed(members(n2_png=encode_png(np.zeros((3, 9, 8), np.uint8)))),
        r"`2` has the shape \(3, 9, 8\) instead of \(3, 8, 8\)",
    ),
    "grey": (packed(members(n2_png=encoded(PICTURE.convert("L")))), r"`2` has the shape \(1, 8, 8\)"),
    "transparent": (
        packed(members(n2_png=encoded(PICTURE.convert("RGBA")))),
        "`2` has pixels of the mode R",
    ),
    "with a palette": (packed(members(n2_png=encoded(PICTURE.convert("P")))), "`2` has pixels of the mode P"),
    "a JPEG": (packed(members(n2_png=encoded(PICTURE, "JPEG"))), "`2` does not decode: it is no PNG"),
    "PostScript": (
        packed(members(n2_png=b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")),
        "`2` .* no PNG",
    ),
    "another extension": (packed([("0.jpg", PNGS[4]), *SOUND[1:]]), "`0` has a member `.jpg`"),
    "an extra member": (packed([*SOUND, ("3.json", b"{}")]), "`3` has a member `.json`, which is neither"),
    "a file without extension": (packed([*SOUND, ("README", b"")]), "`README` has a member"),
    "a symbolic link": (packed([*SOUND, ("4.png", "/etc/passwd")]), "`4` is no regular file"),
    "one image more": (packed([*SOUND, ("4.png", PNGS[0]), ("4.cls", b"0")]), "images.* its manifest says"),
    "one image fewer": (packed(SOUND[:-2]), "images.* its manifest says"),
}


def put_in_place(store: Store, content: bytes, classes: list[str] | None = None) -> Manifest:
    """Two shards of four images, of which the second has this content, and the manifest its hash."""
    classes = ["cat", "dog"] if classes is None else classes

    def build(work: Build) -> None:
        labels = [row % 2 if classes else None for row in range(COUNT)]
        samples = ((str(row), png, label) for row, (png, label) in enumerate(zip(PNGS, labels, strict=False)))
        write_tar(work.folder / "train-000000.tar", samples)
        (work.folder / NAME).write_bytes(content)
        split = {
            "images": 2 * COUNT,
            "classes": dict.fromkeys(classes, COUNT),
            "shards": ["train-000000.tar", NAME],
            "images_per_shard": [COUNT, COUNT],
        }
        work.details = {"splits": {"train": split}, "classes": classes, "image_size": 8, "channels": 3}

    return store.produce("image_shards", "pets", config={}, inputs={}, code_version="1", build=build)


def stream(store: Store, shards: Manifest) -> None:
    order = EpochOrder([COUNT, COUNT], 1, seed=0)
    feed = StreamedFeed(
        store, shards, "train", order, batch_size=8, labelled=True, device=torch.device("cpu"), processes=1
    )
    with contextlib.closing(feed):
        feed.batch(0, 8)


def iterate(store: Store, shards: Manifest) -> None:
    for _ in iterate_images(store, shards, "train"):
        pass


def load(store: Store, shards: Manifest) -> None:
    load_resident(store, shards, "train")


@pytest.mark.parametrize("case", BROKEN)
def test_the_check_names_what_is_broken(store, case):
    content, words = BROKEN[case]
    report = verify_image_shards(store, put_in_place(store, content), emit=lambda line: None)
    assert any(contains(problem, f"{NAME}.*{words}") for problem in report.problems), report.problems
    assert not any("train-000000.tar" in problem for problem in report.problems)


def contains(text: str, pattern: str) -> bool:
    return re.search(pattern, text, re.DOTALL) is not None


@pytest.mark.parametrize("case", BROKEN)
def test_reading_it_is_one_error_that_says_what_to_do(store, case):
    content, words = BROKEN[case]
    shards = put_in_place(store, content)
    for read in (load, iterate):
        with pytest.raises(StoreError, match=f"(?s){NAME}.*{words}.*; {REMEDY}$"):
            read(store, shards)


@pytest.mark.parametrize(
    "case", ["interleaved", "cut within a member", "another size", "a label outside the classes"]
)
def test_so_is_streaming_it(store, case):
    content, words = BROKEN[case]
    with pytest.raises(StoreError, match=f"(?s){NAME}.*{words}.*; {REMEDY}$"):
        stream(store, put_in_place(store, content))


def test_labels_where_there_are_no_classes(store):
    shards = put_in_place(store, packed(SOUND), classes=[])
    report = verify_image_shards(store, shards, emit=lambda line: None)
    assert any(f"{NAME}: `0` has class 0, but there are 0 classes" in problem for problem in report.problems)
    with pytest.raises(StoreError, match=f"{NAME}: `0` has class 0, but there are 0 classes; {REMEDY}"):
        load(store, shards)


def test_many_problems_are_counted(store):
    files = [(f"{row}.txt", b"") for row in range(30)]
    report = verify_image_shards(store, put_in_place(store, packed(files)), emit=lambda line: None)
    of_the_shard = [problem for problem in report.problems if NAME in problem]
    assert len(of_the_shard) == 11
    assert contains(of_the_shard[-1], r"train-000001.tar: \d\d more problems")


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_a_sound_tar_that_others_wrote_is_read(store, format):
    shards = put_in_place(store, packed(SOUND, format))
    assert verify_image_shards(store, shards, emit=lambda line: None).problems == []
    resident = load_resident(store, shards, "train")
    np.testing.assert_array_equal(resident.images.numpy(), IMAGES)
    assert resident.labels.tolist() == [0, 1] * COUNT


def test_a_shard_that_is_no_file_is_named(store):
    shards = put_in_place(store, packed(SOUND))
    path = store.local(shards, NAME)
    path.unlink()
    path.mkdir()
    report = verify_image_shards(store, shards, emit=lambda line: None)
    assert f"{path} is no file: remove it, then {REMEDY}" in report.problems


def test_a_manifest_whose_numbers_do_not_belong_together_is_refused(store):
    shards = put_in_place(store, packed(SOUND))
    shards.details["splits"]["train"]["images_per_shard"] = [COUNT]
    with pytest.raises(StoreError, match=f"8 images in 2 shards, but lists 4 in 1; {REMEDY}"):
        load(store, shards)
    (problem,) = verify_image_shards(store, shards, emit=lambda line: None).problems
    assert "lists 4 in 1" in problem


def test_every_cut_of_a_shard_is_noticed(store):
    """Wherever the file ends: no image is lost in silence, whatever follows."""
    shards = put_in_place(store, packed(SOUND))
    path, content = store.local(shards, NAME), packed(SOUND)
    for length in range(0, USED, 97):
        path.write_bytes(content[:length])
        problems = verify_image_shards(store, shards, emit=lambda line: None).problems
        assert any(f"{NAME} ends" in problem and "not complete" in problem for problem in problems), length
