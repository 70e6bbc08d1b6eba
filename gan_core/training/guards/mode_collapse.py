"""G draws few different images."""

from gan_core.training.guards.base import Finding, Records, advice, guard, may_mix

# Samples this much closer to each other than real images are repeat themselves; an untrained G does so too,
# so it takes two evaluations.
COLLAPSED_DIVERSITY = 0.3
COLLAPSED_EVALUATIONS = 2


@guard("mode_collapse", position=40, evaluations=COLLAPSED_EVALUATIONS)
def mode_collapse(records: Records) -> Finding | None:
    """A run that goes on is judged only where its FID no longer falls: many begin so, and come out of it."""
    experiment = records.experiment
    if records.may_recover:
        return None
    recent = [row["diversity"] for row in records.evaluations[-COLLAPSED_EVALUATIONS:]]
    if len(recent) < COLLAPSED_EVALUATIONS or max(recent) >= COLLAPSED_DIVERSITY:
        return None
    figure = recent[-1]
    return Finding(
        "mode_collapse",
        f"the samples are {figure:.0%} as far from their nearest neighbour as real images are: G draws few "
        "different images",
        figure,
        records.evaluations[-1]["images_seen"],
        advice(
            (
                "gradient_penalty" not in experiment.objective.penalties,
                "objective: {name: wasserstein, gradient_penalty: 10} with n_critic: 5",
            ),
            (may_mix(experiment), "architecture.minibatch_discrimination: 100"),
            (True, "a lower optimizers.generator.learning_rate"),
            (not experiment.objective.instance_noise, "objective.instance_noise: 0.1"),
        ),
    )
