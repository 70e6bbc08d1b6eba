"""The artefact store: a folder on any fsspec file system, with manifests that say what is really there.

An artefact is `STORE/<asset>/<partition>/<fingerprint>/manifest.json` and the files that it names. The files
lie in a folder of the attempt that wrote them, and the manifest is written last and atomically, so that
a reader sees a whole artefact or none, and two writers of one artefact cannot mix, on a local disk and on S3
alike. `STORE/<asset>/<partition>/current.json` names the fingerprint that was last produced or confirmed.

In a local store this holds through a power cut as well: what the manifest names is synced before it, and
nothing that a training could go on from is removed before the manifest itself is synced.

What killed attempts left goes once an attempt at the same artefact succeeds, or finds it whole.
"""

import contextlib
import copy
import datetime
import hashlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import fsspec

from gan_core.disks import disk_error, telling_of_disks
from gan_core.durable import make_folder, replace_durably, sync_file, sync_folder, sync_tree
from gan_core.errors import DamagedError, GanError, StoreError
from gan_core.places import default_folder
from gan_core.remedies import how_to_make
from gan_core.remote import RemoteFiles
from gan_core.secrets import masked, masked_in
from gan_core.store import attempts, copies
from gan_core.store.manifest import FileEntry, Manifest, NewerFormat, fingerprint, json_object
from gan_core.store.provenance import provenance

logger = logging.getLogger("gan_core")
MANIFEST = "manifest.json"
# The same bytes beside it: what a damaged manifest is mended from, where all that it names is whole.
MANIFEST_COPY = "manifest-copy.json"
CURRENT = "current.json"
# In an artefact's folder until it is published: what a training goes on from, and whether it was begun again.
CHECKPOINTS = "checkpoints"
FORCED = "forced.json"
# What an attempt has for itself alone: its folder of files, and what it is about to rename. The names that
# versions of this project without `attempts` gave them end in eight digits.
OF_AN_ATTEMPT = re.compile(rf"(files-|\..+\.json\.)(?P<attempt>{attempts.NAME}|[0-9a-f]{{8}})")
ABSENT = (FileNotFoundError, NotADirectoryError)
# Below this an artefact is hashed whenever it is reused; above it its sizes are compared, and its hashes by
# the asset checks: a reuse should take about a second.
HASH_ON_REUSE_BYTES = 256 * 2**20
# Threads that read a remote store: a small file takes as long as the way there and back.
READERS = 16
Item, Result = TypeVar("Item"), TypeVar("Result")


def sha256_of(path: Path) -> str:
    """sha256 of a local file, as 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Build:
    """What a step fills in while it makes an artefact: files in `folder`, figures, details.

    `files` are those that it has put into the artefact's folder itself (`Store.writing`), by their names.
    `not_counting` names those of `folder` that nothing stands on (`FileEntry.counts`).
    `replaces` is the artefact that this one comes in place of, if any.
    """

    def __init__(self, folder: Path, replaces: Manifest | None = None):
        self.folder, self.replaces = folder, replaces
        self.files: dict[str, FileEntry] = {}
        self.not_counting: set[str] = set()
        self.figures: dict[str, float | int | str | None] = {}
        self.details: dict[str, Any] = {}


class Store:
    """An artefact store at a local path or any fsspec URL (`s3://bucket/prefix`).

    `cache` is a local folder for downloads and for copies of remote files.
    """

    def __init__(self, url: str | os.PathLike, cache: str | os.PathLike | None = None):
        self.url = str(url)
        masked(self.url)  # no message tells its password from here on
        try:
            self.fs, self.root = fsspec.core.url_to_fs(self.url)
            self.is_local = "file" in _protocols(self.fs)
            self.reading = self.fs if self.is_local else RemoteFiles(self.url)
        except (OSError, ValueError, ImportError) as error:
            reason = str(error) or type(error).__name__
            raise StoreError(f"there can be no store at {self.url}: {reason}; name another place") from error
        if cache is None:
            cache = os.environ.get("GAN_CACHE") or (
                Path(self.root) / "cache" if self.is_local else Path.home() / ".cache" / "gan-pipelines"
            )
        self.cache = Path(cache)

    @property
    def local_places(self) -> dict[str, Path]:
        """The local folders that are written to, by the environment variable that names another."""
        return {**({"GAN_STORE": Path(self.root)} if self.is_local else {}), "GAN_CACHE": self.cache}

    def impatient(self, seconds: float) -> "Store":
        """This store, but a read of a remote one that fails is tried again for so long only."""
        if self.is_local:
            return self
        other = copy.copy(self)
        other.reading = copy.copy(self.reading)
        other.reading.patience = min(seconds, other.reading.patience)
        return other

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
        """The manifest, or None where there is no such artefact.

        One that was edited, is damaged or is another artefact's is mended where its copy and every file that
        the copy names are whole. Raises `DamagedError` where they are not, and for one that a later version
        of this project wrote.
        """
        text = self._read_record(f"{asset}/{partition}/{fingerprint}/{MANIFEST}", asset, partition)
        if text is None:
            return None
        path = self.address(f"{self.folder(asset, partition, fingerprint)}/{MANIFEST}")
        try:
            return manifest_of(text, asset, partition, fingerprint)
        except NewerFormat as error:
            raise DamagedError(
                f"{path}: {error}: update gan-pipelines, or name another store with GAN_STORE"
            ) from error
        except ValueError as error:
            if mended := self._mend(asset, partition, fingerprint, error):
                return mended
            raise DamagedError(
                f"{path} is damaged or was edited: {error}; {how_to_make(asset, partition, force=True)}"
            ) from error

    def current(self, asset: str, partition: str) -> Manifest | None:
        """The artefact that was last produced or confirmed for this partition, or None."""
        pointer = f"{asset}/{partition}/{CURRENT}"
        text = self._read_record(pointer, asset, partition)
        if text is None:
            return None
        try:
            key = pointed_to(text)
        except ValueError as error:
            raise DamagedError(
                f"{self.address(f'{self.root}/{pointer}')} is damaged or was edited: {error}; "
                f"{how_to_make(asset, partition)}"
            ) from error
        return self.read_manifest(asset, partition, key)

    def require(self, asset: str, partition: str) -> Manifest:
        """Like `current`, but a missing artefact is a `StoreError` that says what to do."""
        manifest = self.current(asset, partition)
        if manifest is None:
            raise StoreError(f"{asset}/{partition} is not in {self.url}: {how_to_make(asset, partition)}")
        return manifest

    def all_current(
        self, asset: str, partitions: Iterable[str], damaged: dict[str, str] | None = None
    ) -> dict[str, Manifest]:
        """The artefacts that are there, of those partitions, in their order.

        A damaged one is logged, and noted in `damaged`: by `<asset>/<partition>`, what is wrong.
        """

        def look(partition: str) -> Manifest | DamagedError | None:
            try:
                return self.current(asset, partition)
            except DamagedError as error:
                return error

        found = {}
        partitions = list(partitions)
        for partition, manifest in zip(partitions, self.each(look, partitions), strict=True):
            if isinstance(manifest, DamagedError):
                logger.warning("%s/%s is left out: %s", asset, partition, manifest)
                if damaged is not None:
                    damaged[f"{asset}/{partition}"] = str(manifest)
            elif manifest:
                found[partition] = manifest
        return found

    def each(self, look: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """What `look` says of each item, in their order. Of a remote store many are looked at at once."""
        if self.is_local:
            yield from map(look, items)
            return
        with ThreadPoolExecutor(READERS, thread_name_prefix="reader") as pool:
            yield from pool.map(look, items)

    def is_made_from(self, manifest: Manifest, **inputs: Manifest | None) -> bool:
        """Whether an artefact was made from these inputs as they are now (None: unknown, passes)."""
        return all(
            given is None or manifest.input_versions.get(name) == given.version
            for name, given in inputs.items()
        )

    def problems(self, manifest: Manifest, *, hashes: bool) -> list[str]:
        """What is wrong with an artefact's files, in words: empty if all are there with the right size
        (and, with `hashes`, the right content)."""
        looked = (self.problem(manifest, name, hashes=hashes) for name in manifest.files)
        return [problem for problem in looked if problem]

    def problem(self, manifest: Manifest, name: str, *, hashes: bool) -> str | None:
        """What is wrong with one file of an artefact, as `problems` says it."""
        return self._problem(self.file_path(manifest, name), manifest.files[name], hashes)

    def local(self, manifest: Manifest, name: str, *, verify: bool = True) -> Path:
        """A local path of one file: the file itself in a local store, else a copy in the cache, which stays
        for ten minutes at least (`gan_core.store.copies`).

        With `verify` the content is hashed; a mismatch is a `StoreError`.
        """
        entry = manifest.files.get(name)
        path = self.file_path(manifest, name)
        if self.is_local:
            local = Path(path)
        else:
            local = self._copy(entry, name)
            if not copies.use(local) or (verify and sha256_of(local) != entry.sha256):
                copies.make_room(self._copies, entry.size)
                self._download(path, local, entry.sha256)
        again = how_to_make(manifest.asset, manifest.partition, force=True)
        if not local.exists():
            raise StoreError(f"{path} is missing: {again}")
        if not local.is_file():
            raise StoreError(f"{path} is no file: remove it, then {again}")
        with self._telling("read", OSError):
            differs = verify and sha256_of(local) != entry.sha256
        if differs:
            if not self.is_local:
                local.unlink()
            raise StoreError(f"{path} does not match its manifest (sha256): {again}")
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
        published and what was there stays. A reused manifest has `reused` set; so has that of another
        process that was quicker. What `begin_again` began is made as with `force`.
        """
        key = fingerprint(config if identity is None else identity, inputs, code_version)
        force = force or self.is_begun_again(asset, partition, key)
        if not force and (found := self.reuse(asset, partition, key)):
            return found
        began = time.monotonic()
        with self._attempt(asset, partition, key) as attempt, telling_of_disks(self.local_places):
            work = Build(attempt.folder, self._replaced(asset, partition, key))
            build(work)
            manifest = Manifest(
                asset=asset,
                partition=partition,
                fingerprint=key,
                code_version=code_version,
                config=masked_in(config),
                inputs={name: manifest.fingerprint for name, manifest in inputs.items()},
                input_versions={name: manifest.version for name, manifest in inputs.items()},
                files=work.files | _describe_files(attempt, work.not_counting),
                figures=masked_in(work.figures),
                details=masked_in(work.details),
                provenance=provenance(),
                created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                seconds=round(time.monotonic() - began, 3),
            )
            self._keep_files(manifest, attempt)
            if not force and (found := self.reuse(asset, partition, key)):
                return found
            self.publish(manifest)
            attempt.published = True
        self._remove_leftovers(manifest)
        return manifest

    def reuse(self, asset: str, partition: str, fingerprint: str) -> Manifest | None:
        """The artefact, as `produce` would reuse it; None where it would be made."""
        if self.is_begun_again(asset, partition, fingerprint):
            return None
        found = self.read_manifest(asset, partition, fingerprint)
        if found is None:
            return None
        problems = self.problems(found, hashes=found.total_bytes <= HASH_ON_REUSE_BYTES)
        if problems:
            logger.warning("%s/%s is to be made again: %s", asset, partition, "; ".join(problems))
            return None
        found.reused = True
        self._copy_manifest(found)
        self.point_to(found)
        # Who clears old versions away takes the manifest first and then looks at the pointer: of two at once,
        # one sees the other.
        if self.read_bytes(f"{found.place}/{MANIFEST}") is None:
            return None
        self._remove_leftovers(found)
        return found

    def publish(self, manifest: Manifest, *, current: bool = True) -> None:
        """Make an artefact be there whose files are in their places, durably, and remove what it replaces."""
        folder = manifest.place
        replaced = self._replaced(manifest.asset, manifest.partition, manifest.fingerprint)
        self.write_atomically(f"{folder}/{MANIFEST_COPY}", manifest.to_json())
        self.write_atomically(f"{folder}/{MANIFEST}", manifest.to_json())
        if current:
            self.point_to(manifest)
        if replaced:
            kept = {entry.path for entry in manifest.files.values()}
            unneeded = {entry.path for entry in replaced.files.values()} - kept
            for name in (_top_names(replaced) - _top_names(manifest)) | unneeded:
                self.remove(f"{folder}/{name}")

    def point_to(self, manifest: Manifest) -> None:
        """Make it the current artefact of its partition. The pointer's time says since when it is, so it is
        written only where it says something else."""
        relative = f"{manifest.asset}/{manifest.partition}/{CURRENT}"
        pointer = json.dumps({"fingerprint": manifest.fingerprint}).encode()
        standing = None
        with contextlib.suppress(DamagedError):  # what cannot be read is replaced
            standing = self._read_record(relative, manifest.asset, manifest.partition)
        if standing != pointer:
            self.write_atomically(relative, pointer)
        elif self.is_local:
            with self._telling("written", OSError):  # who wrote it may have been killed before it did so
                sync_file(f"{self.root}/{relative}")
                sync_folder(os.path.dirname(f"{self.root}/{relative}"))

    def begin_again(self, asset: str, partition: str, fingerprint: str) -> None:
        """Note that the artefact is to be made anew by attempts that go on from one another.

        Until one of them is published, `reuse` does not take what is there for it, and `produce` makes it
        even without `force`. What is there stays whole and current for its readers.
        """
        replaced = self._manifest_hash(asset, partition, fingerprint)
        self.write_atomically(
            f"{asset}/{partition}/{fingerprint}/{FORCED}", json.dumps({"replaces": replaced}).encode()
        )

    def is_begun_again(self, asset: str, partition: str, fingerprint: str) -> bool:
        """Whether `begin_again` was called and nothing was published since."""
        note = self.read_bytes(f"{asset}/{partition}/{fingerprint}/{FORCED}")
        if note is None:
            return False
        self._replaced(asset, partition, fingerprint)  # mended where it is damaged, as the note has its hash
        try:
            replaced = _hash_in(note, "replaces")
        except ValueError as error:
            path = self.address(f"{self.folder(asset, partition, fingerprint)}/{FORCED}")
            raise DamagedError(
                f"{path} is damaged or was edited: {error}; remove it to keep the artefact beside it"
            ) from error
        return replaced == self._manifest_hash(asset, partition, fingerprint)

    def write_atomically(self, relative: str, content: bytes) -> str:
        """Write `STORE/<relative>` so that a reader sees the old content or the new; return its path."""
        path = f"{self.root}/{relative}"
        if not self.is_local:
            with self._telling("written"):
                self.fs.pipe_file(path, content)  # a single object appears whole or not at all
            return path
        target = Path(path)
        temporary = _temporary(target)
        try:
            make_folder(target.parent)
            temporary.write_bytes(content)
            replace_durably(temporary, target)
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

    # -- large files that are made one by one, by several processes

    @contextlib.contextmanager
    def writing(self, relative: str) -> Iterator[Path]:
        """A local path to write to, which then becomes `STORE/<relative>`: whole or not at all.

        Nothing is published if the file has been removed, or if an error was raised. A full disk is a
        `StoreError`. What a killed process leaves is removed by `remove_abandoned`.
        """
        target = Path(f"{self.root}/{relative}")
        path = _temporary(target if self.is_local else self._local_attempts / target.name)
        with self._telling("written", OSError):
            make_folder(path.parent)
            try:
                yield path
                if path.exists() and self.is_local:
                    replace_durably(path, target)
                elif path.exists():
                    with self._telling("written"):
                        self.fs.put_file(str(path), f"{self.root}/{relative}")
            finally:
                path.unlink(missing_ok=True)

    def remove_abandoned(self, relative: str) -> None:
        """Remove what killed processes left of `writing` files in `STORE/<relative>`."""
        folder = Path(f"{self.root}/{relative}") if self.is_local else self._local_attempts
        _remove_abandoned(folder, begins=r"\..+\.")

    def sizes(self, relative: str) -> dict[str, int]:
        """The files in the folder `STORE/<relative>` as it is now, with their sizes in bytes."""
        folder = f"{self.root}/{relative}"
        with self._telling("read"), contextlib.suppress(*ABSENT):
            found = self.reading.ls(folder, detail=True)
            return {info["name"].rsplit("/", 1)[-1]: info["size"] for info in found if info["type"] == "file"}
        return {}

    # -- small files beside the artefacts: checkpoints, leases

    def read_bytes(self, relative: str) -> bytes | None:
        """The content of `STORE/<relative>`, or None where there is no such file."""
        with self._telling("read"), contextlib.suppress(*ABSENT, IsADirectoryError):
            return self.reading.cat_file(f"{self.root}/{relative}")
        return None

    def list_names(self, relative: str) -> list[str]:
        """The names in the folder `STORE/<relative>` as it is now, in order; none where it is not there."""
        folder = f"{self.root}/{relative}"
        with self._telling("read"), contextlib.suppress(*ABSENT):
            return sorted(
                path.rstrip("/").rsplit("/", 1)[-1] for path in self.reading.ls(folder, detail=False)
            )
        return []

    def remove(self, relative: str) -> None:
        """Remove the file or folder `STORE/<relative>`, if it is there."""
        with self._telling("written"), contextlib.suppress(*ABSENT):
            self.fs.rm(f"{self.root}/{relative}", recursive=True)

    # -- inside

    @contextlib.contextmanager
    def _telling(self, what: str, errors: type[Exception] = Exception) -> Iterator[None]:
        """Whatever the file system's library raises, its own errors too, becomes one `StoreError`."""
        try:
            yield
        except GanError:  # it says more
            raise
        except errors as error:
            raise self._failure(what, error) from error

    @contextlib.contextmanager
    def _attempt(self, asset: str, partition: str, key: str) -> Iterator["_Attempt"]:
        """A fresh local folder for one attempt; inside the artefact where the store is local.

        Of an attempt that does not end as published nothing is left.
        """
        name = attempts.attempt_name()
        remote = f"{asset}/{partition}/{key}/files-{name}"
        folder = Path(self.root) / remote if self.is_local else self._local_attempts / f"{asset}-{name}"
        attempt = _Attempt(f"files-{name}", folder)
        with self._telling("written", OSError):
            make_folder(folder)
        try:
            yield attempt
        finally:
            if not (self.is_local and attempt.published and any(folder.iterdir())):
                shutil.rmtree(folder, ignore_errors=True)
            if not (self.is_local or attempt.published):
                with contextlib.suppress(StoreError):  # as likely as not what the attempt failed for
                    self.remove(remote)

    @property
    def _copies(self) -> Path:
        """Where copies of a remote store's files are."""
        return self.cache / "files"

    def _copy(self, entry: FileEntry, name: str) -> Path:
        return self._copies / entry.sha256[:2] / f"{entry.sha256}-{Path(name).name}"

    @property
    def _local_attempts(self) -> Path:
        """Where attempts write what a remote store is to get."""
        return self.cache / "attempts"

    def _replaced(self, asset: str, partition: str, key: str) -> Manifest | None:
        """The artefact that another one comes in place of, where there is one and it can be read."""
        with contextlib.suppress(DamagedError):
            return self.read_manifest(asset, partition, key)
        return None

    def _read_record(self, relative: str, asset: str, partition: str) -> bytes | None:
        """The content of a manifest or of a pointer to one; `DamagedError` for a local one that is there and
        cannot be read."""
        if not self.is_local:
            return self.read_bytes(relative)
        try:
            return Path(f"{self.root}/{relative}").read_bytes()
        except ABSENT:
            return None
        except OSError as error:
            raise DamagedError(
                f"{self.root}/{relative} cannot be read: {error.strerror}; mend its permissions, or remove "
                f"it and {how_to_make(asset, partition)}"
            ) from error

    def _copy_manifest(self, manifest: Manifest) -> None:
        """Put a copy beside a manifest that has none, as of an earlier version, or another's."""
        folder = f"{manifest.asset}/{manifest.partition}/{manifest.fingerprint}"
        try:
            text = self.read_bytes(f"{folder}/{MANIFEST}")
            if text and text != self.read_bytes(f"{folder}/{MANIFEST_COPY}"):
                self.write_atomically(f"{folder}/{MANIFEST_COPY}", text)
        except StoreError as error:  # the artefact is as good without it
            logger.warning("%s has no copy of its manifest: %s", folder, error)

    def _mend(self, asset: str, partition: str, key: str, damage: ValueError) -> Manifest | None:
        """The manifest from its copy, written again; None where the copy or a file that it names is not
        whole."""
        folder = f"{asset}/{partition}/{key}"
        text = self.read_bytes(f"{folder}/{MANIFEST_COPY}")
        try:
            manifest = manifest_of(text or b"", asset, partition, key)
        except ValueError:
            return None
        if self.problems(manifest, hashes=True):
            return None
        path = self.address(f"{self.root}/{folder}/{MANIFEST}")
        try:
            self.write_atomically(f"{folder}/{MANIFEST}", text)
            logger.warning("%s was damaged or edited (%s): mended from its copy", path, damage)
        except StoreError as error:  # who only reads may not be allowed to write
            logger.warning("%s is damaged or was edited (%s): its copy is read: %s", path, damage, error)
        return manifest

    def _remove_leftovers(self, manifest: Manifest) -> None:
        """What attempts at this artefact left that were killed, and what they would have gone on from."""
        of_partition = f"{manifest.asset}/{manifest.partition}"
        of_artefact = f"{of_partition}/{manifest.fingerprint}"
        try:
            names = self.list_names(of_artefact)
            if self.is_local and not {CHECKPOINTS, FORCED}.isdisjoint(names):
                with self._telling("written", OSError):
                    self._sync_folders(manifest)  # who wrote it may have been killed before it did so
            for name in names:
                finished = name in (CHECKPOINTS, FORCED)
                if finished or (name not in _top_names(manifest) and self.is_left(f"{of_artefact}/{name}")):
                    self.remove(f"{of_artefact}/{name}")
            for name in self.list_names(of_partition):
                ours = attempts.LEASE.fullmatch(name) or name.startswith(f".{CURRENT}.")
                if ours and self.is_left(f"{of_partition}/{name}"):
                    self.remove(f"{of_partition}/{name}")
        except StoreError as error:
            logger.warning("what earlier attempts at %s left stays there: %s", of_partition, error)
        if not self.is_local:
            _remove_abandoned(self._local_attempts, begins=re.escape(f"{manifest.asset}-"))

    def is_left(self, relative: str) -> bool:
        """Whether it is of an attempt, and that attempt was killed."""
        name = relative.rsplit("/", 1)[-1]
        match = OF_AN_ATTEMPT.fullmatch(name)
        if match is None:
            holder = attempts.LEASE.fullmatch(name) and attempts.Holder.read(self.read_bytes(relative))
            return holder is not None and holder.is_gone()
        path = f"{self.root}/{relative}"

        def last_change() -> float:
            files = [*self.reading.find(path), *([path] if self.is_local else [])]
            return max((self.reading.modified(file).timestamp() for file in files), default=time.time())

        with self._telling("read"):
            return attempts.is_abandoned(match["attempt"], last_change)

    def _manifest_hash(self, asset: str, partition: str, key: str) -> str:
        content = self.read_bytes(f"{asset}/{partition}/{key}/{MANIFEST}")
        return hashlib.sha256(content or b"").hexdigest()

    def _failure(self, what: str, error: Exception) -> StoreError:
        told = disk_error(error, self.local_places) if what == "written" else None
        if told:
            return told
        reason = str(error) or type(error).__name__
        remedy = (
            "free space or mend its permissions" if self.is_local else "mend the connection or the rights"
        )
        return StoreError(
            f"the store {self.url} cannot be {what}: {reason}; {remedy}, or name another place with GAN_STORE"
        )

    def _keep_files(self, manifest: Manifest, attempt: "_Attempt") -> None:
        """Bring an attempt's files where the manifest will say they are, so that they stay there."""
        if self.is_local:
            with self._telling("written", OSError):
                sync_tree(attempt.folder)
                self._sync_folders(manifest)
            return
        for name, entry in manifest.files.items():
            if entry.path == f"{attempt.name}/{name}":  # others are there already
                with self._telling("written"):
                    self.fs.put_file(str(attempt.folder / name), self.file_path(manifest, name))

    def _sync_folders(self, manifest: Manifest) -> None:
        """Sync the folders from a local artefact's up to the store's."""
        folder = Path(self.folder(manifest.asset, manifest.partition, manifest.fingerprint))
        while folder != Path(self.root).parent:
            sync_folder(folder)
            folder = folder.parent

    def _problem(self, path: str, entry: FileEntry, hashes: bool) -> str | None:
        """What is wrong with one file; that a remote one cannot be read is raised, as it may pass."""
        try:
            info = self.reading.info(path)
            if info["type"] != "file":
                return f"{path} is no file"
            if info["size"] != entry.size:
                return f"{path} has {info['size']:,} bytes, its manifest says {entry.size:,}"
            if hashes and (digest := self._sha256(path, entry.sha256)) != entry.sha256:
                return f"{path} has sha256 {digest}, its manifest says {entry.sha256}"
        except ABSENT:
            return f"{path} is missing"
        except OSError as error:
            if not self.is_local:
                raise self._failure("read", error) from error
            return f"{path} cannot be read: {error.strerror or error}"
        return None

    def _sha256(self, path: str, expected: str) -> str:
        if self.is_local:
            return sha256_of(Path(path))
        with self._telling("read"):
            found = self.reading.sha256(path)
            return found if found == expected else self.reading.sha256(path)  # it may be the network's doing

    def _download(self, path: str, local: Path, expected: str) -> None:
        """Copy a remote file to `local`, once more where its sha256 is another than `expected`."""
        make_folder(local.parent)
        temporary = _temporary(local)
        try:
            self.reading.copy(path, temporary)
            if sha256_of(temporary) != expected:
                self.reading.copy(path, temporary)
            replace_durably(temporary, local)
        except FileNotFoundError as error:
            raise StoreError(f"{self.address(path)} is missing from the store") from error
        except OSError as error:
            raise StoreError(
                f"{local} cannot be written: {error.strerror or error}: free space, or name another folder "
                "with GAN_CACHE"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
        _remove_abandoned(local.parent, begins=re.escape(f".{local.name}."))


def default_store() -> Store:
    """The store that `GAN_STORE` names, else `store/` in the clone, or in the current folder where the
    package is installed."""
    return Store(os.environ.get("GAN_STORE") or default_folder("store"))


@dataclass
class _Attempt:
    """`name` is its folder's in the artefact, `folder` where it writes."""

    name: str
    folder: Path
    published: bool = False


def manifest_of(text: bytes, asset: str, partition: str, fingerprint: str) -> Manifest:
    """Raises `ValueError` for what is not this artefact's manifest."""
    manifest = Manifest.from_json(text)
    found = f"{manifest.asset}/{manifest.partition}/{manifest.fingerprint}"
    if found != f"{asset}/{partition}/{fingerprint}":
        raise ValueError(f"it is the manifest of {found}")
    return manifest


def pointed_to(pointer: bytes) -> str:
    """The fingerprint that a `current.json` names; `ValueError` where it names none."""
    return _hash_in(pointer, "fingerprint")


def _hash_in(text: bytes, name: str) -> str:
    """The sha256 that a JSON object has under a name; `ValueError` where it has none."""
    value = json_object(text).get(name)
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value):
        raise ValueError(f"its `{name}` is {value!r}, not 64 hexadecimal digits")
    return value


def _top_names(manifest: Manifest) -> set[str]:
    """What of an artefact's folder its files are, or lie in."""
    return {entry.path.split("/")[0] for entry in manifest.files.values()}


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{attempts.attempt_name()}")


def _remove_abandoned(folder: Path, begins: str) -> None:
    """What attempts that were killed left in a local folder; `begins` is a pattern of what precedes the
    attempt in a name."""
    for path in folder.glob("*"):
        match = re.fullmatch(rf"(?:{begins})(?P<attempt>{attempts.NAME}|[0-9a-f]{{8}})", path.name)
        if match is None:
            continue
        with contextlib.suppress(FileNotFoundError):
            changed = path.stat().st_mtime
            if attempts.is_abandoned(match["attempt"], lambda changed=changed: changed):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _describe_files(attempt: _Attempt, not_counting: set[str]) -> dict[str, FileEntry]:
    entries = {}
    for path in sorted(p for p in attempt.folder.rglob("*") if p.is_file()):
        name = path.relative_to(attempt.folder).as_posix()
        entries[name] = FileEntry(
            path=f"{attempt.name}/{name}",
            size=path.stat().st_size,
            sha256=sha256_of(path),
            counts=name not in not_counting,
        )
    return entries


def _create_local(path: Path, content: bytes) -> None:
    make_folder(path.parent)
    try:
        file = open(path, "xb", buffering=0)  # noqa: SIM115
    except FileNotFoundError:  # its folder was empty, and removed
        make_folder(path.parent)
        file = open(path, "xb", buffering=0)  # noqa: SIM115
    with file:
        try:
            file.write(content)
        except OSError:
            path.unlink()
            raise


def _protocols(fs) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
