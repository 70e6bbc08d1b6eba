"""CIFAR-10 (Krizhevsky 2009): the official pickles of its Python version, or a folder per class."""

import io
import pickle
from typing import Any

from gan_core.config import Split
from gan_core.data.sources.kinds import SOURCE_KINDS, SourceKind, register
from gan_core.errors import SourceError

NAMES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
ARCHIVE = "cifar-10-python.tar.gz"
BATCHES = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
# What the pickles need: arrays, and (pickled by Python 2) strings.
SAFE_GLOBALS = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


@register(SOURCE_KINDS, "cifar10")
class Cifar10(SourceKind):
    description = "CIFAR-10's official Python files, or images in a folder per class"
    base_url = "https://www.cs.toronto.edu/~kriz"
    md5 = {ARCHIVE: "c58f30108f718f92721af3b95e74349a"}  # as torchvision states it

    def open_official(self, split: Split):
        return self.open_location(str(self.download(ARCHIVE)), split, whole=True)

    def open_published(self, files, split: Split):
        """The official batches, wherever they lie."""
        from gan_core.data.sources.arrays import array_source, cached_array, require

        found = {name.rpartition("/")[2]: name for name in files.names()}
        if not any(batch in found for batches in BATCHES.values() for batch in batches):
            return None
        wanted = BATCHES[split]
        require(wanted, found, files.location)

        def load():
            import numpy as np

            batches = [_batch(files.read(found[name]), f"{files.location}: {name}") for name in wanted]
            images, labels = zip(*batches, strict=True)
            return np.concatenate(images), np.concatenate(labels)

        target = cached_array(self.cache, f"cifar10-{split}", files)
        return array_source(load, target, files.location, NAMES, self.dataset, self.emit)


class SafeUnpickler(pickle.Unpickler):
    """Reads arrays, strings, lists and dictionaries; refuses everything that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in SAFE_GLOBALS:
            raise pickle.UnpicklingError(f"it wants to load {module}.{name}, which CIFAR-10 does not need")
        return super().find_class(module, name)


def _batch(content: bytes, where: str):
    """Images (N, 32, 32, 3) and labels (N,) of a batch; see the dataset's page for the format."""
    import numpy as np

    try:
        batch = SafeUnpickler(io.BytesIO(content), encoding="bytes").load()
        images = np.asarray(batch[b"data"], dtype=np.uint8).reshape(-1, 3, 32, 32)
        labels = np.asarray(batch[b"labels"], dtype=np.int64)
        if len(images) != len(labels) or not set(labels.tolist()) <= set(range(10)):
            raise ValueError("images and labels do not belong together")
    except (pickle.UnpicklingError, EOFError, LookupError, TypeError, ValueError, OverflowError) as error:
        raise SourceError(f"{where} is not a batch of CIFAR-10: {error}; download it again") from error
    return images.transpose(0, 2, 3, 1), labels
