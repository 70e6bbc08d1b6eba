"""The training engine: one for every architecture and objective. Its public names need torch, and are
imported when they are first asked for: what Dagster's definitions import from here does not."""

from importlib import import_module
from typing import Any

__all__ = ["TrainingSnapshot", "TrainingTask", "train_gan"]
_MODULES = {"TrainingSnapshot": "records.listeners", "TrainingTask": "task", "train_gan": "train"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
