"""A training's figures for TensorBoard, written while it runs."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from gan_core.store import Store
from gan_core.training.history import Row

logger = logging.getLogger("gan_core")
FOLDER = "tensorboard"


def tensorboard_folder(store: Store, experiment: str, fingerprint: str) -> Path:
    """`tensorboard/<experiment>/<fingerprint>` in a local store, else in its local cache."""
    root = Path(store.root) if store.is_local else store.cache
    return root / FOLDER / experiment / fingerprint[:12]


class TensorBoardLog:
    """Scalars and sample images by images seen. A resumed run replaces what lies beyond its checkpoint.

    A folder that cannot be written ends the board with a warning, not the training.
    """

    def __init__(self, folder: Path, images_seen: int):
        self.folder = folder
        self.writer: SummaryWriter | None = None
        with self._telling():
            self.writer = SummaryWriter(folder, purge_step=images_seen + 1)

    def add(self, row: Row, group: str) -> None:
        """A row of figures, each as `<group>/<name>`."""
        with self._telling():
            for name, value in row.items():
                if self.writer and name != "images_seen":
                    self.writer.add_scalar(f"{group}/{name}", value, row["images_seen"])

    def add_samples(self, images_seen: int, samples: Tensor) -> None:
        """uint8 (n, C, H, W)."""
        with self._telling():
            if self.writer:
                self.writer.add_images("samples", samples, images_seen)

    def close(self) -> None:
        with self._telling():
            if self.writer:
                self.writer.close()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.writer = None
            logger.warning("nothing more is written for TensorBoard: %s: %s", self.folder, error)
