"""Commented files to begin with: a dataset, an experiment."""

from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from gan_core.config.base import Name
from gan_core.config.yaml_files import shown
from gan_core.disks import disk_error
from gan_core.errors import ConfigError

# What is behind `# ` is the default: without the `# ` the file means the same.
DATASET = """\
# A dataset: where its images are, and what they become before anything is trained on them.
name: {name}
# description: ""
source:
  # A folder, zip or tar of images, here or at any URL that fsspec opens (s3://...). Other kinds know where
  # their images are: digits (comes with scikit-learn), mnist, cifar10, lsun (with `category: bedroom`).
  kind: images
  train: ~/images/{name}
  # test: null
# Every image becomes a square of so many pixels: 16, 32, 64, 128 or 256 suit the architecture dcgan.
image_size: 64
# 3 for colour, 1 for grey.
channels: 3
# crop: resize_then_crop
# `folders`: a class per folder, as found. A list: the folders must be exactly these. null: no classes.
# classes: null
# Of images without a test split of their own, this share is held out to be measured against.
test_fraction: 0.1
# How many images of each split are used; null: all.
# limit: null
evaluation:
  # What the features for FID and others come from: classifier (trained on this dataset; quick, and comparable
  # within it) or inception (comparable with papers; downloads its weights once). The first one fills the
  # leaderboard.
  extractors: [classifier]
"""

EXPERIMENT = """\
# An experiment: a GAN, and how it is trained. docs/training.md lists all keys.
name: {name}
# description: ""
# Words to find it by in the report: tags: [baseline, draft].
# tags: []
dataset: {dataset}
architecture:
  # dcgan (16 to 256 pixels), resnet, sndcgan and deep_dcgan (32 to 128), mlp (8 to 128), dense_dcgan (64).
  # name: dcgan
  # Filters at the outermost layer: 64 as in the paper; 32 is quick to try.
  width: 32
# latent: {{size: 100, distribution: normal}}
objective:
  # non_saturating, minimax, least_squares, hinge; wasserstein, which needs `gradient_penalty: 10` as well;
  # relativistic, which wants `r1: 1` and `r2: 1`.
  name: non_saturating
# conditioning:
#   none, acgan or projection: the last two need a dataset with classes.
#   name: none
optimizers:
  generator: {{learning_rate: 2.0e-4, betas: [0.5, 0.999]}}
  discriminator: {{learning_rate: 2.0e-4, betas: [0.5, 0.999]}}
batch_size: 64
# How long: so many real images are shown to the discriminator; or `epochs`.
length: {{images: 200000}}
# learning_rate_decay: none
# horizontal_flips: false
# seed: 0
# In real images seen: how often a checkpoint is saved, and the FID is taken.
checkpoint_every: 20000
evaluate_every: 20000
# An experiment for each value (or each combination of several keys' values):
# grid:
#   seed: [0, 1, 2]
"""
STARTERS = {"dataset": DATASET, "experiment": EXPERIMENT}


def write_starter(
    kind: Literal["dataset", "experiment"], name: str, folder: Path, *, dataset: str = "digits"
) -> Path:
    """Write a commented `<folder>/<kind>s/<name>.yaml` to begin with, and return its path.

    `folder` is the configuration folder; it is made where it is not there. `dataset` is that of an
    experiment. Raises `ConfigError` for a name that cannot be one, and where the file is there.
    """
    for given in (name, dataset):
        _check_name(given)
    path = Path(folder) / f"{kind}s" / f"{name}.yaml"
    try:
        for needed in ("datasets", "experiments"):
            (Path(folder) / needed).mkdir(parents=True, exist_ok=True)
        _write_new(path, STARTERS[kind].format(name=name, dataset=dataset))
    except FileExistsError as error:
        raise ConfigError(f"{shown(path)} is there already: choose another name, or edit it") from error
    except OSError as error:
        told = disk_error(error, {"GAN_CONFIGS": folder})
        raise told or ConfigError(f"{shown(path)} cannot be written: {error.strerror or error}") from error
    return path


def _write_new(path: Path, text: str) -> None:
    with open(path, "x", encoding="utf-8") as file:
        try:
            file.write(text)
            file.flush()
        except OSError:
            path.unlink()
            raise


def _check_name(name: str) -> None:
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise ConfigError(
            f"`{name}` is no name: it has small letters, digits, `.` and `-` only, 100 at most, and begins "
            "with a letter or digit, as in `my-gan-2`"
        ) from error
