"""What a training's speed and memory stood on, beside what its manifest holds as its configuration.

Nothing here imports torch: a plan asks what a training would have today.
"""

import os
from typing import Any

from gan_core.config import Experiment
from gan_core.store import Manifest

# In a manifest's details.
CONDITIONS = "conditions"
# How often is measured and saved, and how much: all of it takes time between steps.
OF_EXPERIMENT = ("evaluate_every", "evaluation_samples", "sample_every", "checkpoint_every", "log_every")
# Whether images stay resident, and how many processes decode them.
OF_ENVIRONMENT = ("GAN_MEMORY_LIMIT", "GAN_DECODERS")


def conditions(
    experiment: Experiment,
    shards: Manifest,
    *,
    classifier: bool = True,
    memory_limit_bytes: int | None = None,
) -> dict[str, Any]:
    """The conditions of a training on these shards; `classifier`: whether one measures its in-training FID.
    `memory_limit_bytes` is what was asked for, not what the environment says."""
    environment = {name: os.environ.get(name) for name in OF_ENVIRONMENT}
    return {
        **{key: getattr(experiment, key) for key in OF_EXPERIMENT},
        "train_images": shards.details["splits"]["train"]["images"],
        "in_training_fid": classifier,
        "memory_limit_bytes": memory_limit_bytes,
        **{name: value for name, value in environment.items() if value},
    }


def fp32_instead(trained: Manifest) -> str | None:
    """One phrase where a training computed in fp32 though its configuration says `bf16`; None elsewhere, and
    of trainings from before it was recorded."""
    if trained.config.get("precision") != "bf16" or trained.details.get("precision") != "fp32":
        return None
    device = trained.details.get("device", "its device")
    return f"trained in fp32 instead of bf16, which {device} is not known to be fast in"
