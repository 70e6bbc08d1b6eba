"""The artefact store: a folder on any fsspec file system, with manifests that say what is really there.

An artefact is `STORE/<asset>/<partition>/<fingerprint>/manifest.json` and the files that it names. The files
lie in a folder of the attempt that wrote them, and the manifest is written last and atomically, so that
a reader sees a whole artefact or none, and two writers of one artefact cannot mix, on a local disk and on S3
alike. `STORE/<asset>/<partition>/current.json` names the fingerprint that was last produced or confirmed.
"""

import contextlib
import datetime
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import fsspec
from pydantic import BaseModel, Field

from gan_core.errors import StoreError

logger = logging.getLogger("gan_core")
MANIFEST = "manifest.json"
CURRENT = "current.json"
ABSENT = (FileNotFoundError, NotADirectoryError)
# Below this an artefact is hashed whenever it is reused; above it its sizes are compared, and its hashes by
# the asset checks: a reuse should take about a second.
HASH_ON_REUSE_BYTES = 256 * 2**20


class FileEntry(BaseModel):
    """One file of an artefact: `path` is relative to the folder of the manifest; `size` in bytes."""

    path: str
    size: int
    sha256: str


class Manifest(BaseModel):
    """What an artefact is: its files, what it was made from, how, and the figures found on the way.

    `config` is the configuration that matters, `inputs` maps an input's asset name to its fingerprint and
    `input_versions` to its version, `figures` holds scalars for plots and tables, `details` whatever else a
    reader needs (JSON).
    """

    asset: str
    partition: str
    fingerprint: str
    code_version: str
    config: dict[str, Any]
    inputs: dict[str, str]
    input_versions: dict[str, str] = Field(default_factory=dict)
    files: dict[str, FileEntry] = Field(default_factory=dict)
    figures: dict[str, float | int | str | None] = Field(default_factory=dict)
    details: dict[str, Any] = Field(default_factory=dict)
    created_at: str = ""
    seconds: float = 0.0
    reused: bool = Field(default=False, exclude=True)

    @property
    def version(self) -> str:
        """sha256 of the fingerprint and of every file's content: what a step that reads this stands on.

        It differs from another's of the same fingerprint where a step does not give the same bytes twice:
        a training made again with `force`, or on another device.
        """
        content = {name: entry.sha256 for name, entry in self.files.items()}
        return _sha256_of_json([self.fingerprint, content])

    @property
    def total_bytes(self) -> int:
        return sum(entry.size for entry in self.files.values())


def fingerprint(config: dict[str, Any], inputs: dict[str, Manifest], code_version: str) -> str:
    """sha256 (64 hex digits) of configuration, inputs' versions and code version as canonical JSON."""
    versions = {name: manifest.version for name, manifest in inputs.items()}
    return _sha256_of_json({"config": config, "inputs": versions, "code_version": code_version})


def sha256_of(path: Path) -> str:
    """sha256 of a local file, as 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Build:
    """What a step fills in while it makes an artefact: files in `folder`, figures, details."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.figures: dict[str, float | int | str | None] = {}
        self.details: dict[str, Any] = {}


class Store:
    """An artefact store at a local path or any fsspec URL (`s3://bucket/prefix`).

    `cache` is a local folder for downloads and for copies of remote files.
    """

    def __init__(self, url: str | os.PathLike, cache: str | os.PathLike | None = None):
        self.url = str(url)
        self.fs, self.root = fsspec.core.url_to_fs(self.url)
        self.is_local = "file" in _protocols(self.fs)
        if cache is None:
            cache = os.environ.get("GAN_CACHE") or (
                Path(self.root) / "cache" if self.is_local else Path.home() / ".cache" / "gan-pipelines"
            )
        self.cache = Path(cache)

    # -- names

    def folder(self, asset: str, partition: str, fingerprint: str) -> str:
        """The artefact's folder as a path of `self.fs`."""
        return f"{self.root}/{asset}/{partition}/{fingerprint}"

    def address(self, path: str) -> str:
        """A path of `self.fs` as a user would give it: a local path, or a URL with its protocol."""
        return path if self.is_local else self.fs.unstrip_protocol(path)

    def file_path(self, manifest: Manifest, name: str) -> str:
        """Where a file of an artefact is, as a path of `self.fs`."""
        if name not in manifest.files:
            raise StoreError(
                f"{manifest.asset}/{manifest.partition} has no file `{name}`; "
                f"it has: {', '.join(manifest.files)}"
            )
        folder = self.folder(manifest.asset, manifest.partition, manifest.fingerprint)
        return f"{folder}/{manifest.files[name].path}"

    # -- reading

    def read_manifest(self, asset: str, partition: str, fingerprint: str) -> Manifest | None:
        """The manifest, or None where there is no such artefact. Raises `StoreError` if it is unreadable."""
        path = f"{self.folder(asset, partition, fingerprint)}/{MANIFEST}"
        try:
            text = self.fs.cat_file(path)
        except ABSENT:
            return None
        try:
            return Manifest.model_validate_json(text)
        except ValueError as error:
            raise StoreError(f"{path} is not a manifest: run the step again with force") from error

    def current(self, asset: str, partition: str) -> Manifest | None:
        """The artefact that was last produced or confirmed for this partition, or None."""
        path = f"{self.root}/{asset}/{partition}/{CURRENT}"
        try:
            key = json.loads(self.fs.cat_file(path))["fingerprint"]
        except ABSENT:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{path} is damaged: {error}; materialise {asset}/{partition} again") from error
        return self.read_manifest(asset, partition, key)

    def require(self, asset: str, partition: str) -> Manifest:
        """Like `current`, but a missing artefact is a `StoreError` that says what to do."""
        manifest = self.current(asset, partition)
        if manifest is None:
            raise StoreError(f"{asset}/{partition} is not in {self.url}: materialise it first")
        return manifest

    def all_current(self, asset: str, partitions: Iterable[str]) -> dict[str, Manifest]:
        """The artefacts that are there, of those partitions, in their order; a damaged one is logged."""
        found = {}
        for partition in partitions:
            try:
                manifest = self.current(asset, partition)
            except StoreError as error:
                logger.warning("%s/%s is left out: %s", asset, partition, error)
                continue
            if manifest:
                found[partition] = manifest
        return found

    def is_made_from(self, manifest: Manifest, **inputs: Manifest | None) -> bool:
        """Whether an artefact was made from these inputs as they are now (None: unknown, passes)."""
        return all(
            given is None or manifest.input_versions.get(name) == given.version
            for name, given in inputs.items()
        )

    def problems(self, manifest: Manifest, *, hashes: bool) -> list[str]:
        """What is wrong with an artefact's files, in words: empty if all are there with the right size
        (and, with `hashes`, the right content)."""
        found = []
        for name, entry in manifest.files.items():
            path = self.file_path(manifest, name)
            try:
                size = self.fs.info(path)["size"]
            except FileNotFoundError:
                found.append(f"{path} is missing")
                continue
            if size != entry.size:
                found.append(f"{path} has {size:,} bytes, its manifest says {entry.size:,}")
            elif hashes and (digest := self._sha256(path)) != entry.sha256:
                found.append(f"{path} has sha256 {digest}, its manifest says {entry.sha256}")
        return found

    def local(self, manifest: Manifest, name: str, *, verify: bool = True) -> Path:
        """A local path of one file: the file itself in a local store, else a copy in the cache.

        With `verify` the content is hashed; a mismatch is a `StoreError`.
        """
        entry = manifest.files.get(name)
        path = self.file_path(manifest, name)
        if self.is_local:
            local = Path(path)
        else:
            local = self.cache / "files" / entry.sha256[:2] / f"{entry.sha256}-{Path(name).name}"
            if not local.exists():
                self._download(path, local)
        if not local.exists():
            raise StoreError(
                f"{path} is missing: materialise {manifest.asset}/{manifest.partition} with force"
            )
        if verify and sha256_of(local) != entry.sha256:
            if not self.is_local:
                local.unlink()
            raise StoreError(
                f"{path} does not match its manifest (sha256): materialise "
                f"{manifest.asset}/{manifest.partition} again with force"
            )
        return local

    # -- writing

    def produce(
        self,
        asset: str,
        partition: str,
        *,
        config: dict[str, Any],
        inputs: dict[str, Manifest],
        code_version: str,
        build: Callable[[Build], None],
        identity: dict[str, Any] | None = None,
        force: bool = False,
    ) -> Manifest:
        """Return the artefact of this configuration and these inputs, making it only if it is not there.

        The fingerprint is made of `identity` where it is given, else of the whole `config`.

        `build` writes files into `Build.folder` and sets figures and details. If it raises, nothing is
        published and what was there stays. A reused manifest has `reused` set.
        """
        key = fingerprint(config if identity is None else identity, inputs, code_version)
        found = self._read_replaceable(asset, partition, key, force)
        if found and not force and self._confirm(found):
            return found
        began = time.monotonic()
        with self._attempt(asset, partition, key) as (name, folder):
            work = Build(folder)
            build(work)
            manifest = Manifest(
                asset=asset,
                partition=partition,
                fingerprint=key,
                code_version=code_version,
                config=config,
                inputs={name: manifest.fingerprint for name, manifest in inputs.items()},
                input_versions={name: manifest.version for name, manifest in inputs.items()},
                files=_describe_files(folder, prefix=name),
                figures=work.figures,
                details=work.details,
                created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                seconds=round(time.monotonic() - began, 3),
            )
            self._upload(manifest, folder)
        text = manifest.model_dump_json(indent=1)
        self.write_atomically(f"{asset}/{partition}/{key}/{MANIFEST}", text.encode())
        self._point_to(manifest)
        if found:
            self._remove_replaced(found, manifest)
        return manifest

    def reuse(self, asset: str, partition: str, fingerprint: str) -> Manifest | None:
        """The artefact, as `produce` would reuse it; None where it would be made."""
        found = self._read_replaceable(asset, partition, fingerprint, force=False)
        return found if found and self._confirm(found) else None

    def write_atomically(self, relative: str, content: bytes) -> str:
        """Write `STORE/<relative>` so that a reader sees the old content or the new; return its path."""
        path = f"{self.root}/{relative}"
        if not self.is_local:
            with self._telling("written"):
                self.fs.pipe_file(path, content)  # a single object appears whole or not at all
            return path
        target = Path(path)
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise self._failure("written", error) from error
        return path

    def create(self, relative: str, content: bytes) -> bool:
        """Write `STORE/<relative>` unless it is there: of several that try at once, one gets True.

        On S3 this is a conditional write, which S3 and the common stores that speak its protocol have.
        """
        path = f"{self.root}/{relative}"
        with self._telling("written"):
            try:
                if self.is_local:
                    _create_local(Path(path), content)
                else:
                    self.fs.pipe_file(path, content, mode="create")
            except FileExistsError:
                return False
        return True

    # -- small files beside the artefacts: checkpoints, leases

    def read_bytes(self, relative: str) -> bytes | None:
        """The content of `STORE/<relative>`, or None where there is no such file."""
        with self._telling("read"), contextlib.suppress(*ABSENT):
            return self.fs.cat_file(f"{self.root}/{relative}")
        return None

    def list_names(self, relative: str) -> list[str]:
        """The names in the folder `STORE/<relative>` as it is now, in order; none where it is not there."""
        folder = f"{self.root}/{relative}"
        with self._telling("read"), contextlib.suppress(*ABSENT):
            self.fs.invalidate_cache(folder)
            return sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in self.fs.ls(folder, detail=False))
        return []

    def remove(self, relative: str) -> None:
        """Remove the file or folder `STORE/<relative>`, if it is there."""
        with self._telling("written"), contextlib.suppress(*ABSENT):
            self.fs.rm(f"{self.root}/{relative}", recursive=True)

    # -- inside

    @contextlib.contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        """Whatever the file system's library raises, its own errors too, becomes one `StoreError`."""
        try:
            yield
        except Exception as error:
            raise self._failure(what, error) from error

    def _read_replaceable(self, asset: str, partition: str, key: str, force: bool) -> Manifest | None:
        try:
            return self.read_manifest(asset, partition, key)
        except StoreError:
            if force:  # it is written anew in any case
                return None
            raise

    def _confirm(self, found: Manifest) -> bool:
        """Whether its files are whole; then it is the current one, and marked as reused."""
        if self.problems(found, hashes=found.total_bytes <= HASH_ON_REUSE_BYTES):
            return False
        found.reused = True
        self._point_to(found)
        return True

    @contextlib.contextmanager
    def _attempt(self, asset: str, partition: str, key: str) -> Iterator[tuple[str, Path]]:
        """A fresh local folder for one attempt; inside the artefact where the store is local."""
        name = f"files-{uuid.uuid4().hex[:8]}"
        if self.is_local:
            folder = Path(self.folder(asset, partition, key)) / name
            try:
                folder.mkdir(parents=True)
            except OSError as error:
                raise self._failure("written", error) from error
        else:
            self.cache.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=f"{asset}-", dir=self.cache))
        try:
            yield name, folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        if not self.is_local:
            shutil.rmtree(folder, ignore_errors=True)

    def _failure(self, what: str, error: Exception) -> StoreError:
        reason = str(error) or type(error).__name__
        remedy = (
            "free space or mend its permissions" if self.is_local else "mend the connection or the rights"
        )
        return StoreError(
            f"the store {self.url} cannot be {what}: {reason}; {remedy}, or name another place with GAN_STORE"
        )

    def _upload(self, manifest: Manifest, folder: Path) -> None:
        if self.is_local:
            return
        for name in manifest.files:
            with self._telling("written"):
                self.fs.put_file(str(folder / name), self.file_path(manifest, name))

    def _point_to(self, manifest: Manifest) -> None:
        pointer = json.dumps({"fingerprint": manifest.fingerprint}).encode()
        self.write_atomically(f"{manifest.asset}/{manifest.partition}/{CURRENT}", pointer)

    def _remove_replaced(self, old: Manifest, new: Manifest) -> None:
        kept = {entry.path for entry in new.files.values()}
        for name, entry in old.files.items():
            if entry.path not in kept:
                with contextlib.suppress(FileNotFoundError):
                    self.fs.rm_file(self.file_path(old, name))

    def _sha256(self, path: str) -> str:
        with self.fs.open(path, "rb") as file:
            digest = hashlib.sha256()
            while block := file.read(2**20):
                digest.update(block)
        return digest.hexdigest()

    def _download(self, path: str, local: Path) -> None:
        local.parent.mkdir(parents=True, exist_ok=True)
        temporary = local.with_name(f".{local.name}.{uuid.uuid4().hex[:8]}")
        try:
            self.fs.get_file(path, str(temporary))
            os.replace(temporary, local)
        except FileNotFoundError as error:
            raise StoreError(f"{path} is missing from the store") from error
        finally:
            temporary.unlink(missing_ok=True)


def default_store() -> Store:
    """The store that `GAN_STORE` names, or `store/` in the current folder."""
    return Store(os.environ.get("GAN_STORE") or Path.cwd() / "store")


def _sha256_of_json(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _describe_files(folder: Path, prefix: str) -> dict[str, FileEntry]:
    entries = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        entries[name] = FileEntry(path=f"{prefix}/{name}", size=path.stat().st_size, sha256=sha256_of(path))
    return entries


def _create_local(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb", buffering=0) as file:
        try:
            file.write(content)
        except OSError:
            path.unlink()
            raise


def _protocols(fs) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
