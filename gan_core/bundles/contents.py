"""What a bundle is: its files, the list that names each with its hash, and how it is opened.

BUNDLE/bundle.json       the list, written last; a folder without it is no bundle
BUNDLE/README.md         the model card
BUNDLE/generator.onnx    the generator once more, for other programs
BUNDLE/grid.png          what it draws
BUNDLE/requirements.txt  the versions that the figures were measured with
BUNDLE/configs/          the dataset's and the experiment's configuration
BUNDLE/store/            the artefacts, as in any store
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gan_core.config import Config, Dataset, Experiment
from gan_core.config.mistakes import validated
from gan_core.config.yaml_files import Document
from gan_core.errors import DamagedError, StoreError
from gan_core.progress import Progress
from gan_core.store import MANIFEST, Manifest, Store, sha256_of
from gan_core.store.manifest import SEAL, inside, json_object, record_of, sha256_of_json

LIST = "bundle.json"
CARD = "README.md"
ONNX = "generator.onnx"
GRID = "grid.png"
REQUIREMENTS = "requirements.txt"
STORE, CONFIGS = "store", "configs"
FORMAT = 1

Section = TypeVar("Section", bound=Config)
Path_ = Annotated[str, AfterValidator(inside)]


class FileHash(BaseModel):
    """`size` in bytes."""

    model_config = ConfigDict(extra="forbid")

    size: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Artefact(BaseModel):
    """An artefact of the bundle's store: see `Manifest`. `left_out` are those of its files, with their sizes
    in bytes, that are not in the bundle."""

    model_config = ConfigDict(extra="forbid")

    partition: Path_
    fingerprint: str = Field(pattern="^[0-9a-f]{64}$")
    version: str
    left_out: dict[str, int] = {}


class BundleList(BaseModel):
    """`bundle.json`: what was exported, from what and with what.

    `artefacts` by asset. `made_with` is the provenance of the export: commit, packages, machine. `onnx` says
    how `generator.onnx` was made and compared.
    """

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    experiment: str
    dataset: str
    artefacts: dict[Path_, Artefact]
    files: dict[Path_, FileHash]
    onnx: dict[str, Any]
    made_with: dict[str, Any]
    exported_at: str

    def to_json(self) -> bytes:
        """With a hash of the rest, by which an edited list is known."""
        content = json.loads(self.model_dump_json())
        return json.dumps({**content, SEAL: sha256_of_json(content)}, indent=1, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "BundleList":
        """Raises `ValueError` that says what is wrong."""
        content = json_object(text)
        if type(number := content.get("format")) is not int or not 1 <= number <= FORMAT:
            raise ValueError(f"its format is {number!r}, and this version reads formats up to {FORMAT}")
        if content.pop(SEAL, None) != sha256_of_json(content):
            raise ValueError(f"its content does not match its own {SEAL}")
        return record_of(cls, content)


def artefact_folder(manifest: Manifest) -> str:
    """Where an artefact lies in a bundle."""
    return f"{STORE}/{manifest.asset}/{manifest.partition}/{manifest.fingerprint}"


def config_file(kind: Literal["datasets", "experiments"], name: str) -> str:
    """Where a configuration lies in a bundle."""
    return f"{CONFIGS}/{kind}/{name}.yaml"


def is_bundle(place: str | os.PathLike) -> bool:
    """Whether there is a bundle at this path."""
    return (Path(place) / LIST).is_file()


class Bundle:
    """A bundle on disk. Nothing is ever written to it."""

    def __init__(self, folder: Path, listed: BundleList):
        self.folder, self.listed = folder, listed
        self.store = Store(folder / STORE)

    @classmethod
    def open(cls, place: str | os.PathLike) -> "Bundle":
        """Raises `StoreError` where there is no bundle, `DamagedError` where its list is damaged, was edited,
        or names a file outside the bundle."""
        folder = Path(place).absolute()
        path = folder / LIST
        if not path.is_file():
            raise StoreError(
                f"{place} is no bundle: it has no {LIST}; name a folder that `python -m gan_core export` "
                "wrote"
            )
        try:
            return cls(folder, BundleList.from_json(path.read_bytes()))
        except (ValueError, OSError) as error:
            raise DamagedError(f"{path} is damaged or was edited: {error}; get the bundle again") from error

    @property
    def sha256(self) -> str:
        """Of its list, and so of all its files: two bundles with the same are the same."""
        return sha256_of(self.folder / LIST)

    def manifest(self, asset: str) -> Manifest:
        """The manifest of one of its artefacts; a `StoreError` where it is missing or damaged."""
        artefact = self._artefact(asset)
        self._require_plain(f"{STORE}/{asset}/{artefact.partition}/{artefact.fingerprint}/{MANIFEST}")
        found = self.store.read_manifest(asset, artefact.partition, artefact.fingerprint)
        if found is None:
            raise StoreError(f"{self.folder / STORE} has no manifest of {asset}: get the bundle again")
        return found

    def dataset(self) -> Dataset:
        """The configuration of the dataset. Raises `ConfigError` where it cannot be read."""
        return self._configuration(Dataset, config_file("datasets", self.listed.dataset))

    def experiment(self) -> Experiment:
        """The configuration of the experiment. Raises `ConfigError` where it cannot be read."""
        return self._configuration(Experiment, config_file("experiments", self.listed.experiment))

    def _configuration(self, model: type[Section], name: str) -> Section:
        self._require_plain(name)
        document = Document(self.folder / name)
        return validated(model, document.data, document)

    def path(self, name: str) -> Path | None:
        """Where a listed file is; None where it is missing, or reached through a symbolic link."""
        path = self.folder / name
        inside_it = (part for part in (path, *path.parents) if self.folder in part.parents)
        plain = path.is_file() and not any(part.is_symlink() for part in inside_it)
        return path if plain and name in self.listed.files else None

    def damages(self, emit: Callable[[str], None]) -> dict[str, str]:
        """By the names of files that are not as exported, what is wrong with each: every byte is read."""
        total = sum(entry.size for entry in self.listed.files.values())
        progress = Progress(f"checking {self.folder.name}", total, "bytes", emit=emit)
        found = {}
        for name, entry in self.listed.files.items():
            if problem := self._problem(name, entry):
                found[name] = problem
            progress.advance(entry.size)
        return found

    def unlisted(self) -> list[str]:
        """Files that lie in the bundle and are not of it, and so are never read."""
        found = (path for path in self.folder.rglob("*") if path.is_symlink() or not path.is_dir())
        names = (path.relative_to(self.folder).as_posix() for path in found)
        return sorted(name for name in names if name != LIST and name not in self.listed.files)

    def _problem(self, name: str, entry: FileHash) -> str | None:
        path = self.path(name)
        if path is None:
            there = os.path.lexists(self.folder / name)
            return "is no plain file of the bundle (a link or a folder)" if there else "is missing"
        try:
            size = path.stat().st_size
            if size != entry.size:
                return f"has {size:,} bytes, not {entry.size:,}"
            return None if sha256_of(path) == entry.sha256 else "has changed (another sha256)"
        except OSError as error:
            return f"cannot be read: {error.strerror or error}"

    def _artefact(self, asset: str) -> Artefact:
        if asset not in self.listed.artefacts:
            raise StoreError(f"{self.folder / LIST} names no {asset}: get the bundle again")
        return self.listed.artefacts[asset]

    def _require_plain(self, name: str) -> None:
        if self.path(name) is None:
            raise StoreError(f"{self.folder / name} is missing or no plain file: get the bundle again")
