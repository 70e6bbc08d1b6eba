"""The asset `analysis`."""

from typing import Any

import dagster as dg

from assets.conditions import follow_inputs
from assets.factory import StepRun, declare
from assets.recording import stored_picture
from gan_core import steps
from gan_core.analysis import ANALYSES
from gan_core.evaluation.figures import escape_markdown
from gan_core.store import Manifest


def shown(run: StepRun, manifest: Manifest) -> dict[str, Any]:
    """Of each analysis its question, its table and its PNGs; an animation stands in the store."""
    metadata: dict[str, Any] = {}
    for name, found in manifest.details["analyses"].items():
        metadata[name] = dg.MetadataValue.md(_in_words(name, found))
        for file in found["pictures"]:
            if file.endswith(".png"):
                metadata[file.removesuffix(".png")] = stored_picture(run.store, manifest, file)
    if manifest.details["left_out"]:
        metadata["left_out"] = dg.MetadataValue.json(manifest.details["left_out"])
    return metadata


def _in_words(name: str, found: dict[str, Any]) -> str:
    parts = [ANALYSES[name].question if name in ANALYSES else "", escape_markdown(found["protocol"])]
    if rows := found["table"]:
        lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
        cells = ([escape_markdown("" if cell is None else str(cell)) for cell in line] for line in lines)
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in cells))
    return "\n\n".join(part for part in parts if part)


@declare(
    partitions="experiments",
    kinds={"pytorch", "numpy"},
    deps=["trained_gan", "image_shards", "classifier"],
    pool="gpu",
    automation=follow_inputs(),
    step=lambda run: steps.analysis(
        run.experiment,
        run.dataset,
        run.input("trained_gan"),
        run.input("image_shards"),
        run.input("classifier"),
    ),
    metadata=shown,
)
def analysis(run: StepRun) -> Manifest:
    """A look at the trained GAN beside its figures: a linear probe of the discriminator, ways through latent
    space, sums of latents, classes, and the first epoch beside the end. Nothing else stands on it."""
    from gan_core.analysis.analyse import analyse_experiment

    return analyse_experiment(
        run.store,
        run.experiment,
        run.dataset,
        run.input("trained_gan"),
        run.input("image_shards"),
        run.input("classifier"),
        force=run.force,
        emit=run.emit,
    )
