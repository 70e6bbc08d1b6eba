"""Where the official data is published, and how it gets into the cache.

`GAN_MIRROR_CIFAR10`, `GAN_MIRROR_MNIST` and `GAN_MIRROR_LSUN` name another base URL with the same files.
"""

import os
from collections.abc import Callable
from pathlib import Path

from gan_core.config import Dataset, Split
from gan_core.data.download import download
from gan_core.data.sources.lsun import DATABASE, extract_database, published_name

BASE_URLS = {
    "cifar10": "https://www.cs.toronto.edu/~kriz",
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist",
    "lsun": "http://dl.yf.io/lsun/scenes",
}
# As torchvision's datasets state them.
MD5 = {
    "cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a",
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}


def official_location(dataset: Dataset, split: Split, cache: Path, emit: Callable[[str], None]) -> str:
    """A local path of the official data of a split, downloaded if it is not in the cache."""
    kind = dataset.source.kind
    if kind == "lsun":
        return _lsun(dataset, split, cache, emit)
    names = [name for name in MD5 if name.startswith("cifar") == (kind == "cifar10")]
    paths = [_fetch(dataset, name, cache / "downloads" / kind, emit) for name in names]
    return str(paths[0] if kind == "cifar10" else paths[0].parent)


def _lsun(dataset: Dataset, split: Split, cache: Path, emit: Callable[[str], None]) -> str:
    name = published_name(dataset.source.category, split)
    database = cache / "lmdb" / name / DATABASE
    if not database.exists():
        archive = _fetch(dataset, f"{name}.zip", cache / "downloads" / "lsun", emit)
        extract_database(archive, database, emit)
        archive.unlink(missing_ok=True)  # 43 GB that nobody needs a second time
    return str(database)


def _fetch(dataset: Dataset, name: str, folder: Path, emit: Callable[[str], None]) -> Path:
    kind = dataset.source.kind
    base = os.environ.get(f"GAN_MIRROR_{kind.upper()}") or BASE_URLS[kind]
    variable = dataset.source_variable
    instead = (
        f"get {name} in another way and save it as {folder / name}, "
        f"or set {variable} to the path of what you have"
    )
    return download(
        f"{base.rstrip('/')}/{name}", folder / name, md5=MD5.get(name), instead=instead, emit=emit
    )
