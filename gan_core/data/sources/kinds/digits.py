"""scikit-learn's 1,797 handwritten digits of 8x8 pixels, which come with the package."""

from gan_core.config import Split
from gan_core.data.sources.kinds import SOURCE_KINDS, SourceKind, register

NAMES = tuple("0123456789")


@register(SOURCE_KINDS, "digits")
class Digits(SourceKind):
    description = "scikit-learn's digits, which come with the package"
    single_digits = True

    def open_official(self, split: Split):
        """The values 0..16 scaled to 0..255. There is no test split."""
        from gan_core.data.sources.arrays import array_source

        if split == "test":
            return None
        target = self.cache / "arrays" / "digits.npy"
        return array_source(_load, target, "scikit-learn's load_digits", NAMES, self.dataset, self.emit)


def _load():
    import numpy as np
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.rint(digits.images * (255 / 16)).astype(np.uint8), digits.target
