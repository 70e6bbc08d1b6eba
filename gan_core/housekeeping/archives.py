"""Artefacts in one file: a tar with the layout of a store, written whole or not at all, and read without
trusting it.

An archive may come from a stranger. Nothing of it is unpacked by its own word: every name is checked, every
file must be one that a manifest names, with its size and sha256, and only plain files are taken.
"""

import hashlib
import io
import re
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from gan_core.errors import StoreError
from gan_core.housekeeping.contents import FINGERPRINT, Contents, Entry, Pointer, Version
from gan_core.store import MANIFEST, Manifest, Store
from gan_core.store.manifest import inside
from gan_core.store.store import CURRENT, manifest_of, pointed_to
from gan_core.versions import CODE_VERSIONS

SUFFIX = ".tar"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
# Of these there is one partition, and beside it what they publish.
OF_ALL = ("leaderboard", "answers", "report")
# No record of a store is larger; what is read into memory is not the archive's to decide.
LARGEST_RECORD = 2**27


class Archive:
    """An archive file. Raises `StoreError` for one that is damaged or holds what it must not."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self._tar = tarfile.open(path, "r:")  # noqa: SIM115 (closed by `close`)
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror or error}: name an archive") from error
        except tarfile.TarError as error:
            raise StoreError(
                f"{path} is no archive of artefacts: {error}: name one that `store export` wrote"
            ) from error
        try:
            self._members = self._read_members()
            self.contents = self._read_contents()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self._tar.close()

    def fetch(self, manifest: Manifest, name: str, target: Path) -> None:
        """Write a file of an artefact to a local path; whoever calls looks at its content."""
        member = self._members[f"{manifest.place}/{manifest.files[name].path}"]
        try:
            with self._tar.extractfile(member) as source, open(target, "wb") as file:
                shutil.copyfileobj(source, file, 2**20)
        except tarfile.TarError as error:
            raise self._refused(f"it is cut off or damaged ({error})") from error

    def sha256(self, manifest: Manifest, name: str) -> str:
        """Of a file of an artefact, as 64 hex digits."""
        member = self._members[f"{manifest.place}/{manifest.files[name].path}"]
        with self._tar.extractfile(member) as source:
            return hashlib.file_digest(source, "sha256").hexdigest()

    def origin(self, manifest: Manifest, name: str) -> str:
        """Where a file is, for a message."""
        return f"{manifest.place}/{manifest.files[name].path} in {self.path}"

    # -- inside

    def _read_members(self) -> dict[str, tarfile.TarInfo]:
        members: dict[str, tarfile.TarInfo] = {}
        try:
            for member in self._tar:
                self._check_name(member)
                if member.name in members:
                    raise self._refused(f"`{member.name}` is in it twice")
                members[member.name] = member
        except tarfile.TarError as error:
            raise self._refused(f"it is cut off or damaged ({error})") from error
        self._check_end(members)
        return members

    def _check_end(self, members: dict[str, tarfile.TarInfo]) -> None:
        """`tarfile` takes a damaged header, and the end of a file that was cut, for the archive's end."""
        ends = (member.offset_data + member.size for member in members.values())
        end = -(-max(ends, default=0) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        marked = 0
        with open(self.path, "rb") as file:
            file.seek(end)
            while block := file.read(2**20):
                marked += len(block)
                if block.strip(b"\0"):
                    raise self._refused("it is damaged: what follows a file in it cannot be read")
        if marked < 2 * tarfile.BLOCKSIZE:
            raise self._refused("it is cut off")

    def _check_name(self, member: tarfile.TarInfo) -> None:
        try:
            parts = inside(member.name).split("/")
        except ValueError as error:
            raise self._refused(f"`{member.name}` would leave the store") from error
        if not member.isreg() or member.issparse():
            raise self._refused(f"`{member.name}` is no plain file")
        names_are_right = all(NAME.fullmatch(part) for part in parts[:2])
        is_pointer = len(parts) == 3 and parts[2] == CURRENT
        of_version = len(parts) > 3 and FINGERPRINT.fullmatch(parts[2])
        if not (names_are_right and (is_pointer or of_version)):
            raise self._refused(f"`{member.name}` is not of an artefact")
        if parts[0] not in CODE_VERSIONS:
            raise self._refused(f"`{member.name}` is of no asset that there is")
        if parts[0] in OF_ALL and parts[1] != "all":
            raise self._refused(f"`{member.name}` lies where there is no artefact")

    def _read_contents(self) -> Contents:
        contents = Contents()
        pointers = []
        for name, member in self._members.items():
            asset, partition, rest = name.split("/", 2)
            if rest == CURRENT:
                pointers.append((asset, partition, self._record(member)))
                continue
            fingerprint, path = rest.split("/", 1)
            key = (asset, partition, fingerprint)
            version = contents.versions.setdefault(key, Version(*key))
            if path == MANIFEST:
                version.manifest = self._manifest(self._record(member), version)
            else:
                version.entries[path] = Entry(member.size, member.mtime)
        for version in contents.versions.values():
            self._check_files(version)
        for asset, partition, content in pointers:
            self._take_pointer(contents, asset, partition, content)
        return contents

    def _manifest(self, content: bytes, version: Version) -> Manifest:
        try:
            return manifest_of(content, *version.key)
        except ValueError as error:
            raise self._refused(
                f"the manifest of {version.place} is damaged or was edited: {error}"
            ) from error

    def _take_pointer(self, contents: Contents, asset: str, partition: str, content: bytes) -> None:
        try:
            fingerprint = pointed_to(content)
        except ValueError as error:
            raise self._refused(f"{asset}/{partition}/{CURRENT} is damaged: {error}") from error
        version = contents.versions.get((asset, partition, fingerprint))
        if version is None:
            raise self._refused(f"{asset}/{partition}/{CURRENT} names an artefact that is not in it")
        version.is_current = True
        contents.pointers[asset, partition] = Pointer(fingerprint, 0.0)

    def _check_files(self, version: Version) -> None:
        if version.manifest is None:
            raise self._refused(f"{version.place} has no manifest")
        if version.missing:
            raise self._refused(
                f"{version.place} lacks {version.missing[0]}, or it has another size than its manifest says"
            )
        named = {entry.path for entry in version.manifest.files.values()}
        if foreign := sorted(set(version.entries) - named):
            raise self._refused(f"`{version.place}/{foreign[0]}` is named by no manifest")

    def _record(self, member: tarfile.TarInfo) -> bytes:
        if member.size > LARGEST_RECORD:
            raise self._refused(f"`{member.name}` has {member.size:,} bytes")
        content = io.BytesIO()
        with self._tar.extractfile(member) as source:
            shutil.copyfileobj(source, content)
        return content.getvalue()

    def _refused(self, reason: str) -> StoreError:
        return StoreError(
            f"{self.path} is refused: {reason}. Nothing of it was imported: have it exported again"
        )


def write_archive(
    path: Path,
    store: Store,
    versions: list[Version],
    advance: Callable[[int], None] = lambda count: None,
) -> None:
    """Write these versions to an archive file, then read it back and hash what is in it.

    The same artefacts give the same bytes. Until it is whole it does not have its name. `advance` is told of
    the bytes that were written. Raises `StoreError` for a file that is not what its manifest says.
    """
    folder = Store(path.parent)
    folder.remove_abandoned("")
    with folder.writing(path.name) as temporary:
        with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar:
            for name, content in _members(store, versions):
                _add(tar, name, content)
                advance(content.stat().st_size if isinstance(content, Path) else 0)
        with Archive(temporary) as written:
            _check(written, versions)


# --- inside -----------------------------------------------------------------------------------------------


def _members(store: Store, versions: list[Version]) -> Iterator[tuple[str, Path | bytes]]:
    for version in versions:
        manifest = version.manifest
        for name, entry in manifest.files.items():
            yield f"{version.place}/{entry.path}", store.local(manifest, name)
        yield f"{version.place}/{MANIFEST}", manifest.to_json()
        if version.is_current:
            pointer = f'{{"fingerprint": "{version.fingerprint}"}}'
            yield f"{version.asset}/{version.partition}/{CURRENT}", pointer.encode()


def _add(tar: tarfile.TarFile, name: str, content: Path | bytes) -> None:
    header = tarfile.TarInfo(name)  # time 0, owner 0
    if isinstance(content, bytes):
        header.size = len(content)
        tar.addfile(header, io.BytesIO(content))
        return
    header.size = content.stat().st_size
    with open(content, "rb") as file:
        tar.addfile(header, file)


def _check(archive: Archive, versions: list[Version]) -> None:
    """That what was to be written can be read, with the right content."""
    if archive.contents.versions.keys() != {version.key for version in versions}:
        raise StoreError(
            f"{archive.path} was not written as it was read: have the disk looked at, or name another place"
        )
    for version in archive.contents.versions.values():
        for name, entry in version.manifest.files.items():
            if archive.sha256(version.manifest, name) != entry.sha256:
                raise StoreError(
                    f"{archive.origin(version.manifest, name)} was not written as it was read: have the disk "
                    "looked at, or name another place"
                )
