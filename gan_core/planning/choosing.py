"""Which experiments are meant: by name or pattern, by what they are made of, by their tags."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gan_core.config import Configs, Experiment, unknown
from gan_core.errors import ConfigError

# The key of an experiment that holds its tags, which decide nothing of its training.
TAGS = "tags"


@dataclass(frozen=True)
class Choice:
    """Experiments that match one of the `patterns` (where there are any) and have all the rest.

    `tags`: words of an experiment's `tags`, or KEY=VALUE for a value of its configuration; a key may be the
    end of a dotted one, as `seed=0` or `conditioning.name=acgan`.
    """

    patterns: tuple[str, ...] = ()
    dataset: str | None = None
    architecture: str | None = None
    objective: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def by_content(self) -> bool:
        """Whether anything but a name is asked for."""
        return any(self._wanted())

    @property
    def is_everything(self) -> bool:
        """Whether nothing is asked for."""
        return not (self.patterns or self.by_content)

    def names(self, configs: Configs) -> list[str]:
        """Those chosen, in alphabetical order; none where no experiment has everything that is asked for.

        Raises `ConfigError` for what no experiment could have: a pattern that matches none, a word that none
        is tagged with, a key that none has, a dataset, architecture or objective that there is not.
        """
        wanted = list(self._wanted())
        for key, value in wanted:
            _refuse_unknown(key, value, configs)
        names = configs.matching(self.patterns) if self.patterns else sorted(configs.experiments)
        return [
            name
            for name in names
            if all(_has(configs.experiments[name], key, value) for key, value in wanted)
        ]

    def _wanted(self) -> Iterator[tuple[str, str]]:
        """Values that the configuration has, by key."""
        named = {
            "dataset": self.dataset,
            "architecture.name": self.architecture,
            "objective.name": self.objective,
        }
        yield from ((key, value) for key, value in named.items() if value is not None)
        for tag in self.tags:
            key, equals, value = tag.partition("=")
            yield (key, value) if equals else (TAGS, key)


# --- inside -----------------------------------------------------------------------------------------------


def _refuse_unknown(key: str, value: str, configs: Configs) -> None:
    from gan_core.models.architectures import ARCHITECTURES
    from gan_core.objectives import OBJECTIVES

    experiments = configs.experiments.values()
    if key == TAGS:
        known = {tag for one in experiments for tag in one.tags}
        if value not in known:
            told = unknown("no experiment has the tag", value, known)
            raise ConfigError(f"{told} (a value of a configuration is KEY=VALUE, such as seed=0)")
        return
    keys = {dotted for one in experiments for dotted in one.dotted()}
    if experiments and not any(_ends(dotted, key) for dotted in keys):
        raise ConfigError(unknown("no key of an experiment is named", key, keys))
    named = {"dataset": configs.datasets, "architecture": ARCHITECTURES, "objective": OBJECTIVES}
    kind = key.removesuffix(".name")
    if kind in named and value not in named[kind]:
        raise ConfigError(unknown(f"--{kind} knows no", value, named[kind]))


def _has(experiment: Experiment, key: str, value: str) -> bool:
    if key == TAGS:
        return value in experiment.tags
    return any(
        _ends(dotted, key) and _text(found) == value.lower() for dotted, found in experiment.dotted().items()
    )


def _ends(dotted: str, key: str) -> bool:
    return dotted == key or dotted.endswith(f".{key}")


def _text(value: Any) -> str:
    """As a file has it."""
    return {None: "null"}.get(value, str(value).lower()) if not isinstance(value, list) else str(value)
