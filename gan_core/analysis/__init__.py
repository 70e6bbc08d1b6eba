"""What a trained GAN is looked at by, beside its figures: latent space, what its discriminator knows, the
course of its training.

An analysis is one file of `kinds`, which registers it: what it asks, what its figures are called and mean,
what it needs, and how it is made. The step, the command line, Dagster and the report go over `ANALYSES` and
name none. Nothing here imports torch before something is looked at.
"""

from collections.abc import Iterable

from gan_core.analysis.base import ANALYSES, Analysis, Findings, add_analysis
from gan_core.analysis.kinds import import_kinds
from gan_core.errors import ConfigError
from gan_core.registry import chosen

__all__ = ["ANALYSES", "Analysis", "Findings", "add_analysis", "chosen_analyses"]

import_kinds()


def chosen_analyses(names: Iterable[str] | None) -> dict[str, Analysis]:
    """The named analyses in the order of the registry, or all where `names` is None.

    An unknown name, or none at all, is a `ConfigError` that lists the analyses there are.
    """
    if names is None:
        return dict(ANALYSES)
    return chosen(ANALYSES, names, "analysis", ConfigError)
