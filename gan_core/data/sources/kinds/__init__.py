"""Kinds of sources: what is published under a name, and how it and what may stand in its place is opened.

A new kind is one file here. Definitions load all of them, so what takes time to import (numpy, Pillow,
scikit-learn, requests) is imported where it is needed.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from gan_core.config import Dataset, Split
from gan_core.errors import SourceError
from gan_core.registry import import_modules, register

if TYPE_CHECKING:
    from gan_core.data.sources.base import Source
    from gan_core.data.sources.files import Files

__all__ = ["DOWNLOADS", "SOURCE_KINDS", "SourceKind", "register"]
DOWNLOADS = "downloads"  # the folder of the cache for what is published


class SourceKind:
    """Opens the splits of one dataset; a location that serves several splits is listed once.

    A subclass says what is published (`base_url`, which `GAN_MIRROR_<KIND>` replaces, and the files' `md5`)
    and overrides `open_official` and, where the published files may also lie at a location, `open_published`.
    """

    description: ClassVar[str] = ""
    base_url: ClassVar[str | None] = None
    md5: ClassVar[dict[str, str]] = {}
    # An example of the `category` that sources of this kind need; None where they have none.
    example_category: ClassVar[str | None] = None
    may_have_classes: ClassVar[bool] = True
    # The classes of all datasets of this kind; None where a dataset says which it has.
    class_names: ClassVar[tuple[str, ...] | None] = None
    # Whether its images are single digits, which can be stacked, and whether it stacks those of another kind.
    single_digits: ClassVar[bool] = False
    stacks: ClassVar[bool] = False

    def __init__(self, dataset: Dataset, cache: Path, emit: Callable[[str], None]):
        self.dataset, self.cache, self.emit = dataset, cache, emit
        self.opened: dict[str, Files] = {}

    def open(self, split: Split, location: str | None, *, whole: bool) -> "Source | None":
        """A split's source. With `whole`, a location without split folders is this split, else None."""
        if location is None:
            return self.open_official(split)
        return self.open_location(location, split, whole=whole)

    def open_official(self, split: Split) -> "Source | None":
        """The split as it is published, downloaded unless the cache has it; None if there is none."""
        raise SourceError(
            f"dataset `{self.dataset.name}` has no images: set {self.dataset.source_variable} to the path or "
            "URL of a folder or archive, or `source.train` in the dataset's file"
        )

    def open_location(self, location: str, split: Split, *, whole: bool) -> "Source | None":
        """The split in a folder or archive: the published files, or images."""
        from gan_core.data.sources.file_collections import open_files
        from gan_core.data.sources.images import open_images

        if location not in self.opened:
            self.opened[location] = open_files(location, self.cache, self.emit)
        files = self.opened[location]
        published = self.open_published(files, split)
        return published or open_images(files, split, self.dataset, whole=whole, emit=self.emit)

    def open_published(self, files: "Files", split: Split) -> "Source | None":
        """The split in the published files; None if `files` are others."""
        return None

    def download(self, name: str) -> Path:
        """One of the published files in the cache, checked by its MD5 where that is known."""
        from gan_core.data.download import download

        kind = self.dataset.source.kind
        mirror = f"GAN_MIRROR_{re.sub(r'[^A-Za-z0-9]', '_', kind).upper()}"
        base = os.environ.get(mirror) or self.base_url
        target = self.cache / DOWNLOADS / kind / name
        instead = (
            f"get {name} in another way and save it as {target}, "
            f"or set {self.dataset.source_variable} to the path of what you have"
        )
        url = f"{base.rstrip('/')}/{name}"
        return download(url, target, md5=self.md5.get(name), instead=instead, emit=self.emit)


SOURCE_KINDS: dict[str, type[SourceKind]] = {}
import_modules(__name__, __path__)
