"""What the two networks minimise: adversarial losses by name, penalties on D, the class losses.

A new adversarial loss is one file here: a subclass of `AdversarialLoss`, registered in `OBJECTIVES`. A new
penalty is one file in `penalties`, a new augmentation one in `augmentations`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gan_core.objectives.augmentations import AUGMENTATIONS
from gan_core.objectives.base import OBJECTIVES, AdversarialLoss
from gan_core.objectives.penalties import PENALTIES
from gan_core.registry import import_modules

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gan_core.config import Objective

__all__ = [
    "AUGMENTATIONS",
    "OBJECTIVES",
    "PENALTIES",
    "AdversarialLoss",
    "build_objective",
    "class_loss",
    "clip_weights",
    "objective_name",
]

import_modules(__name__, __path__)


def build_objective(config: Objective) -> AdversarialLoss:
    """The adversarial loss of a configuration."""
    return OBJECTIVES[config.name](real_target=1.0 - config.label_smoothing)


def class_loss(class_logits: Tensor, labels: Tensor) -> Tensor:
    """ACGAN's -log P(class = label | image), mean over the batch (Odena et al. 2017, equation 3).

    `class_logits` float (B, n_classes) before any softmax, `labels` int64 (B,): the cross-entropy has the
    one softmax that there is.
    """
    from torch.nn import functional

    return functional.cross_entropy(class_logits.float(), labels)


def clip_weights(parameters: Iterable[nn.Parameter], bound: float) -> None:
    """Bring every weight into [-bound, bound] (Arjovsky et al. 2017, algorithm 1), in one call."""
    import torch

    parameters = list(parameters)
    with torch.no_grad():
        torch._foreach_clamp_min_(parameters, -bound)
        torch._foreach_clamp_max_(parameters, bound)


# What else the leaderboard's name of an objective says, by the configuration's key.
ADDITIONS = {
    "label_smoothing": "smoothing",
    "instance_noise": "noise",
    "differentiable_augmentation": "augmentation",
    "augmentation_target": "adaptive",
}


def objective_name(objective: Mapping[str, Any]) -> str:
    """The loss with what is added to it: `hinge`, `wasserstein-gp`, `wasserstein-clip`, `minimax+r1`.

    `objective` is the configuration's section, as a manifest holds it. What bounds a critic that needs it is
    part of the loss's own name.
    """
    kind = OBJECTIVES.get(objective["name"])
    bounding = {name: penalty.label for name, penalty in PENALTIES.items() if penalty.bounds_critic}
    others = {name: penalty.label for name, penalty in PENALTIES.items() if not penalty.bounds_critic}
    sign = "-" if kind and kind.needs_bound else "+"
    parts = [sign + text for key, text in (bounding | {"weight_clip": "clip"}).items() if objective.get(key)]
    parts += ["+" + text for key, text in (others | ADDITIONS).items() if _is_on(key, objective.get(key))]
    return objective["name"].replace("_", "-") + "".join(parts)


def _is_on(key: str, value: Any) -> bool:
    """Whether this value of the key adds something; 0 is a target like others."""
    return value is not None if key == "augmentation_target" else bool(value)
