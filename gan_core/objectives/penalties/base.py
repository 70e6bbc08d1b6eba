"""What a penalty on D is. Nothing here imports torch before a penalty is computed: definitions read the
flags."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor

    from gan_core.training.noise import Noise
    from gan_core.training.score_averages import ScoreAverages


@dataclass(frozen=True)
class Judged:
    """What D saw in this step, and what it said.

    `real` and `fake` are the images as D saw them, float (B, C, H, W), without G's graph; `real_scores` and
    `fake_scores` float (B,) D's scores of them. `score_as_real` and `score_as_fake` give D's scores of any
    images (B, C, H, W), under the labels of the real or of the generated ones. `noise` is the run's source of
    random numbers. `real_points` and `fake_points` are the images that `real` and `fake` were made of by
    augmentation, where a gradient is asked for there: `real` and `fake` then hold that graph.
    `score_averages` are there for a penalty that `follows_scores`.
    """

    real: Tensor
    fake: Tensor
    real_scores: Tensor
    fake_scores: Tensor
    score_as_real: Callable[[Tensor], Tensor]
    score_as_fake: Callable[[Tensor], Tensor]
    noise: Noise
    real_points: Tensor | None = None
    fake_points: Tensor | None = None
    score_averages: ScoreAverages | None = None


class Penalty(ABC):
    """A term of D's loss: its value, times its weight in the configuration, times `factor`.

    The name under which it is registered is the key of its weight, `objective.<name>`; 0 switches it off.

    `label` stands in the leaderboard's name of the objective, `usual` says in an error what its weight is
    in the paper. What the configuration's checks read: `bounds_critic`: it makes D Lipschitz, as Wasserstein
    needs. `per_image`: it looks at each image by itself, which has no meaning through batch norm.
    `forbids_minibatch`: nor has it through D's minibatch layers. `at_images`: it is taken at real or at
    generated images, and so may be taken before augmentation (`objective.gradients_at`). `follows_scores`: it
    compares D's scores with their moving averages.
    """

    label: ClassVar[str]
    usual: ClassVar[str] = ""
    factor: ClassVar[float] = 1.0
    bounds_critic: ClassVar[bool] = False
    per_image: ClassVar[bool] = True
    forbids_minibatch: ClassVar[bool] = False
    at_images: ClassVar[bool] = False
    follows_scores: ClassVar[bool] = False

    @staticmethod
    @abstractmethod
    def measure(judged: Judged) -> Tensor:
        """Its value without any weight: a scalar tensor, the mean over the batch."""


PENALTIES: dict[str, type[Penalty]] = {}


def score_gradients(
    critic: Callable[[Tensor], Tensor], images: Tensor, points: Tensor | None = None
) -> Tensor:
    """The critic's gradient at each of the images (B, ...), flat: (B, values of an image).

    With `points` (B, ...), of which `images` were made, it is the gradient there, through what was done.
    """
    import torch

    points = images.requires_grad_() if points is None else points
    (gradients,) = torch.autograd.grad(critic(images).sum(), points, create_graph=True)
    return gradients.flatten(start_dim=1)


def squared_gradients(
    critic: Callable[[Tensor], Tensor], images: Tensor, points: Tensor | None = None
) -> Tensor:
    """Mean of the critic's squared gradient at the images (B, C, H, W), or at `points`: a scalar, in fp32.

    Mescheder et al. 2018, equation 9, without their factor gamma / 2.
    """
    import torch

    with torch.autocast(images.device.type, enabled=False):
        shown = images.detach().float() if points is None else images.float()
        return score_gradients(critic, shown, points).square().sum(dim=1).mean()
