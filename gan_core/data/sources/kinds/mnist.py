"""MNIST (LeCun et al. 1998): the official idx files, gzipped or not, or a folder per class."""

import io
import struct
import zlib
from gzip import GzipFile

from gan_core.config import Split
from gan_core.data.sources.kinds import SOURCE_KINDS, SourceKind, register
from gan_core.errors import SourceError

NAMES = tuple("0123456789")
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


@register(SOURCE_KINDS, "mnist")
class Mnist(SourceKind):
    description = "MNIST's official idx files, or images in a folder per class"
    single_digits = True
    base_url = "https://ossci-datasets.s3.amazonaws.com/mnist"
    md5 = {  # as torchvision states them
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    }

    def open_official(self, split: Split):
        folder = [self.download(name) for name in self.md5][0].parent
        return self.open_location(str(folder), split, whole=True)

    def open_published(self, files, split: Split):
        """The official files; some unpackers spell their names with `.idx`."""
        from gan_core.data.sources.arrays import array_source, cached_array, require

        base_names = {name.rpartition("/")[2].removesuffix(".gz"): name for name in files.names()}
        found = {base.replace(".idx", "-idx"): name for base, name in base_names.items()}
        if not any(name in found for names in FILES.values() for name in names):
            return None
        wanted = FILES[split]
        require(wanted, found, files.location)

        def load():
            images, labels = (_idx(files.read(found[name]), f"{files.location}: {name}") for name in wanted)
            if images.ndim != 3 or labels.shape != images.shape[:1] or labels.max(initial=0) > 9:
                raise SourceError(
                    f"{files.location}: images {images.shape} and labels {labels.shape} up to "
                    f"{labels.max(initial=0)} do not belong together: download the files again"
                )
            return images, labels

        target = cached_array(self.cache, f"mnist-{split}", files)
        return array_source(load, target, files.location, NAMES, self.dataset, self.emit)


def _idx(content: bytes, where: str):
    """The uint8 array of an idx file: two zero bytes, type 8, dimensions, their sizes, the values.

    What is decompressed is bounded by the size that the header states, and that by the size of a file.
    """
    import numpy as np

    from gan_core.data.sources.files import check_size

    gzipped = content.startswith(b"\x1f\x8b")
    try:
        with GzipFile(fileobj=io.BytesIO(content)) if gzipped else io.BytesIO(content) as file:
            zeros, kind, dimensions = struct.unpack(">HBB", file.read(4))
            if zeros != 0 or kind != 8:
                raise ValueError("it does not begin like one")
            shape = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
            size = 1
            for length in shape:
                size *= length
            check_size(size)
            values = file.read(size + 1)
            return np.frombuffer(values, dtype=np.uint8).reshape(shape)
    except (OSError, EOFError, zlib.error, struct.error, ValueError) as error:
        raise SourceError(f"{where} is not an idx file of MNIST: {error}; download it again") from error
