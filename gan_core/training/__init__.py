"""The training engine: one for every architecture and objective."""

from gan_core.training.engine import TrainingSnapshot
from gan_core.training.train import train_gan

__all__ = ["TrainingSnapshot", "train_gan"]
