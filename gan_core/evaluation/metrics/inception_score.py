"""The Inception Score (Salimans et al. 2016), streamed."""

from typing import TYPE_CHECKING

from gan_core.errors import EvaluationError
from gan_core.evaluation.figures import Figure
from gan_core.evaluation.metrics.base import (
    Batch,
    Comparison,
    Figures,
    Gatherer,
    Interval,
    Metric,
    Statistic,
    add_metric,
)

if TYPE_CHECKING:
    import numpy
    import torch

# The settings of torch-fidelity and of the paper.
RNG_SEED = 2020
SPLITS = 10


class InceptionScore(Gatherer):
    """exp of the mean KL(p(y|x) || p(y)) of each split: the scores (splits,) in float64.

    Agrees with torch-fidelity's `isc_features_to_metric`, which needs the logits of all images at once: here
    only a sum of p and of p log p is kept for each split, with KL = mean(sum p log p) - sum q log q where
    q = mean(p). Image i belongs to the split in which its shuffled position lies.
    """

    def __init__(self, count: int, *, splits: int = SPLITS, shuffle: bool = True, seed: int = RNG_SEED):
        import numpy

        if count < splits:
            raise EvaluationError(
                f"the Inception Score in {splits} splits needs at least {splits} images, but there are "
                f"{count}: evaluate more images"
            )
        order = numpy.random.RandomState(seed).permutation(count) if shuffle else numpy.arange(count)
        self.split_of = numpy.empty(count, dtype=numpy.int64)
        for split in range(splits):
            self.split_of[order[split * count // splits : (split + 1) * count // splits]] = split
        self.sizes = numpy.bincount(self.split_of, minlength=splits)
        self.seen = 0
        self.probability_sums: torch.Tensor | None = None
        self.negative_entropy_sums: torch.Tensor | None = None

    def update(self, batch: Batch) -> None:
        """Add the logits (B, K) of the next B images."""
        import torch

        log_p = batch.logits.double().log_softmax(dim=1)
        p = log_p.exp()
        if self.probability_sums is None:
            self.probability_sums = p.new_zeros(len(self.sizes), p.shape[1])
            self.negative_entropy_sums = p.new_zeros(len(self.sizes))
        split = torch.from_numpy(self.split_of[self.seen : self.seen + len(p)]).to(p.device)
        self.probability_sums.index_add_(0, split, p)
        self.negative_entropy_sums.index_add_(0, split, (p * log_p).sum(dim=1))
        self.seen += len(p)

    def finish(self) -> "numpy.ndarray":
        import torch

        sizes = torch.from_numpy(self.sizes).double()
        q = self.probability_sums.cpu() / sizes[:, None]
        kl = self.negative_entropy_sums.cpu() / sizes - torch.xlogy(q, q).sum(dim=1)
        return kl.exp().numpy()


SCORE = Statistic("inception_score", lambda count, seed: InceptionScore(count), needs="classes")


def compute(comparison: Comparison) -> Figures:
    scores = comparison.generated[SCORE]
    return {"inception_score": float(scores.mean()), "inception_score_std": float(scores.std())}


def interval(comparison: Comparison) -> Interval | None:
    """The parts are of other samples each, and so independent: Student's t of nine degrees of freedom."""
    from gan_core.evaluation.statistics.intervals import mean_interval

    return mean_interval(comparison.generated[SCORE])


add_metric(
    "is",
    Metric(
        figures={
            "inception_score": Figure(
                "Inception Score",
                "higher",
                "High when each image clearly shows one class and all classes occur equally often "
                "(Salimans et al. 2016); ± is the spread over ten parts of the samples. Higher is better. It "
                "never sees a real image: one image of each class, repeated, scores best.",
                spread="inception_score_std",
            ),
            "inception_score_std": Figure(
                "Inception Score, spread of parts",
                None,
                "Standard deviation of the Inception Score over ten parts of the samples.",
            ),
        },
        compute=compute,
        in_overview=True,
        generated=(SCORE,),
        interval=interval,
        least_images=SPLITS,
        version="2",
        question="quality",
        position=30,
    ),
)
