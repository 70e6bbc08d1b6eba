"""Checkpoints of one run, on any store: written whole or not at all, verified before they are used."""

import contextlib
import hashlib
import io
import json
from collections.abc import Callable

import torch

from gan_core.errors import TrainingError
from gan_core.store import Store

KEPT = 2


class Checkpoints:
    """The checkpoints of one artefact: `<artefact folder>/checkpoints/checkpoint-<images seen>.pt`.

    A JSON file beside each, written after it, holds its size and sha256: a checkpoint without one, or that
    does not match it, is not used. The newest `KEPT` are kept. Nothing in a file is run when it is loaded
    (`weights_only=True`).
    """

    def __init__(
        self, store: Store, asset: str, partition: str, fingerprint: str, emit: Callable[[str], None]
    ):
        self.store, self.fingerprint, self.emit = store, fingerprint, emit
        self.relative = f"{asset}/{partition}/{fingerprint}/checkpoints"
        self.folder = f"{store.folder(asset, partition, fingerprint)}/checkpoints"
        self.last: str | None = None

    def save(self, state: dict) -> None:
        """Write the state of a run (with `images_seen`) and remove those that are older than the last two."""
        buffer = io.BytesIO()
        torch.save({"fingerprint": self.fingerprint, "state": state}, buffer)
        content = buffer.getvalue()
        name = f"checkpoint-{state['images_seen']:012d}"
        described = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        self.last = self.store.write_atomically(f"{self.relative}/{name}.pt", content)
        self.store.write_atomically(f"{self.relative}/{name}.json", json.dumps(described).encode())
        for older in self._names()[:-KEPT]:
            self._remove(older)

    def load_newest(self) -> dict | None:
        """The state of the newest checkpoint that is whole, or None where there is none.

        A damaged one is reported through `emit` and the one before it is taken. Raises `TrainingError` for
        one of another configuration.
        """
        for name in reversed(self._names()):
            path = f"{self.folder}/{name}.pt"
            content = self._verified(name)
            if content is None:
                self.emit(f"{path} is incomplete or damaged and is not used; looking for the one before it")
                continue
            loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            if loaded["fingerprint"] != self.fingerprint:
                raise TrainingError(
                    f"{path} belongs to another configuration (fingerprint {loaded['fingerprint'][:12]}, not "
                    f"{self.fingerprint[:12]}): remove it, or train with force to begin again"
                )
            self.last = path
            return loaded["state"]
        return None

    def remove_all(self) -> None:
        """Remove every checkpoint, and what an interrupted write has left."""
        with contextlib.suppress(FileNotFoundError):
            self.store.fs.rm(self.folder, recursive=True)
        self.last = None

    def _names(self) -> list[str]:
        """Names without extension, oldest first."""
        self.store.fs.invalidate_cache(self.folder)
        with contextlib.suppress(FileNotFoundError):
            files = [path.rsplit("/", 1)[-1] for path in self.store.fs.ls(self.folder, detail=False)]
            return sorted(
                file.removesuffix(".pt")
                for file in files
                if file.startswith("checkpoint-") and file.endswith(".pt")
            )
        return []

    def _verified(self, name: str) -> bytes | None:
        try:
            described = json.loads(self.store.fs.cat_file(f"{self.folder}/{name}.json"))
            content = self.store.fs.cat_file(f"{self.folder}/{name}.pt")
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        whole = len(content) == described["size"]
        return content if whole and hashlib.sha256(content).hexdigest() == described["sha256"] else None

    def _remove(self, name: str) -> None:
        for extension in ("json", "pt"):
            with contextlib.suppress(FileNotFoundError):
                self.store.fs.rm_file(f"{self.folder}/{name}.{extension}")
