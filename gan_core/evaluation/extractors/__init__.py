"""The feature extractors: uint8 images -> features and class logits.

An extractor is one file of this package with one class; configuration, evaluation, command line and report go
over `EXTRACTORS` and name none. Nothing here imports torch before an extractor is opened, so that it can be
told without torch whether its weights have changed.
"""

from gan_core.evaluation.extractors.base import EXTRACTORS, ExtractorSources, FeatureExtractor
from gan_core.registry import import_modules

__all__ = ["EXTRACTORS", "ExtractorSources", "FeatureExtractor", "extractor_named"]

import_modules(__name__, __path__)


def extractor_named(name: str) -> type[FeatureExtractor]:
    """The class of an extractor; an unknown name is an `EvaluationError` that lists those there are."""
    from gan_core.errors import EvaluationError

    if name not in EXTRACTORS:
        raise EvaluationError(f"there is no extractor `{name}`: choose from {', '.join(EXTRACTORS)}")
    return EXTRACTORS[name]
