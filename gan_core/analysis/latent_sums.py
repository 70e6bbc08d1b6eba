"""Sums of latents: which samples are added, and what is seen in the result (see `kinds.arithmetic`)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy
    from torch import Tensor

    from gan_core.analysis.subject import Subject

EXEMPLARS = 3
# How probable the classifier finds the class of a clear image, at least.
CLEAR = 0.9


@dataclass(frozen=True)
class Seen:
    """What is seen in n images: the class int64 (n,), how probable it is (n,), the brightness, 0 to 1,
    (n,)."""

    found: "numpy.ndarray"
    probability: "numpy.ndarray"
    brightness: "numpy.ndarray"


def see(subject: "Subject", z: "Tensor", asked: "Tensor | None") -> Seen:
    """Look at the images of latents (n, z_dim), of which a batch at a time is in memory."""
    import numpy as np

    parts = []
    for images in subject.drawn(z, asked):
        found, probability = subject.recognised(images)
        parts.append((found.numpy(), probability.numpy(), brightness_of(images)))
    return Seen(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def brightness_of(images: "Tensor") -> "numpy.ndarray":
    """uint8 (n, C, H, W) -> the mean of the pixels, 0 to 1, (n,)."""
    return images.float().mean(dim=(1, 2, 3)).div(255).numpy()


@dataclass(frozen=True)
class Pool:
    """Samples of the generator: latents (n, z_dim), the classes they were asked for (one-hot, or None), what
    is seen in them, and which of them are clearly of a class, bool (n,)."""

    latents: "Tensor"
    asked: "Tensor | None"
    seen: Seen
    clear: "numpy.ndarray"

    def quarter(self, label: int, bright: bool) -> "numpy.ndarray":
        """The numbers of the brightest or darkest quarter of the clear samples of a class."""
        import numpy as np

        members = self._members(label)
        ordered = members[np.argsort(self.seen.brightness[members], kind="stable")]
        size = len(members) // 4
        return ordered[len(ordered) - size :] if bright else ordered[:size]

    def is_bright(self, brightness: "numpy.ndarray", labels: "numpy.ndarray") -> "numpy.ndarray":
        """Which images are brighter than half of the clear samples of the class they should be of, (n,)."""
        import numpy as np

        middle = {
            label: np.median(self.seen.brightness[self._members(label)]) for label in set(labels.tolist())
        }
        return brightness > np.array([middle[label] for label in labels.tolist()])

    def _members(self, label: int) -> "numpy.ndarray":
        import numpy as np

        return np.flatnonzero(self.clear & (self.seen.found == label))


def draw_pool(subject: "Subject", count: int) -> Pool:
    """So many samples; of a conditional generator those are clear that it was asked for."""
    import torch

    latents = subject.latents(count, "arithmetic pool")
    labels = torch.arange(count) % max(len(subject.classes), 1)
    asked = subject.one_hot(labels)
    seen = see(subject, latents, asked)
    clear = seen.probability >= CLEAR
    return Pool(latents, asked, seen, clear if asked is None else clear & (seen.found == labels.numpy()))


@dataclass(frozen=True)
class Sums:
    """Numbers of the pool, int64 (sums, 3), for each of the three terms, and the classes a and b, (sums,)."""

    terms: "dict[str, numpy.ndarray]"
    first: "numpy.ndarray"
    second: "numpy.ndarray"


def choose(pool: Pool, n_classes: int, seed: int, count: int) -> Sums | None:
    """bright a - dark a + dark b, for every ordered pair of classes by turns; None where fewer than two
    classes have enough clear samples."""
    import numpy as np

    known = [label for label in range(n_classes) if len(pool.quarter(label, True)) >= EXEMPLARS]
    pairs = [(a, b) for a in known for b in known if a != b]
    if not pairs:
        return None
    numbers = np.random.default_rng(seed)
    pairs = [pairs[i] for i in numbers.permutation(len(pairs))]
    chosen = [pairs[i % len(pairs)] for i in range(count)]
    members = {(label, bright): pool.quarter(label, bright) for label in known for bright in (True, False)}

    def pick(keys: list[tuple[int, bool]]) -> "numpy.ndarray":
        return np.stack([numbers.choice(members[key], EXEMPLARS, replace=False) for key in keys])

    return Sums(
        {
            "A": pick([(a, True) for a, _ in chosen]),
            "B": pick([(a, False) for a, _ in chosen]),
            "C": pick([(b, False) for _, b in chosen]),
        },
        np.array([a for a, _ in chosen]),
        np.array([b for _, b in chosen]),
    )


def means(values: "Tensor", terms: "dict[str, numpy.ndarray]") -> "dict[str, Tensor]":
    """The mean over its three exemplars of each term: (sums, d)."""
    return {name: values[numbers].mean(dim=1) for name, numbers in terms.items()}


def total(of: "dict[str, Tensor]") -> "Tensor":
    return of["A"] - of["B"] + of["C"]


@dataclass(frozen=True)
class Share:
    """A share of the sums, with its 95% interval (Wilson)."""

    share: float
    low: float
    high: float

    @property
    def text(self) -> str:
        return f"{self.share:.1%} ({self.low:.1%} to {self.high:.1%})"


def share_of(right: "numpy.ndarray") -> Share:
    from gan_core.evaluation.statistics.intervals import share_interval

    return Share(float(right.mean()), *share_interval(int(right.sum()), len(right)))


def judged(
    subject: "Subject", pool: Pool, sums: Sums, z: "Tensor", asked: "Tensor | None"
) -> dict[str, Share]:
    """The share of latents (sums, z_dim) that give the class b (`class`), a bright image (`bright`), and a
    bright image of b (`intended`)."""
    seen = see(subject, z, asked)
    of_class, bright = seen.found == sums.second, pool.is_bright(seen.brightness, sums.second)
    return {"class": share_of(of_class), "bright": share_of(bright), "intended": share_of(of_class & bright)}
