"""What goes wrong with a training, found in its records and said in plain words.

A guard is a function of the records alone, so that a run that was resumed gets the verdicts of one that was
not. Its thresholds stand beside it. A new guard is a file here, its name in
`gan_core.config.experiments.Verdict`, and what its figure is in `gan_core.evaluation.judging.verdicts`.
"""

from gan_core.config import Experiment
from gan_core.evaluation.judging.verdicts import listed
from gan_core.registry import import_modules, sort_by_position
from gan_core.training.guards.base import GUARDS, Finding, Records, Row

__all__ = ["GRACE", "GUARDS", "Finding", "Records", "never_found", "run_guards", "verdict_names"]

import_modules(__name__, __path__)
sort_by_position(GUARDS)

# The share of a run in which nothing is judged: an untrained generator looks like a collapsed one.
GRACE = 0.1


def run_guards(
    experiment: Experiment, history: list[Row], evaluations: list[Row], *, ended: bool = True
) -> list[Finding]:
    """What the records say is wrong at their end, the worst first; empty where nothing is.

    `ended`: whether they are those of a whole run. What a run may still make up for is said of none that goes
    on.
    """
    records = Records(experiment, history, evaluations, ended)
    return [finding for guard in GUARDS.values() if (finding := guard.look(records))]


def never_found(experiment: Experiment, *, labelled: bool, total_images: int | None) -> dict[str, str]:
    """The verdicts of `stop_on` for which no run can be stopped, with what is wrong and what to do about it.

    `labelled`: whether the dataset has classes; `total_images` is the length of the run, None where it is not
    known yet.
    """
    reasons = {
        name: GUARDS[name].why_never(experiment, labelled=labelled, total_images=total_images)
        for name in experiment.stop_on
    }
    return {
        name: f"no run can be stopped for `{name}`: {reason}" for name, reason in reasons.items() if reason
    }


def verdict_names(findings: list[Finding], stopped_by: Finding | None = None) -> str:
    """`healthy`, or the verdicts in words: `mode collapse (stopped), stagnation`."""
    return listed([finding.verdict for finding in findings], stopped_by and stopped_by.verdict)
