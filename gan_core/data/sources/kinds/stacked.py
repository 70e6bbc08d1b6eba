"""Stacked digits (Metz et al. 2017, "Unrolled Generative Adversarial Networks"): each image is three digits
of another source as its channels, so that there are 1,000 modes that can be counted."""

from gan_core.config import Dataset, Split
from gan_core.data.sources.kinds import SOURCE_KINDS, SourceKind, register

DIGITS = tuple("0123456789")


@register(SOURCE_KINDS, "stacked")
class Stacked(SourceKind):
    description = "three digits of MNIST, or of scikit-learn's digits, as the channels of an image"
    class_names = tuple(f"{number:03d}" for number in range(1000))
    stacks = True

    def open(self, split: Split, location: str | None, *, whole: bool):
        """A location is one of the digits. Where these have no test split, `test_fraction` of them are held
        out, so that no digit stands in both splits."""
        from gan_core.data.sources.stacked import StackedSource, part_of

        stack, kind = self.dataset.source.stack, self._digits()
        source = kind.open(split, location, whole=whole)
        if self._holds_out(kind, split, source, location):
            source = source or kind.open("train", location, whole=True)
            digits = part_of(source, split, self.dataset.test_fraction)
        elif source is None:
            return None
        else:
            digits = list(source.entries())
        images = stack.images if split == "train" else stack.test_images
        return StackedSource(source, digits, split, images, stack.seed)

    def _holds_out(self, kind: SourceKind, split: Split, source, location: str | None) -> bool:
        """Whether the digits of both splits come from one source that has no test split of its own."""
        if self.dataset.test_fraction is None or "test" not in self.dataset.splits:
            return False
        return (kind.open("test", location, whole=False) if split == "train" else source) is None

    def _digits(self) -> SourceKind:
        """The kind of the digits, for a dataset of this one's name and splits."""
        values = {
            "name": self.dataset.name,
            "source": {"kind": self.dataset.source.stack.of},
            "image_size": self.dataset.image_size,
            "channels": 1,
            "classes": DIGITS,
            "splits": self.dataset.splits,
        }
        dataset = Dataset.model_validate(values)
        return SOURCE_KINDS[dataset.source.kind](dataset, self.cache, self.emit)
