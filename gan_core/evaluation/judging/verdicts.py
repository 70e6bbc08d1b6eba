"""The verdicts on a training: what each is called, and what its final evaluation says. Imports no torch.

What is found in a training's records, with the thresholds, is found by `gan_core.training.guards`; a verdict
that the guards cannot give, because it takes the final FID or the length of the run, is given here.
"""

from collections.abc import Mapping
from typing import Any

from gan_core.evaluation.figures import figure_of, is_missing
from gan_core.evaluation.judging.impostors import FIGURE_NAMES as FIGURES_OF_SAMPLES
from gan_core.evaluation.judging.impostors import IMPOSTORS, LITTLE, findings_of_samples, is_judged
from gan_core.store import Manifest

HEALTHY, UNKNOWN = "healthy", "unknown"
# Of samples from elsewhere, whose training nobody watched.
NOTHING_FOUND = "nothing found"
STOPPED = "(stopped)"

# Guards judge so many steps of D, and no fewer.
RECENT_STEPS = 500

FAR_FROM_REAL, LIKE_UNTRAINED = "far_from_real", "no_better_than_untrained"

# What the figure of each verdict is; that of `not_finite` is where it happened, which is said anyway.
FIGURE_NAMES = {
    "discriminator_wins": "The lower of D's two accuracies",
    "vanished_gradients": "Gradient norm of G over its first values",
    "exploded_gradients": "Gradient norm over its first values",
    "mode_collapse": "Diversity",
    FAR_FROM_REAL: "FID over that of the untrained generator",
    "few_classes": "Perplexity of the recognised classes over that of real images",
    "got_worse": "Last FID over the best",
    "stagnation": "Share by which the second half lowered the FID",
    LIKE_UNTRAINED: "FID over that of the untrained generator",
    "too_short_to_judge": "Steps of D",
    **FIGURES_OF_SAMPLES,
}


def in_words(verdict: str) -> str:
    """`mode collapse`."""
    return verdict.replace("_", " ")


def listed(verdicts: list[str], stopped_by: str | None = None) -> str:
    """`healthy`, or the verdicts in words: `mode collapse (stopped), stagnation`."""
    names = [
        f"{in_words(verdict)} {STOPPED}" if verdict == stopped_by else in_words(verdict)
        for verdict in verdicts
    ]
    return ", ".join(names) or HEALTHY


# A generator that has learned has an FID below this share of the untrained one's. On digits a DCGAN has 1.00
# of it after 1 and 20 steps, 0.97 after 100, 0.87 after 200 and 0.11 after 500, and 0.98 after 600 steps of a
# rate of almost nothing; the shortest runs on CIFAR-10 and bedrooms that show anything have 0.14 to 0.33.
CLEARLY_BELOW = 0.5
# And one that has learned something like the images, below this share: see `benchmarks/guards.py`.
FAR_SHARE = 0.2
OTHER_RATES = "other learning rates in optimizers"


def share_of_untrained(evaluation: Manifest) -> float | None:
    """The FID over the untrained generator's; None where one of them is not known."""
    fid, untrained = (figure_of(evaluation, name) for name in ("fid", "fid_untrained"))
    if is_missing(fid) or is_missing(untrained):
        return None
    return fid / untrained if untrained else 1.0


def is_better_than_untrained(evaluation: Manifest) -> bool | None:
    """Whether the FID is clearly below the untrained generator's; None where one of them is not known."""
    share = share_of_untrained(evaluation)
    return None if share is None else share < CLEARLY_BELOW


def verdicts_of_training(trained: Manifest, evaluation: Manifest | None = None) -> str:
    """What the guards called a training, in words; `unknown` where there were none.

    How far from real its samples are is the evaluation's word, where it has one: it measures more of them.
    """
    text = str(trained.figures.get("verdict", UNKNOWN))
    if not _replaces_guard(trained, evaluation):
        return text
    return ", ".join(name for name in text.split(", ") if name != in_words(FAR_FROM_REAL)) or HEALTHY


def findings_of_training(trained: Manifest, evaluation: Manifest | None = None) -> list[dict[str, Any]]:
    """The records behind `verdicts_of_training`."""
    replaced = [FAR_FROM_REAL] if _replaces_guard(trained, evaluation) else []
    return [item for item in trained.details.get("verdicts", []) if item["verdict"] not in replaced]


def _replaces_guard(trained: Manifest, evaluation: Manifest | None) -> bool:
    """Whether the evaluation says how far from real the samples are. What a run was stopped for stays."""
    known = evaluation is not None and share_of_untrained(evaluation) is not None
    return known and trained.details.get("stopped_by") != FAR_FROM_REAL


def steps_of(trained: Manifest) -> int | None:
    """How many steps of D a training had; None where its manifest does not say."""
    seen, batch_size = figure_of(trained, "images_seen"), trained.config.get("batch_size")
    return None if is_missing(seen) or not batch_size else int(seen) // int(batch_size)


def findings_of_evaluation(evaluation: Manifest, trained: Manifest | None = None) -> list[dict[str, Any]]:
    """What its samples are called, by their figures alone: records like those of the guards."""
    return findings_of_samples(
        {name: figure_of(evaluation, name) for name in evaluation.figures},
        samples=int(evaluation.details.get("samples", 0)),
        real_images=int(evaluation.details.get("real_images", 0)),
        images_seen=figure_of(trained, "images_seen"),
    )


def nothing_found(figures: Mapping[str, float | None]) -> str:
    """The verdict where nothing was found: `unknown` where too little was measured to find it."""
    return NOTHING_FOUND if is_judged(figures) else UNKNOWN


def demotion(evaluation: Manifest) -> int:
    """How far samples rank below those that nothing speaks against (0): 1 where they cover too little, 2
    where they are called impostors, or where too little was measured to tell."""
    verdicts = {finding["verdict"] for finding in findings_of_evaluation(evaluation)}
    if verdicts & set(IMPOSTORS) or not is_judged(evaluation.figures):
        return 2
    return int(LITTLE in verdicts)


def demoted_for(evaluation: Manifest) -> str:
    """Why samples rank below others: `repeats images, drops classes`; empty where they do not."""
    found = [finding["verdict"] for finding in findings_of_evaluation(evaluation)]
    words = [in_words(verdict) for verdict in found if verdict in (*IMPOSTORS, LITTLE)]
    return ", ".join(words if is_judged(evaluation.figures) else [*words, "not judged"])


def final_findings(trained: Manifest, evaluation: Manifest | None) -> list[dict[str, Any]]:
    """What the guards could not see, as records like theirs.

    `evaluation` is that of the training's samples; without it the FID is not judged.
    """
    found = findings_of_evaluation(evaluation, trained) if evaluation else []
    found += _distant(trained, evaluation) if evaluation else []
    steps = steps_of(trained)
    healthy = verdicts_of_training(trained, evaluation) == HEALTHY
    if not found and healthy and steps is not None and steps < RECENT_STEPS:
        found.append(
            _finding(
                trained,
                "too_short_to_judge",
                f"the guards judge {RECENT_STEPS} steps of D, and this training had {steps:,}",
                steps,
                "a longer length",
            )
        )
    return found


def _distant(trained: Manifest, evaluation: Manifest) -> list[dict[str, Any]]:
    """How far from real the samples are, by the final FID: one finding or none."""
    share = share_of_untrained(evaluation)
    if share is None or share < FAR_SHARE or not _replaces_guard(trained, evaluation):
        return []
    verdict, least = (FAR_FROM_REAL, FAR_SHARE) if share < CLEARLY_BELOW else (LIKE_UNTRAINED, CLEARLY_BELOW)
    fid, untrained = evaluation.figures["fid"], evaluation.figures["fid_untrained"]
    text = (
        f"the FID of the samples is {fid:.4g}, that of the untrained generator {untrained:.4g}, and one that "
        f"has learned is below {least:.0%} of it"
    )
    return [_finding(trained, verdict, text, share, "a longer length", OTHER_RATES)]


def _finding(trained: Manifest, verdict: str, text: str, figure: float, *keys: str) -> dict[str, Any]:
    seen = trained.figures.get("images_seen")
    return {"verdict": verdict, "text": text, "figure": figure, "images_seen": seen, "keys": list(keys)}
