"""Registries: plain dictionaries by name that the modules of a package fill, one module for one thing.

Whoever adds a metric, an objective or an architecture adds a file to its package and edits nothing else: the
package's `__init__` imports all its modules, and each registers what it defines.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from typing import TypeVar

from gan_core.errors import GanError

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


def sort_by_position(registry: dict[str, Thing]) -> None:
    """Bring a registry into the order of its things' `position`; those of one stay as they are."""
    ordered = sorted(registry.items(), key=lambda item: item[1].position)
    registry.clear()
    registry.update(ordered)


def chosen(
    registry: dict[str, Thing], names: Iterable[str], kind: str, error: type[GanError]
) -> dict[str, Thing]:
    """The named things in the order of the registry.

    An unknown name, or none at all, is an `error` that lists those there are; `kind` is what one is called.
    """
    names = list(names)
    unknown = [name for name in names if name not in registry]
    if unknown or not names:
        wrong = f"there is no {kind} `{unknown[0]}`" if unknown else f"no {kind} is named"
        raise error(f"{wrong}: choose from {', '.join(registry)}")
    return {name: thing for name, thing in registry.items() if name in names}
