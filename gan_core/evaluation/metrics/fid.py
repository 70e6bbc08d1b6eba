"""The Fréchet distance of features: the FID (Heusel et al. 2017) where they are Inception's."""

from gan_core.evaluation.figures import Figure
from gan_core.evaluation.metrics.base import (
    FEATURES,
    MOMENTS,
    Comparison,
    Figures,
    Interval,
    Metric,
    add_metric,
)


def compute(comparison: Comparison) -> Figures:
    from gan_core.evaluation.statistics.moments import frechet_distance

    real, generated = comparison.real[MOMENTS], comparison.generated[MOMENTS]
    return {"fid": comparison.once("fid", lambda: frechet_distance(real, generated))}


def interval(comparison: Comparison) -> Interval | None:
    from gan_core.evaluation.statistics.intervals import frechet_interval

    generated = comparison.generated
    value = compute(comparison)["fid"]
    return frechet_interval(value, comparison.real[MOMENTS], generated[MOMENTS], generated[FEATURES].numpy())


add_metric(
    "fid",
    Metric(
        figures={
            "fid": Figure(
                "FID",
                "lower",
                "Fréchet distance between the features of generated images and of the training images "
                "(Heusel et al. 2017). Lower is better; 0 would be the same distribution. Few samples raise "
                "it, and it is blind to repetition: a few training images, repeated, have a low one, too. "
                "Read recall and coverage beside it.",
            )
        },
        compute=compute,
        in_overview=True,
        generated=(MOMENTS, FEATURES),
        real=(MOMENTS,),
        variants=("untrained", "test", "floor"),
        explanations={
            "test": "The same distance against images that were never trained on. Lower is better. It is "
            "above the FID for every generator, for an honest one as well as for one that copies: the gap "
            "tells nothing of copying.",
            "floor": "The FID of as many real images as there are samples, which were never trained on where "
            "there is a test split: what a perfect generator would have. A lower FID than this is no merit: "
            "images that were copied from the training set have it.",
        },
        columns=("untrained",),
        interval=interval,
        version="2",
        position=10,
    ),
)
