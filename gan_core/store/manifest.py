"""The manifest of an artefact: what it says, how it is written, and what is refused when it is read."""

import hashlib
import json
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

FORMAT = 3
# What turns a manifest (JSON) of one format into one of the next.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    # Format 1 had neither a number nor a hash of itself.
    1: lambda content: {**content, "format": 2},
    # In format 2 every file counted, and no provenance was recorded.
    2: lambda content: {**content, "format": 3},
}
SEAL = "sha256"


class NewerFormat(ValueError):
    """A manifest that a later version of this project wrote."""


def inside(path: str) -> str:
    """A path that stays in the folder it is relative to, else `ValueError`: no file outside an artefact's
    folder is ever read because its manifest says so."""
    parts = path.split("/")
    if "\\" in path or "\0" in path or not {"", ".", ".."}.isdisjoint(parts):
        raise ValueError(f"`{path}` is not a path inside the artefact's folder")
    return path


class FileEntry(BaseModel):
    """One file of an artefact: `path` is relative to the folder of the manifest; `size` in bytes.

    `counts`: whether what stands on the artefact stands on this file. How long something took does not.
    """

    model_config = ConfigDict(extra="forbid")

    path: Annotated[str, AfterValidator(inside)]
    size: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    counts: bool = True


class Manifest(BaseModel):
    """What an artefact is: its files, what it was made from, how, and the figures found on the way.

    `config` is the configuration that matters, `inputs` maps an input's asset name to its fingerprint and
    `input_versions` to its version, `figures` holds scalars for plots and tables, `details` whatever else a
    reader needs (JSON). `provenance` says what it was made with; neither fingerprint nor version stand on it.
    """

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    asset: str
    partition: str
    fingerprint: str
    code_version: str
    config: dict[str, Any]
    inputs: dict[str, str]
    input_versions: dict[str, str] = Field(default_factory=dict)
    files: dict[Annotated[str, AfterValidator(inside)], FileEntry] = Field(default_factory=dict)
    figures: dict[str, float | int | str | None] = Field(default_factory=dict)
    details: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)
    created_at: str = ""
    seconds: float = 0.0
    reused: bool = Field(default=False, exclude=True)

    @property
    def version(self) -> str:
        """sha256 of the fingerprint and of the content of every file that counts: what a reader stands on.

        It differs from another's of the same fingerprint where a step does not give the same bytes twice:
        a training made again with `force`, or on another device.
        """
        content = {name: entry.sha256 for name, entry in self.files.items() if entry.counts}
        return sha256_of_json([self.fingerprint, content])

    @property
    def place(self) -> str:
        """`<asset>/<partition>/<fingerprint>`: its folder in the store."""
        return f"{self.asset}/{self.partition}/{self.fingerprint}"

    @property
    def total_bytes(self) -> int:
        return sum(entry.size for entry in self.files.values())

    def to_json(self) -> bytes:
        """As it is stored: with a hash of the rest, by which an edited or damaged manifest is known."""
        content = json.loads(self.model_dump_json())
        sealed = {**content, SEAL: sha256_of_json(content)}
        return json.dumps(sealed, indent=1, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Manifest":
        """Read what `to_json` of this version or an earlier one wrote.

        Raises `NewerFormat` for a later version's, and `ValueError` that says what is wrong with any other.
        """
        content = json_object(text)
        number = content.get("format", 1)
        if type(number) is not int or number < 1:
            raise ValueError(f"its format is {number!r}, not a number from 1 to {FORMAT}")
        if number > FORMAT:
            raise NewerFormat(f"it has format {number}, and this version reads formats up to {FORMAT}")
        if number > 1 and content.pop(SEAL, None) != sha256_of_json(content):
            raise ValueError(f"its content does not match its own {SEAL}")
        for earlier in range(number, FORMAT):
            content = MIGRATIONS[earlier](content)
        return record_of(cls, content)


Record = TypeVar("Record", bound=BaseModel)


def record_of(kind: type[Record], content: dict[str, Any]) -> Record:
    """The record of such a content; a `ValueError` that says where it is wrong first."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from error


def fingerprint(config: dict[str, Any], inputs: dict[str, Manifest], code_version: str) -> str:
    """sha256 (64 hex digits) of configuration, inputs' versions and code version as canonical JSON."""
    versions = {name: manifest.version for name, manifest in inputs.items()}
    return sha256_of_json({"config": config, "inputs": versions, "code_version": code_version})


def sha256_of_json(content: Any) -> str:
    """sha256 (64 hex digits) of canonical JSON: sorted keys, no spaces, ASCII."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def json_object(text: bytes) -> dict[str, Any]:
    """Raises `ValueError` for what is no JSON object."""
    try:
        content = json.loads(text.decode())  # bytes alone could be taken for UTF-16 or UTF-32
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError("it is not a JSON object")
    return content
