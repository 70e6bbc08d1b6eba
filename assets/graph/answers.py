"""The asset `answers`."""

from typing import Any

import dagster as dg

from assets.conditions import follow_any_input
from assets.factory import StepRun, declare
from gan_core.store import Manifest


def shown(run: StepRun, manifest: Manifest) -> dict[str, Any]:
    text = run.store.local(manifest, "answers.md").read_text(encoding="utf-8")
    return {"answers": dg.MetadataValue.md(text)}


@declare(
    kinds={"pandas"},
    deps=["trained_gan", "samples", "evaluation"],
    automation=follow_any_input(),
    metadata=shown,
)
def answers(run: StepRun) -> Manifest:
    """What the experiments say to each question of `configs/questions`: tests over the seeds between every
    two configurations, in words, with a table and pictures. Questions without experiments wait."""
    from gan_core.comparing.answers import answer_all

    return answer_all(run.store, run.configs, force=run.force, emit=run.emit)
