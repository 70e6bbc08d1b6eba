"""Configurations and dates in words."""

from typing import Any

from pydantic import BaseModel

from gan_core.config import Experiment, foreign_settings
from gan_core.evaluation.figures import MISSING
from gan_core.objectives import objective_name
from gan_core.progress import format_seconds


def settings_in_words(config: dict[str, Any]) -> list[tuple[str, str]]:
    """The configuration in words, one row per section; what is switched off is left out, a number is not."""
    rows = []
    for key, value in config.items():
        if key == "optimizers":
            rows += [(f"{words(network)} optimizer", describe(_own(of))) for network, of in value.items()]
        elif key == "objective":
            rows.append(("objective", describe({**value, "name": objective_name(value)})))
        elif isinstance(value, dict):
            rows.append((words(key), describe(value, _defaults(key))))
        elif not (value is None or value is False or value == []):
            rows.append((words(key), describe(value)))
    return [(label[0].upper() + label[1:], value) for label, value in rows]


def _own(optimizer: dict[str, Any]) -> dict[str, Any]:
    """An optimiser's settings without those that only another one reads."""
    foreign = foreign_settings(optimizer["name"])
    return {key: value for key, value in optimizer.items() if key not in foreign}


def _defaults(section: str) -> dict[str, Any]:
    """The values of a section that is not given."""
    default = Experiment.model_fields[section].default if section in Experiment.model_fields else None
    return default.model_dump(mode="json") if isinstance(default, BaseModel) else {}


def describe(value: Any, defaults: dict[str, Any] | None = None) -> str:
    """A value in words; of a section, what is 0, empty or false is left out where it is so by default."""
    if isinstance(value, dict):
        if value.get("name") == "none":
            return "none"
        parts = [str(value["name"])] if value.get("name") else []
        parts += [
            words(key) if inner is True else f"{words(key)} {describe(inner)}"
            for key, inner in value.items()
            if key != "name" and (inner or (defaults or {}).get(key))
        ]
        return " · ".join(parts) or MISSING
    if isinstance(value, (list, tuple)):
        return ", ".join(describe(part) for part in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def words(key: str) -> str:
    return {"n_critic": "D steps per G step"}.get(key, key.replace("_", " "))


def date_in_words(created_at: str) -> str:
    """`2026-01-31T12:00:00+00:00` as `2026-01-31 12:00 UTC`; manifests are always in UTC."""
    return f"{created_at[:10]} {created_at[11:16]} UTC" if created_at else MISSING


def duration_in_words(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else format_seconds(seconds)
