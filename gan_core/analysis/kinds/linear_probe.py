"""What D has learned of the images' classes, which it was never told: a linear classifier on its features.

Radford et al. 2016, section 5.1: the features of all of D's convolutional layers, each max-pooled to a 4x4
grid, flattened and joined, under a regularised linear classifier. Alain and Bengio 2016 (arXiv 1610.01644)
for the name. The same of untrained discriminators says what the architecture alone knows: random filters are
strong (Jarrett et al. 2009), and a probe without them beside it proves nothing.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from gan_core.analysis.base import Analysis, Findings, add_analysis
from gan_core.evaluation.figures import Figure, percent

if TYPE_CHECKING:
    import numpy
    from torch import Tensor, nn

    from gan_core.analysis.subject import Subject
    from gan_core.models.networks import Discriminator

GRID = 4
LEAST_IMAGES, MOST_IMAGES = 20, 5_000
UNTRAINED = 3
# Of the train images, for the choice of the regularisation.
HELD_OUT = 0.2
STRENGTHS = (1.0, 10.0, 100.0)
# Ten times as small a tolerance recognises the same test images.
TOLERANCE, MOST_ITERATIONS = 1e-6, 5_000
# With so many times as many features as images, the images' own space is worth its decomposition.
MANY_TIMES = 4
RESAMPLES = 2_000
# Labels of each class in the second probe, and how often they are drawn.
FEW, DRAWS = 10, 10


def representations(network: "Discriminator", images: "Tensor") -> "list[Tensor]":
    """Images (B, C, S, S) in the network's range -> what each layer makes of them, from the first to the
    last.

    A layer is a convolution, a dense layer or a residual block, with the norm and the activation that follow:
    maps (B, channels, side, side), or (B, units). What mixes the images of a batch or pools them to one
    number is left out, and in evaluation mode no activation is dropped."""
    from torch import nn

    from gan_core.models.layers import MinibatchStddev
    from gan_core.models.residual_blocks import GlobalPooling

    found, x = [], images
    for module in network.layers:
        begins = any(isinstance(part, nn.Conv2d | nn.Linear) for part in module.modules())
        x = module(x)
        if begins:
            found.append(x)
        elif found and not isinstance(module, nn.Flatten | GlobalPooling | MinibatchStddev):
            found[-1] = x
    return found


def pooled(layers: "list[Tensor]", grid: int = GRID) -> "Tensor":
    """What `representations` gives -> (B, features): maps larger than grid x grid max-pooled to it, all
    flat."""
    import torch
    from torch.nn.functional import adaptive_max_pool2d

    flat = [
        adaptive_max_pool2d(maps, grid) if maps.dim() == 4 and maps.shape[-1] > grid else maps
        for maps in layers
    ]
    return torch.cat([maps.flatten(1) for maps in flat], dim=1)


@dataclass(frozen=True)
class Probe:
    """The labels (n,) of the train and of the test images, the numbers of a few of each class, by draws, and
    the inverse regularisation of every classifier."""

    labels: "numpy.ndarray"
    truth: "numpy.ndarray"
    few: "list[numpy.ndarray]"
    strength: float

    def measure(self, train: "numpy.ndarray", test: "numpy.ndarray") -> "numpy.ndarray":
        """How often each test image is recognised, (2, n): by all labels, and by a few of each class. `train`
        and `test` are features (n, d)."""
        import numpy as np

        train, test = scaled(train, test)

        def right(some: Any) -> "numpy.ndarray":
            return fitted(self.strength, train[some], self.labels[some]).predict(test) == self.truth

        return np.stack([right(slice(None)), np.mean([right(some) for some in self.few], axis=0)])


def look(subject: "Subject") -> Findings:
    import numpy as np
    from sklearn.exceptions import ConvergenceWarning

    train, test = subject.images("train", MOST_IMAGES), subject.images("test", MOST_IMAGES)
    if len(np.unique(train.labels)) < 2:
        return _nothing("the train images that were looked at are of one class")

    def of(seed: int | None = None) -> "tuple[numpy.ndarray, numpy.ndarray]":
        network = subject.discriminator(seed)
        return tuple(features_of(network, split.images, subject) for split in (train, test))

    # Made anew each time that they are needed: those of all networks at once can be gigabytes.
    sets = {
        "trained D": of,
        **{f"untrained D {seed}": partial(of, seed) for seed in range(1, UNTRAINED + 1)},
        "pixels": lambda: tuple(split.images.flatten(1).numpy() for split in (train, test)),
    }
    if not all(np.isfinite(part).all() for part in of()):
        return _nothing("the trained D's features are not finite")
    try:
        return _measured(subject, train.labels.numpy(), test.labels.numpy(), sets)
    except ConvergenceWarning:
        return _nothing(f"a linear classifier did not converge in {MOST_ITERATIONS:,} iterations")


def _measured(
    subject: "Subject",
    labels: "numpy.ndarray",
    truth: "numpy.ndarray",
    sets: "dict[str, Callable[[], tuple[numpy.ndarray, numpy.ndarray]]]",
) -> Findings:
    """The findings of feature sets, by name: features (n, d) of the train and of the test images."""
    import numpy as np

    scores = []
    for name, made in sets.items():
        subject.emit(f"linear probe: strengths of regularisation, {name}")
        scores.append(held_out_scores(scaled(*made())[0], labels, subject.seed))
    strength = STRENGTHS[int(np.argmax(np.mean(scores, axis=0)))]
    probe = Probe(labels, truth, [few_of_each(labels, FEW, seed) for seed in range(DRAWS)], strength)
    right, sizes = {}, {}
    for name, made in sets.items():
        subject.emit(f"linear probe: {name}")
        features = made()
        right[name], sizes[name] = probe.measure(*features), features[0].shape[1]
    trained, *untrained, pixels = right.values()
    usual = np.mean(untrained, axis=0)
    figures = _figures(trained, usual, pixels, subject.seed)
    return Findings(
        figures=figures,
        protocol=f"{len(labels):,} of {subject.count('train'):,} train and {len(truth):,} of "
        f"{subject.count('test'):,} test images; {sizes['trained D']:,} features: all layers max-pooled to "
        f"{GRID}x{GRID}, standardised; logistic regression, C {strength:g} for all, which recognises most "
        f"of a fifth of the train images; few: {FEW} of each class, {DRAWS} draws",
        table=_table(
            {"trained D": trained, f"{UNTRAINED} untrained Ds, mean": usual, "pixels": pixels}, figures
        ),
        choices={
            "strength": strength,
            "held_out": {
                name: dict(zip(map(str, STRENGTHS), of, strict=True))
                for name, of in zip(sets, scores, strict=True)
            },
            "untrained": [[float(share) for share in one.mean(axis=1)] for one in untrained],
        },
    )


def _table(rows: "dict[str, numpy.ndarray]", figures: dict[str, float]) -> list[dict[str, str]]:
    """The accuracies of what `Probe.measure` gives, and below them the gain with its interval."""
    headings = {"": "all labels", "_few": f"{FEW} labels a class"}

    def gain(ending: str) -> str:
        low, high = (100 * figures[f"probe_gain{ending}_{end}"] for end in ("low", "high"))
        return f"{signed_points(figures[f'probe_gain{ending}'])} ({low:+.1f} to {high:+.1f})"

    accuracies = [
        {
            "features": name,
            **{
                heading: f"{share.mean():.1%}"
                for heading, share in zip(headings.values(), shares, strict=True)
            },
        }
        for name, shares in rows.items()
    ]
    return [
        *accuracies,
        {
            "features": "gain of training, 95% interval",
            **{heading: gain(ending) for ending, heading in headings.items()},
        },
    ]


def _nothing(why: str) -> Findings:
    return Findings(figures=dict.fromkeys(FIGURES), protocol=f"nothing was measured: {why}")


def _figures(
    trained: "numpy.ndarray", untrained: "numpy.ndarray", pixels: "numpy.ndarray", seed: int
) -> dict[str, float | None]:
    """The figures of what `Probe.measure` gives for the trained D, the mean of the untrained ones, and
    pixels."""
    from gan_core.evaluation.statistics.intervals import share_interval

    low, high = share_interval(int(trained[0].sum()), trained.shape[1])
    figures = {"probe_low": low, "probe_high": high}
    for row, ending in enumerate(("", "_few")):
        gain = trained[row] - untrained[row]
        gain_low, gain_high = bootstrap_interval(gain, seed)
        figures |= {
            f"probe{ending}": float(trained[row].mean()),
            f"probe_untrained{ending}": float(untrained[row].mean()),
            f"probe_pixels{ending}": float(pixels[row].mean()),
            f"probe_gain{ending}": float(gain.mean()),
            f"probe_gain{ending}_low": gain_low,
            f"probe_gain{ending}_high": gain_high,
        }
    return figures


def features_of(network: "nn.Module", images: "Tensor", subject: "Subject") -> "numpy.ndarray":
    """uint8 (n, C, S, S) -> float32 (n, features)."""
    import torch

    from gan_core.analysis.subject import BATCH_SIZE
    from gan_core.images import to_network_range

    device, value_range = next(network.parameters()).device, subject.experiment.output.image_range
    with torch.inference_mode():
        parts = [
            pooled(representations(network, to_network_range(some.to(device), value_range))).float().cpu()
            for some in images.split(BATCH_SIZE)
        ]
    return torch.cat(parts).numpy()


def scaled(train: "numpy.ndarray", test: "numpy.ndarray") -> "tuple[numpy.ndarray, numpy.ndarray]":
    """Features (n, d) of both splits, standardised by those of the first and divided by the root of d, so
    that one strength of regularisation means the same for any number of them."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train)
    return scaler.transform(train) / train.shape[1] ** 0.5, scaler.transform(test) / train.shape[1] ** 0.5


def few_of_each(labels: "numpy.ndarray", count: int, seed: int) -> "numpy.ndarray":
    """The numbers of at most `count` images of each class, drawn by the seed."""
    import numpy as np

    numbers = np.random.default_rng(seed)
    of_class = (numbers.permutation(np.flatnonzero(labels == label))[:count] for label in np.unique(labels))
    return np.concatenate(list(of_class))


def held_out_scores(features: "numpy.ndarray", labels: "numpy.ndarray", seed: int) -> list[float]:
    """The share of a held-out fifth that each of `STRENGTHS` recognises."""
    from sklearn.model_selection import train_test_split

    part, held_out = train_test_split(range(len(labels)), test_size=HELD_OUT, random_state=seed)
    return [
        float(fitted(strength, features[part], labels[part]).score(features[held_out], labels[held_out]))
        for strength in STRENGTHS
    ]


def fitted(strength: float, features: "numpy.ndarray", labels: "numpy.ndarray"):
    """A multinomial logistic regression of features (n, d); `strength` is the inverse of its L2
    regularisation. Raises `ConvergenceWarning` where it is not at its optimum in `MOST_ITERATIONS`.

    The optimum is a sum of the centred images, so that few images are fitted in the space that they span.
    One thread: beside other work, two wait for each other longer than one takes.
    """
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from threadpoolctl import threadpool_limits

    regression = LogisticRegression(C=strength, max_iter=MOST_ITERATIONS, tol=TOLERANCE)
    count, dimensions = features.shape
    spanned = [PCA(svd_solver="full")] if count * MANY_TIMES < dimensions else []
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("error", ConvergenceWarning)
        return make_pipeline(*spanned, regression).fit(features, labels)


def bootstrap_interval(values: "numpy.ndarray", seed: int) -> tuple[float, float]:
    """The 95% interval of a mean of values (n,), by the percentiles of resampled means (Efron 1979)."""
    import numpy as np

    numbers = np.random.default_rng(seed)
    means = [values[numbers.integers(0, len(values), len(values))].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _lacks(subject: "Subject") -> str | None:
    if len(subject.classes) < 2:
        return "the dataset has no classes: set its `classes`"
    if not subject.count("test"):
        return "the dataset has no test split: set its `test_fraction`"
    few = subject.count("train") < LEAST_IMAGES
    return f"the dataset has fewer than {LEAST_IMAGES} train images" if few else None


def signed_points(value: float) -> str:
    """A difference of shares: `+1.3 points`."""
    return f"{100 * value:+.1f} points"


def _few(ending: str) -> str:
    return f" from {FEW} labels a class" if ending else ""


def _accuracy(ending: str) -> dict[str, Figure]:
    words = _few(ending)
    return {
        f"probe_untrained{ending}": Figure(
            f"Linear probe, untrained{words}",
            None,
            f"The mean test accuracy on {UNTRAINED} untrained discriminators{words}.",
            percent,
        ),
        f"probe_pixels{ending}": Figure(
            f"Linear probe, pixels{words}",
            None,
            f"The test accuracy on the pixels themselves{words}.",
            percent,
        ),
        f"probe_gain{ending}": Figure(
            f"Linear probe, gain{words}",
            "higher",
            f"What training has added{words}: the trained D's accuracy less the untrained ones'.",
            signed_points,
        ),
        **{
            f"probe_gain{ending}_{end}": Figure(
                f"Linear probe, gain{words}, {word} end",
                None,
                f"The {word} end of its 95% interval over other test images.",
                signed_points,
            )
            for end, word in (("low", "lower"), ("high", "upper"))
        },
    }


FIGURES = {
    "probe": Figure(
        "Linear probe", "higher", "Test accuracy of a linear classifier on D's features.", percent
    ),
    "probe_low": Figure(
        "Linear probe, lower end", None, "The lower end of its 95% interval (Wilson).", percent
    ),
    "probe_high": Figure(
        "Linear probe, upper end", None, "The upper end of its 95% interval (Wilson).", percent
    ),
    **_accuracy(""),
    "probe_few": Figure(
        f"Linear probe{_few('few')}",
        "higher",
        f"The same of a classifier that is shown {FEW} images of each class only.",
        percent,
    ),
    **_accuracy("_few"),
}

add_analysis(
    "linear_probe",
    Analysis(
        label="Linear probe",
        question="What has the discriminator learned of the classes, though nobody told it any (ACGAN's "
        "apart)? A linear classifier on its features, beside the same on discriminators that were not "
        "trained and on plain pixels. Only what lies above the untrained ones was learned; an interval of "
        "the gain that holds 0 says that no difference can be seen.",
        figures=FIGURES,
        look=look,
        lacks=_lacks,
        version="2",
        position=10,
    ),
)
