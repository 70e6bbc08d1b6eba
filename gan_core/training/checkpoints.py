"""Checkpoints of one run, on any store: written whole or not at all, verified before they are used."""

import hashlib
import io
import json
from collections.abc import Callable, Iterable

import torch

from gan_core.errors import StoreError, TrainingError
from gan_core.store import Store


class Checkpoints:
    """The checkpoints of one artefact: `<artefact folder>/checkpoints/checkpoint-<images seen>.pt`.

    A JSON file beside each, written after it, holds its size and sha256 and whether it was the best so far:
    a checkpoint without one, or that does not match it, is not used. The newest `keep` stay, and the newest
    of those that were the best. Nothing in a file is run when it is loaded (`weights_only=True`).

    One writer at a time: `gan_core.lease.Lease` sees to that.
    """

    def __init__(
        self,
        store: Store,
        asset: str,
        partition: str,
        fingerprint: str,
        emit: Callable[[str], None],
        *,
        keep: int = 2,
    ):
        if keep < 1:
            raise ValueError(f"keep is {keep}: at least one checkpoint must stay")
        self.store, self.fingerprint, self.emit, self.keep = store, fingerprint, emit, keep
        self.relative = f"{asset}/{partition}/{fingerprint}/checkpoints"
        self.folder = f"{store.folder(asset, partition, fingerprint)}/checkpoints"
        self.last: str | None = None
        """Path of the last checkpoint that was written or loaded whole."""

    def save(self, state: dict, *, best: bool = False) -> None:
        """Write the state of a run (with `images_seen`), then remove those that are no longer kept.

        `best` pins this one until another is the best. Raises `TrainingError` where the store fails: what
        was half written is removed, the last good checkpoint stays as it was.
        """
        buffer = io.BytesIO()
        torch.save({"fingerprint": self.fingerprint, "state": state}, buffer)
        content = buffer.getvalue()
        name = _name(state["images_seen"])
        described = {
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "best": best or self._was_best(name),
        }
        try:
            path = self.store.write_atomically(f"{self.relative}/{name}.pt", content)
            self.store.write_atomically(f"{self.relative}/{name}.json", json.dumps(described).encode())
        except StoreError as error:
            raise TrainingError(self._failed(name, error)) from error
        self.last = path
        self._tidy()

    def load_newest(self) -> dict | None:
        """The state of the newest checkpoint that is whole, or None where there is none.

        A damaged one is reported through `emit` and the one before it is taken. Raises `TrainingError` for
        one of another configuration, `StoreError` where the store cannot be read.
        """
        return self._load(reversed(self._names(".pt")))

    def load_best(self) -> dict | None:
        """Like `load_newest`, of those that were saved with `best`."""
        return self._load(name for name in reversed(self._names(".pt")) if self._was_best(name))

    def remove_all(self) -> None:
        """Remove every checkpoint, and what an interrupted write has left."""
        self.store.remove(self.relative)
        self.last = None

    # -- inside

    def _load(self, names: Iterable[str]) -> dict | None:
        for name in names:
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

    def _names(self, extension: str) -> list[str]:
        """Names without extension, oldest first."""
        return [
            file.removesuffix(extension)
            for file in self.store.list_names(self.relative)
            if file.startswith("checkpoint-") and file.endswith(extension)
        ]

    def _described(self, name: str) -> dict | None:
        """What was written beside a checkpoint; None where that is missing or damaged."""
        content = self.store.read_bytes(f"{self.relative}/{name}.json")
        try:
            described = json.loads(content or b"null")
        except ValueError:
            return None
        return described if isinstance(described, dict) and {"size", "sha256"} <= described.keys() else None

    def _was_best(self, name: str) -> bool:
        return bool((self._described(name) or {}).get("best"))

    def _verified(self, name: str) -> bytes | None:
        described = self._described(name)
        content = self.store.read_bytes(f"{self.relative}/{name}.pt") if described else None
        if content is None or len(content) != described["size"]:
            return None
        return content if hashlib.sha256(content).hexdigest() == described["sha256"] else None

    def _tidy(self) -> None:
        """Remove what is neither among the newest nor the best, and what killed writes have left."""
        try:
            described = self._names(".json")
            best = next((name for name in reversed(described) if self._was_best(name)), None)
            kept = {f"{name}{end}" for name in (*described[-self.keep :], best) for end in (".json", ".pt")}
            for file in self.store.list_names(self.relative):
                if file not in kept:
                    self.store.remove(f"{self.relative}/{file}")
        except StoreError as error:
            self.emit(f"older checkpoints could not be removed from {self.folder}: {error}")

    def _failed(self, name: str, error: StoreError) -> str:
        """Remove what the failed write of `name` has left, and say what is still good."""
        if self.last:
            good = (
                f"The last good checkpoint is {self.last} ({_images_seen(self.last):,} images seen): once "
                "that is mended, materialise it again and the training goes on from there"
            )
        else:
            good = "There is no earlier checkpoint: once that is mended, materialise it again"
        return (
            f"the checkpoint at {_images_seen(name):,} images seen could not be written: {error}. {good}"
            + self._remove_half(name)
        )

    def _remove_half(self, name: str) -> str:
        """Remove a checkpoint that is not whole; what to add to the message if that fails, too."""
        try:
            if self._verified(name) is None:
                for extension in (".json", ".pt"):
                    self.store.remove(f"{self.relative}/{name}{extension}")
        except StoreError:
            return ". What was written of it could not be removed; it is not used"
        return ""


def _name(images_seen: int) -> str:
    return f"checkpoint-{images_seen:012d}"


def _images_seen(path: str) -> int:
    return int(path.removesuffix(".pt").rsplit("-", 1)[-1])
