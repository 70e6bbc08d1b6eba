"""The schema of `configs/schedules/*.yaml`: what is done again and again, and when."""

import fnmatch
import zoneinfo
from collections.abc import Iterable
from typing import Annotated, Literal

from croniter import CroniterBadDateError, CroniterError, croniter
from pydantic import Field, field_validator, model_validator

from gan_core.config.ages import Age
from gan_core.config.base import Config, Contradiction, Description, Flag, Tag
from gan_core.config.experiments import Experiment
from gan_core.config.questions import Pattern

# Of these a schedule's name in Dagster is made, which has no points or dashes.
ScheduleName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=60)]


class RunSchedule(Config):
    """One file of `configs/schedules/`.

    `cron` has five fields (minute, hour, day, month, weekday), read in `timezone`, an IANA name. `does`:
    `train` refreshes the datasets of the experiments and then runs these; `evaluate` draws from those that
    are trained and measures them by their dataset's protocol; `prune` removes what Dagster has recorded of
    runs that ended longer than `older_than` ago.

    `experiments`: names, or shell patterns such as `demo-*`. `tags`: experiments that have one of these words
    among their `tags`. `force` does again what is there already: `train` from the beginning.
    """

    name: ScheduleName
    description: Description = ""
    does: Literal["train", "evaluate", "prune"]
    cron: str
    timezone: str = "UTC"
    experiments: tuple[Pattern, ...] = ()
    tags: tuple[Tag, ...] = ()
    force: Flag = False
    older_than: Age | None = None

    @field_validator("cron")
    @classmethod
    def _comes_up(cls, cron: str) -> str:
        try:
            if len(cron.split()) != 5:
                raise CroniterError
            croniter(cron).get_next()
        except CroniterBadDateError as error:
            raise ValueError(f"cron `{cron}` is a day that never comes: choose another") from error
        except CroniterError as error:
            raise ValueError(
                f'cron is `{cron}`, which is not minute, hour, day, month and weekday such as "0 2 * * *"'
            ) from error
        return cron

    @field_validator("timezone")
    @classmethod
    def _known(cls, timezone: str) -> str:
        if timezone not in zoneinfo.available_timezones():
            raise ValueError(f"timezone `{timezone}` is not an IANA name such as Europe/Berlin or UTC")
        return timezone

    @model_validator(mode="after")
    def _consistent(self):
        prunes = self.does == "prune"
        if prunes and self.older_than is None:
            raise Contradiction("does", "`prune` needs `older_than`, for example `older_than: 30d`")
        if not prunes and self.older_than is not None:
            raise Contradiction("older_than", f"older_than is for `prune`, not `{self.does}`: remove it")
        if not prunes and not (self.experiments or self.tags):
            raise Contradiction(
                "does", f"`{self.does}` needs `experiments` or `tags`, for example `experiments: [demo-*]`"
            )
        for key in ("experiments", "tags", "force") if prunes else ():
            if getattr(self, key):
                raise Contradiction(key, f"`prune` is for all runs and has no {key}: remove it")
        return self

    def chosen(self, experiments: Iterable[Experiment]) -> list[Experiment]:
        """Those of the experiments that it is for, in their order."""
        return [
            item
            for item in experiments
            if any(fnmatch.fnmatchcase(item.name, pattern) for pattern in self.experiments)
            or set(self.tags) & set(item.tags)
        ]
