"""G draws few of the classes."""

from gan_core.config import Experiment
from gan_core.training.guards.base import NO_LONGER_FALLING, Finding, Records, advice, guard, may_mix

# The perplexity of the classes that are recognised among the samples, over that among real images.
FEW_CLASSES = 0.5


def _has_no_classes(experiment: Experiment, labelled: bool) -> str | None:
    if labelled:
        return None
    return (
        f"dataset `{experiment.dataset}` has no classes that could be few: set its `classes`, or remove it "
        "(`mode_collapse` is found without)"
    )


@guard("few_classes", position=60, evaluations=NO_LONGER_FALLING, silent=_has_no_classes)
def few_classes(records: Records) -> Finding | None:
    """By the last evaluation; of data without classes there is nothing to say. A run that goes on is judged
    only where its FID no longer falls."""
    experiment, scored = records.experiment, records.scored
    real = scored[-1].get("real_class_perplexity") if scored else None
    if not real or records.may_recover:
        return None
    drawn, seen = scored[-1]["class_perplexity"], scored[-1]["images_seen"]
    figure = drawn / real
    if figure >= FEW_CLASSES:
        return None
    return Finding(
        "few_classes",
        f"the classes that are recognised among the samples are as varied as {drawn:.3g} equally frequent "
        f"ones, and those among real images as {real:.3g}: {figure:.0%} of it; of the in-training FID: "
        f"{records.trend}",
        figure,
        seen,
        advice(
            (not experiment.conditional, "conditioning: {name: acgan}"),
            (
                "gradient_penalty" not in experiment.objective.penalties,
                "objective: {name: wasserstein, gradient_penalty: 10} with n_critic: 5",
            ),
            (may_mix(experiment), "architecture.minibatch_discrimination: 100"),
            (experiment.latent.size < 16, "a larger latent.size"),
            (records.fid_falls is True, "a longer length"),
        ),
    )
