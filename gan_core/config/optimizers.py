"""The section `optimizers` of an experiment, and the optimisers that it may name.

A new optimiser is a subclass of `OptimizerKind` here, registered in `OPTIMIZERS`; its settings are keys of
`Optimizer`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, model_validator

from gan_core.config.base import Config, Contradiction, Fraction, registered_in
from gan_core.registry import register

if TYPE_CHECKING:
    import torch


class OptimizerKind(ABC):
    """An optimiser. `settings` are the keys of `Optimizer` that it reads, beside those that all read."""

    settings: ClassVar[tuple[str, ...]] = ()

    @staticmethod
    @abstractmethod
    def build(
        parameters: list[torch.nn.Parameter], config: Optimizer, *, captured: bool, **common
    ) -> torch.optim.Optimizer:
        """With as few kernels per step as torch has for it; `captured`: its steps go into a CUDA graph.

        `common` are the rate and the weight decay, as torch takes them.
        """


OPTIMIZERS: dict[str, type[OptimizerKind]] = {}


@register(OPTIMIZERS, "adam")
class Adam(OptimizerKind):
    settings = ("betas",)

    @staticmethod
    def build(parameters, config, *, captured, **common):
        import torch

        return torch.optim.Adam(
            parameters, betas=tuple(config.betas), fused=True, capturable=captured, **common
        )


@register(OPTIMIZERS, "rmsprop")
class RMSProp(OptimizerKind):
    settings = ("smoothing", "momentum")

    @staticmethod
    def build(parameters, config, *, captured, **common):
        import torch

        return torch.optim.RMSprop(
            parameters,
            alpha=config.smoothing,
            momentum=config.momentum,
            capturable=captured,
            foreach=captured or None,  # one tensor at a time, torch would read the rate on the host
            **common,
        )


@register(OPTIMIZERS, "sgd")
class SGD(OptimizerKind):
    settings = ("momentum",)

    @staticmethod
    def build(parameters, config, *, captured, **common):
        import torch

        return torch.optim.SGD(parameters, momentum=config.momentum, fused=True, **common)


def foreign_settings(name: str) -> set[str]:
    """The settings that only other optimisers than this one read."""
    every = {key for kind in OPTIMIZERS.values() for key in kind.settings}
    return every - set(OPTIMIZERS[name].settings)


class Optimizer(Config):
    """One network's optimiser. `betas` are Adam's, `smoothing` RMSProp's, `momentum` SGD's and RMSProp's."""

    name: Annotated[str, registered_in(OPTIMIZERS)] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    betas: tuple[Fraction, Fraction] = (0.5, 0.999)
    smoothing: Fraction = 0.99
    momentum: Fraction = 0.0
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.0

    @model_validator(mode="after")
    def _own_settings(self):
        for key in foreign_settings(self.name):
            if getattr(self, key) != type(self).model_fields[key].default:
                raise Contradiction(key, f"{key} is no setting of `{self.name}`: remove it")
        return self


class Optimizers(Config):
    generator: Optimizer = Optimizer()
    discriminator: Optimizer = Optimizer()
