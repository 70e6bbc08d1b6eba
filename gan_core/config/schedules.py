"""The section `schedules` of an experiment: which of its numbers move while it trains."""

import math
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, model_validator

from gan_core.config.base import Config, Images, refuse_unknown_keys
from gan_core.objectives import PENALTIES


class Cosine(Config):
    """From the key's own value, at the start, to the value `to` after `images` images seen (by default at the
    end of the run), along half a cosine; constant from there on."""

    to: Annotated[float, Field(ge=0, le=1e12)]
    images: Images | None = None

    def at(self, start: float, images_seen: int, total_images: int) -> float:
        """The value after `images_seen` images of a run of `total_images`, for a key whose value is `start`.

        to + (start - to) (1 + cos(pi t)) / 2, with t the share of `images` (Loshchilov and Hutter 2017,
        equation 5, without restarts; R3GAN, arXiv 2501.05441, moves all of its schedules so).
        """
        share = min(1.0, images_seen / (self.images or total_images))
        return self.to + (start - self.to) * (1 + math.cos(math.pi * share)) / 2


class Schedules(Config):
    """What moves, by the key that says where it begins.

    `learning_rate` and `beta2` are those of both optimisers (`beta2` the second of `betas`), each from its
    own value. `ema_half_life` and `augmentation_probability` are keys of the experiment and of its objective.
    The name of a penalty (`r1`, `r2`, …) moves its weight.
    """

    model_config = ConfigDict(extra="allow")  # the penalties
    __pydantic_extra__: dict[str, Cosine]
    names_other_keys: ClassVar[bool] = True

    learning_rate: Cosine | None = None
    beta2: Cosine | None = None
    ema_half_life: Cosine | None = None
    augmentation_probability: Cosine | None = None

    @classmethod
    def keys(cls) -> list[str]:
        return [*super().keys(), *PENALTIES]

    @property
    def penalties(self) -> dict[str, Cosine]:
        """The schedules of penalties' weights."""
        return dict(self.__pydantic_extra__ or {})

    def identity(self, **chosen) -> dict[str, Any]:
        return super().identity(**chosen) | {
            name: schedule.identity() for name, schedule in self.penalties.items()
        }

    @model_validator(mode="before")
    @classmethod
    def _only_known_keys(cls, values: Any) -> Any:
        refuse_unknown_keys(values, cls.keys())
        return values
