"""The text of the smallest dataset and experiment, for tests of what is read from files."""

from pathlib import Path

from gan_core.config import Configs, load_configs

DATASET = "name: tiny\nsource: {kind: digits}\nimage_size: 16\nchannels: 1\n"
EXPERIMENT = "name: first\ndataset: tiny\nlength: {images: 100}\n"


def mistakes(folder: Path) -> str:
    """What is wrong in a configuration folder, as one text."""
    return text_of(load_configs(folder))


def text_of(configs: Configs) -> str:
    return "\n".join(mistake.message for mistake in configs.mistakes)
