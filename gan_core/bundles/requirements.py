"""The packages that figures were measured with, in exact versions, as a file that pip and uv install."""

import importlib.metadata
import platform
import tomllib
from collections.abc import Iterator

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gan_core.places import checkout
from gan_core.store.provenance import commit_in_words, provenance

DISTRIBUTION = "gan-pipelines"
EXTRAS = ("publish",)  # what `verify` needs beside the library: onnxruntime


def requirements_text() -> str:
    """One line a package: what this project needs, and what that needs on every system, as installed here.

    Without what tells apart builds of one version, such as `+cpu`, which no index has.
    """
    commit = commit_in_words(provenance())
    lines = [
        f"# Python {platform.python_version()}; {DISTRIBUTION}" + (f" at commit {commit}" if commit else ""),
        "# uv pip install -r requirements.txt",
    ]
    lines += [f"{name}=={version}" for name, version in sorted(_installed().items())]
    return "\n".join(lines) + "\n"


def _installed() -> dict[str, str]:
    """The version of every package that is needed and installed, by name."""
    found: dict[str, str] = {}
    waiting = [*_direct()]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in found:
            continue
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # needed on other systems, or by extras that are not installed
        found[name] = distribution.version.partition("+")[0]
        waiting += _unconditional(distribution.requires or [])
    return found


def _direct() -> Iterator[Requirement]:
    """What this project names itself."""
    place = checkout()
    if place is None:
        requires = importlib.metadata.requires(DISTRIBUTION) or []
        yield from (item for item in map(Requirement, requires) if _of_ours(item))
        return
    project = tomllib.loads((place / "pyproject.toml").read_text())["project"]
    yield from map(Requirement, project["dependencies"])
    for extra in EXTRAS:
        yield from map(Requirement, project["optional-dependencies"][extra])


def _of_ours(requirement: Requirement) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in EXTRAS)


def _unconditional(requires: list[str]) -> Iterator[Requirement]:
    """Those without a marker: others are of one system or of an extra, and their installer finds them."""
    return (item for item in map(Requirement, requires) if item.marker is None)
