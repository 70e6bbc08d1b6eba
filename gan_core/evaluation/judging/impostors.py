"""What the figures of an evaluation say of a set of samples: whether it is what a good score takes it for.

A Fréchet distance is low for ten images repeated, and lower for training images copied. Each such thing has a
figure of its own, and here a name. Imports no torch.
"""

from collections.abc import Mapping
from typing import Any

from gan_core.evaluation.figures import is_missing
from gan_core.evaluation.metrics.neighbourhoods import MOST, K, expected_coverage

REPEATS, COPIES, DROPS = "repeats_images", "copies_training_images", "drops_classes"
LITTLE, UNLIKE = "covers_too_little", "unlike_the_data"
# A row with one of these ranks below all rows without: its distance is low for another reason than quality.
# One that covers too little, which a weak generator may do too, ranks between them and the others.
IMPOSTORS = (REPEATS, COPIES, DROPS)

# What the figure of each verdict is.
FIGURE_NAMES = {
    REPEATS: "Share of distinct samples",
    COPIES: "Copying",
    DROPS: "Coverage of the least covered class, relative to that of the same distribution",
    LITTLE: "Coverage, relative to that of the same distribution",
    UNLIKE: "Precision",
}

# Honest GANs have 98 to 100% distinct samples (digits, and CIFAR-10 after two epochs), test images 98 to 99%;
# fifty images per class have 25%.
LEAST_DISTINCT = 0.5
# Test images have 0%, GANs less than 2%; copies that are shifted by a pixel 98% (digits). Where the test
# split is too small to tell copies from blur, test images have 5% and blurred ones up to 13%.
MOST_COPYING = 0.15
# Coverage within classes, relative to that of the same distribution. Real images of some classes only reach
# 0 to 0.16 of it in the class that they reach least, and 1.2 to 1.8 in the one that they reach most; test
# images have 0.77 and 1.1. GANs of few epochs on CIFAR-10 have 0.02 to 0.03 and 0.37 to 0.52: what they draw
# is like no class, and which one it is taken for says nothing.
DROPPED_CLASS, REACHED_CLASS = 0.25, 0.8
# And the class is not even drawn: of dropped classes the classifier takes 0 (digits) to 0.17 (CIFAR-10,
# right on 87%) of their share for them; the demo's GANs have 0.43 and more, though their worst class is
# reached as badly.
LEAST_CLASS_SHARE = 0.25
# Of fewer samples nobody can say which classes are missing: of 50 test images each class has five.
LEAST_SAMPLES = 100
# GANs of two epochs on CIFAR-10, whose images are clouds of colour, have 0.12 to 0.15, the demo's on digits
# 0.3 and more; one image per class has 0.04 on digits, 0.01 on CIFAR-10.
LEAST_COVERAGE = 0.2
# Test images have 0.87 and more, the demo's GANs 0.44; training images that are darker than they were 0.03.
LEAST_RECALL = 0.1
# Noise has 0, the weakest GAN on digits 0.23.
LEAST_PRECISION = 0.01

# What a judgement stands on. Copying needs a test split as well, and is judged where there is one.
JUDGED_BY = ("distinct", "coverage", "recall")

Finding = dict[str, Any]


def findings_of_samples(
    figures: Mapping[str, float | None], *, samples: int, real_images: int, images_seen: int | None = None
) -> list[Finding]:
    """What is wrong with `samples` generated images that were measured against `real_images`: records with
    verdict, text, figure, images_seen, keys, as those of a training; empty where nothing is.

    `figures` are those of one evaluation, by name; what is missing or None is not judged.
    """
    known = {name: value for name, value in figures.items() if not is_missing(value)}
    sizes = min(samples, MOST), min(real_images, MOST)
    found = [
        _repeats(known, sizes[0]),
        _copies(known),
        _drops(known, *sizes),
        _covers_little(known, *sizes),
        _unlike(known),
    ]
    return [{**finding, "images_seen": images_seen} for finding in found if finding]


def is_judged(figures: Mapping[str, float | None]) -> bool:
    """Whether enough was measured to call samples what they are."""
    return not any(is_missing(figures.get(name)) for name in JUDGED_BY)


def is_impostor(findings: list[Finding]) -> bool:
    """Whether the row of these findings ranks below all rows without such."""
    return any(finding["verdict"] in IMPOSTORS for finding in findings)


def _repeats(figures: dict[str, float], compared: int) -> Finding | None:
    distinct = figures.get("distinct")
    if distinct is None or distinct >= LEAST_DISTINCT * compared:
        return None
    return _finding(
        REPEATS,
        f"of {compared:,} samples {distinct:,.0f} are no near-duplicate of an earlier one, and those of a "
        f"generator that varies are more than {LEAST_DISTINCT:.0%}",
        distinct / compared,
        "objective: {name: wasserstein, gradient_penalty: 10} with n_critic: 5",
        "a larger latent.size",
    )


def _copies(figures: dict[str, float]) -> Finding | None:
    # Few samples have a large share by chance: what counts is the lower end of its interval.
    copying = figures.get("copying")
    if copying is None or figures.get("copying_low", copying) <= MOST_COPYING:
        return None
    return _finding(
        COPIES,
        f"{copying:.1%} of the samples are near a training image and nearer than chance has it to those that "
        f"were trained on, and of images that are no copies at most {MOST_COPYING:.0%}",
        copying,
        "more training images",
        "objective.differentiable_augmentation: [color, translation, cutout]",
        "a shorter length",
    )


def _drops(figures: dict[str, float], samples: int, real_images: int) -> Finding | None:
    least, most = (figures.get(f"{which}_class_coverage") for which in ("least", "most"))
    if least is None or most is None or real_images <= K or samples < LEAST_SAMPLES:
        return None
    expected = expected_coverage(real_images, samples)
    reached = least >= DROPPED_CLASS * expected or most < REACHED_CLASS * expected
    if reached or figures.get("least_class_share", 0.0) >= LEAST_CLASS_SHARE:
        return None
    return _finding(
        DROPS,
        f"of one class the samples reach {most:.1%} of the training images, and of another {least:.1%}",
        least / expected,
        "conditioning: {name: acgan}",
        "objective: {name: wasserstein, gradient_penalty: 10} with n_critic: 5",
    )


def _covers_little(figures: dict[str, float], samples: int, real_images: int) -> Finding | None:
    coverage, recall = figures.get("coverage"), figures.get("recall")
    if coverage is None or real_images <= K:
        return None
    expected = expected_coverage(real_images, samples)
    if coverage >= LEAST_COVERAGE * expected and (recall is None or recall >= LEAST_RECALL):
        return None
    of_recall = (
        "" if recall is None else f"; {recall:.1%} of the training images lie among the samples (recall)"
    )
    return _finding(
        LITTLE,
        f"the samples reach {coverage:.1%} of the training images, and so many of the same distribution "
        f"{expected:.1%} (coverage){of_recall}",
        coverage / expected,
        "a longer length",
        "a larger architecture.width",
    )


def _unlike(figures: dict[str, float]) -> Finding | None:
    precision = figures.get("precision")
    if precision is None or precision >= LEAST_PRECISION:
        return None
    return _finding(
        UNLIKE,
        f"{precision:.1%} of the samples lie among the training images, and of noise none",
        precision,
        "a longer length",
        "other learning rates in optimizers",
    )


def _finding(verdict: str, text: str, figure: float, *keys: str) -> Finding:
    return {"verdict": verdict, "text": text, "figure": figure, "keys": list(keys)}
