"""Folders and archives of image files, with or without a folder per class."""

import logging
import posixpath
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from os.path import commonprefix
from typing import Any

from gan_core.config import Dataset
from gan_core.data.sources.base import Entry, Source, interleave
from gan_core.data.sources.files import Files, too_large
from gan_core.errors import SourceError
from gan_core.limits import largest_file_bytes

logger = logging.getLogger("gan_core")
IMAGE_EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".jp2", ".j2k", ".avif", ".apng"),
)
# Images as well, which are not read: photographs' other formats, cameras' raw data, drawings, layers.
OTHER_IMAGES = frozenset(
    (
        *(".heic", ".heif", ".hif", ".jxl", ".jxr", ".jpx", ".mng", ".bpg", ".qoi", ".ico"),
        *(".dng", ".raw", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".rw2"),
        *(".raf", ".pef", ".srw", ".x3f", ".3fr", ".erf", ".kdc", ".dcr", ".mrw", ".iiq", ".exr", ".hdr"),
        *(".svg", ".svgz", ".eps", ".ai", ".psd", ".xcf", ".pcx", ".dds", ".icns", ".xbm", ".xpm", ".sgi"),
    )
)
MOST_LEFT_OUT = 0.01  # of all images
# What the folder of a split may be called, where one location holds both.
SPLIT_FOLDERS = {"train": ("train",), "test": ("test", "val")}
LeftOut = list[tuple[str, str]]


class ImageFiles(Source):
    """The image files called `names`, in that order; keys are the names below the folder `prefix`."""

    def __init__(
        self, files: Files, prefix: str, names: list[str], *, labelled: bool = False, left_out: LeftOut = ()
    ):
        self.files, self.prefix, self.names = files, prefix, names
        self.labelled, self.left_out = labelled, left_out
        self.location, self.remote = files.location, files.remote

    def __getstate__(self) -> dict:
        return {**self.__dict__, "names": [], "left_out": []}  # a worker is told what to read

    def entries(self, limit: int | None = None) -> Iterator[Entry]:
        start = len(self.prefix)
        for name in islice(self.names, limit):
            key = name[start:]
            yield Entry(key, key.partition("/")[0] if self.labelled else None)

    def count(self, limit: int | None = None) -> int:
        return len(self.names) if limit is None else min(limit, len(self.names))

    def read(self, entry: Entry) -> bytes:
        return self.files.read(self.prefix + entry.key)

    def signature(self) -> Any:
        return [self.files.signature(), self.prefix, largest_file_bytes()]


def open_images(
    files: Files,
    split: str,
    dataset: Dataset,
    *,
    whole: bool,
    emit: Callable[[str], None] = logger.info,
) -> ImageFiles | None:
    """The images of one split. A location that holds `train/` and `test/` (or `val/`) serves both splits.

    Any other is this split, if `whole`; else None is returned. Raises `SourceError` if there are no images,
    more than 1% that cannot be read, or not the class folders that the dataset names.
    """
    names, left_out = find_images(files)
    if not names:
        raise SourceError(
            f"{files.location} contains no images (files whose names end in {' '.join(IMAGE_EXTENSIONS)})"
            f"{_but(left_out)}: check the source of dataset `{dataset.name}`"
        )
    container = _container(names, dataset)
    if container is None and not whole:
        return None
    prefix = ""
    if container is not None:
        top, folders = container
        prefix = f"{top}{next(f for f in SPLIT_FOLDERS[split] if f in folders)}/"
        names = [name for name in names if name.startswith(prefix)]
        left_out = [(name, reason) for name, reason in left_out if name.startswith(prefix)]
    check_left_out(f"{files.location} ({split})", len(names), left_out, emit)
    prefix += _common_top(names, prefix, dataset)
    if dataset.labelled:
        names = _by_class(names, prefix, f"{files.location} ({split})", dataset)
    return ImageFiles(files, prefix, names, labelled=dataset.labelled, left_out=left_out)


def find_images(files: Files) -> tuple[list[str], LeftOut]:
    """The names of the images, sorted, and what is left out though it seems to be one.

    That is an image of a format that is not read, one that is too large, and what is no file at all.
    """
    table, limit = files.table(), largest_file_bytes()
    names, left_out = [], []
    for name, size in zip(table.names, table.sizes, strict=True):
        if not name.lower().endswith(IMAGE_EXTENSIONS):
            extension = _extension(name)
            if extension in OTHER_IMAGES:
                left_out.append((name, f"`{extension}` is a format that is not read"))
        elif size > limit:
            left_out.append((name, too_large(size)))
        else:
            names.append(name)
    problems = [problem for problem in table.problems if _may_be_image(problem[0])]
    return names, left_out + problems


def check_left_out(where: str, count: int, left_out: LeftOut, emit: Callable[[str], None]) -> None:
    """Say what is left out beside `count` images; raise `SourceError` where that is more than 1% of all."""
    if not left_out:
        return
    if len(left_out) > MOST_LEFT_OUT * (count + len(left_out)):
        raise SourceError(
            f"{where}: {len(left_out):,} of {count + len(left_out):,} images cannot be read, more than 1%: "
            f"{_reasons(left_out)}. Convert or mend them, or move them out of the source"
        )
    emit(f"{where}: {len(left_out):,} images are left out: {_reasons(left_out)}")


def _but(left_out: LeftOut) -> str:
    return f", but {len(left_out):,} that cannot be read: {_reasons(left_out)}" if left_out else ""


def _reasons(left_out: LeftOut) -> str:
    """Each reason with the first name that it holds for, and how many more."""
    counts = Counter(reason for _, reason in left_out)
    firsts = {reason: name for name, reason in reversed(left_out)}
    shown = [
        f"`{firsts[reason]}`{f' and {count - 1:,} more' if count > 1 else ''} ({reason})"
        for reason, count in counts.most_common(5)
    ]
    return "; ".join(shown) + (f"; {len(counts) - 5:,} more reasons" if len(counts) > 5 else "")


def _may_be_image(name: str) -> bool:
    extension = _extension(name)
    return not extension or extension in OTHER_IMAGES or extension in IMAGE_EXTENSIONS


def _extension(name: str) -> str:
    return posixpath.splitext(name)[1].lower()


def _container(names: list[str], dataset: Dataset) -> tuple[str, set[str]] | None:
    """Where the split folders are, and which there are; None if the location holds no split folders."""
    top = _shared_folder(names)
    folders = {name[len(top) :].partition("/")[0] for name in names if "/" in name[len(top) :]}
    has_both = "train" in folders and bool(folders & set(SPLIT_FOLDERS["test"]))
    return (top, folders) if has_both and "train" not in (dataset.classes or ()) else None


def _common_top(names: list[str], prefix: str, dataset: Dataset) -> str:
    """The folders below `prefix` that all names share, unless they are a class."""
    shared = _shared_folder(names)[len(prefix) :].split("/")[:-1]
    if dataset.labelled:
        # The last folder that can be shared lies above the class folders.
        depth = min(name.count("/") for name in names) - prefix.count("/")
        shared = shared[: max(0, depth - 1)]
        classes = dataset.classes if isinstance(dataset.classes, tuple) else ()
        at_class = (position for position, folder in enumerate(shared) if folder in classes)
        shared = shared[: next(at_class, len(shared))]
    return "".join(f"{folder}/" for folder in shared)


def _shared_folder(names: list[str]) -> str:
    """The folder, with a `/` at its end, that all of these sorted names lie in; nothing if there is none."""
    start = commonprefix([names[0], names[-1]])
    return start[: start.rfind("/") + 1]


def _by_class(names: list[str], prefix: str, where: str, dataset: Dataset) -> list[str]:
    """The names, from each class in turn; raises `SourceError` where the folders are not these."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        folder, slash, _ = name[len(prefix) :].partition("/")
        groups[folder if slash else ""].append(name)
    mistakes = []
    if at_root := groups.pop("", []):
        mistakes.append(f"{len(at_root):,} images are in no class folder ({_some(at_root)})")
    if dataset.classes != "folders":
        if missing := [name for name in dataset.classes if name not in groups]:
            mistakes.append(f"class folders are missing: {_some(missing)}")
        if unexpected := [name for name in groups if name not in dataset.classes]:
            mistakes.append(f"folders are no class of the dataset: {_some(unexpected)}")
    if mistakes:
        expected = "<class>" if dataset.classes == "folders" else _some(dataset.classes)
        raise SourceError(
            f"{where} is not laid out as dataset `{dataset.name}` says: {'; '.join(mistakes)}. Expected a "
            f"folder per class with its images, {expected}: mend the source, or the dataset's `classes`"
        )
    order = sorted(groups) if dataset.classes == "folders" else dataset.classes
    return interleave(groups[name] for name in order)


def _some(names: Iterable[str]) -> str:
    names = [f"`{name}`" for name in names]
    return ", ".join(names[:10]) + (f" and {len(names) - 10:,} more" if len(names) > 10 else "")
