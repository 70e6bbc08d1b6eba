"""Checkpoints of one run, on any store: written whole or not at all, verified before they are used."""

import hashlib
import io
import json
from collections.abc import Callable

import torch

from gan_core.errors import StoreError, TrainingError
from gan_core.remedies import how_to_make
from gan_core.store import CHECKPOINTS, Store
from gan_core.store.manifest import json_object
from gan_core.training.task import CHECKPOINT_FILE


class Checkpoints:
    """The checkpoints of one artefact: `<artefact folder>/checkpoints/checkpoint-<images seen>.pt`.

    A JSON file beside each, written after it, holds its size and sha256 and whether it was the best so far:
    a checkpoint without one, or that does not match it, is not used. The newest `keep` stay, and the newest
    of those that were the best. Nothing in a file is run when it is loaded (`weights_only=True`).

    Whatever else lies among them is not looked at. One writer at a time: `gan_core.store.lease.Lease` sees to
    that.
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
        self.again = how_to_make(asset, partition)
        self.forced = how_to_make(asset, partition, force=True)
        self.relative = f"{asset}/{partition}/{fingerprint}/{CHECKPOINTS}"
        self.folder = f"{store.folder(asset, partition, fingerprint)}/{CHECKPOINTS}"
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
        try:
            described = {
                "size": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
                "best": best or self._was_best(name),
            }
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
        for name in reversed(self._names(".pt")):
            path = f"{self.folder}/{name}.pt"
            content = self._verified(name)
            if content is None:
                self.emit(f"{path} is incomplete or damaged and is not used; looking for the one before it")
                continue
            loaded = self._unpacked(path, content)
            if loaded is None:
                continue
            if loaded["fingerprint"] != self.fingerprint:
                raise TrainingError(
                    f"{path} belongs to another configuration (fingerprint {loaded['fingerprint'][:12]}, not "
                    f"{self.fingerprint[:12]}): remove it, or to begin again {self.forced}"
                )
            self.last = path
            return loaded["state"]
        return None

    def remove_all(self) -> None:
        """Remove every checkpoint, and what an interrupted write has left."""
        self.store.remove(self.relative)
        self.last = None

    # -- inside

    def _unpacked(self, path: str, content: bytes) -> dict | None:
        """What `save` has packed; None for anything else, which is said."""
        try:
            loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            if isinstance(loaded, dict) and isinstance(loaded["fingerprint"], str) and "state" in loaded:
                return loaded
            reason = f"it holds a {type(loaded).__name__}"
        except Exception as error:  # torch and pickle raise nearly anything for a file that is something else
            reason = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        self.emit(f"{path} is no checkpoint and is not used ({reason}); looking for the one before it")
        return None

    def _names(self, extension: str) -> list[str]:
        """Names without extension, oldest first."""
        found = (CHECKPOINT_FILE.fullmatch(file) for file in self.store.list_names(self.relative))
        return [
            match["name"]
            for match in found
            if match and match["extension"] == extension and match[0] == f"{match['name']}{extension}"
        ]

    def _described(self, name: str) -> dict | None:
        """What was written beside a checkpoint; None where that is missing or damaged."""
        content = self.store.read_bytes(f"{self.relative}/{name}.json")
        try:
            described = json_object(content or b"")
        except ValueError:
            return None
        return described if {"size", "sha256"} <= described.keys() else None

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
                if CHECKPOINT_FILE.fullmatch(file) and file not in kept:
                    self.store.remove(f"{self.relative}/{file}")
        except StoreError as error:
            self.emit(f"older checkpoints could not be removed from {self.folder}: {error}")

    def _failed(self, name: str, error: StoreError) -> str:
        """Remove what the failed write of `name` has left, and say what is still good."""
        if self.last:
            good = (
                f"The last good checkpoint is {self.last} ({_images_seen(self.last):,} images seen). Once "
                f"that is mended, {self.again}: the training goes on from there"
            )
        else:
            good = f"There is no earlier checkpoint. Once that is mended, {self.again}"
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
