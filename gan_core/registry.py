"""Registries: plain dictionaries by name that the modules of a package fill, one module for one thing.

Whoever adds a metric, an objective or an architecture adds a file to its package and edits nothing else: the
package's `__init__` imports all its modules, and each registers what it defines.
"""

import importlib
import pkgutil
from collections.abc import Callable
from typing import TypeVar

Thing = TypeVar("Thing")


def import_modules(package: str, path: list[str]) -> None:
    """Import every module of a package, in the order of their names; `path` is the package's `__path__`."""
    for module in sorted(pkgutil.iter_modules(path), key=lambda module: module.name):
        importlib.import_module(f"{package}.{module.name}")


def register(registry: dict[str, Thing], name: str) -> Callable[[Thing], Thing]:
    """A decorator that enters what it decorates under `name`; a name that is taken is a `ValueError`."""

    def enter(thing: Thing) -> Thing:
        if name in registry:
            raise ValueError(f"`{name}` is registered twice: by {registry[name]!r} and by {thing!r}")
        registry[name] = thing
        return thing

    return enter
