"""The Fréchet distance of features: the FID (Heusel et al. 2017) where they are Inception's."""

from gan_core.evaluation.figures import Figure
from gan_core.evaluation.metrics.base import MOMENTS, Comparison, Figures, Metric, add_metric


def compute(comparison: Comparison) -> Figures:
    from gan_core.evaluation.statistics import frechet_distance

    return {"fid": frechet_distance(comparison.real[MOMENTS], comparison.generated[MOMENTS])}


add_metric(
    "fid",
    Metric(
        figures={
            "fid": Figure(
                "FID",
                "lower",
                "Fréchet distance between the features of generated images and of the training images "
                "(Heusel et al. 2017). Lower is better; 0 would be the same distribution.",
            )
        },
        compute=compute,
        generated=(MOMENTS,),
        real=(MOMENTS,),
        variants=("untrained", "test", "floor"),
        explanations={
            "test": "The same distance against images that were never trained on. Lower is better; much "
            "worse than the FID means that the generator copies its training images.",
            "floor": "The FID that real images reach against other real images. A generator cannot be "
            "expected to go below this floor.",
        },
        columns=("untrained", "test"),
        position=10,
    ),
)
