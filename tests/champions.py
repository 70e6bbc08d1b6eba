"""Three small experiments up to their evaluation, and leaderboards on which they have the figures that a test
gives them: what they really learn in a second is no matter for a champion."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from gan_core.bundles import export
from gan_core.leaderboard import leaderboard
from gan_core.store import Manifest
from tests.few_images import train_briefly
from tests.small_store import DATASET as FEW_DIGITS
from tests.small_store import Project, written

NAMES = ("plain", "seed", "wide")
DATASET = "few-digits"


def make_contenders(folder: Path) -> None:
    from gan_core.data.raw import collect_raw_images
    from gan_core.data.shards import write_image_shards
    from gan_core.evaluation.classifier import train_classifier
    from gan_core.evaluation.evaluate import evaluate_samples
    from gan_core.evaluation.reference import compute_reference_statistics
    from gan_core.sampling import draw_samples

    project = written(folder)
    project.write({**FEW_DIGITS, "evaluation": {"samples": 60, "metrics": ["fid", "kid"]}})
    store, configs = project.store, project.configs
    dataset = configs.datasets[DATASET]
    with pytest.MonkeyPatch.context() as patch:
        train_briefly(patch)
        shards = write_image_shards(store, dataset, collect_raw_images(store, dataset))
        classifier = train_classifier(store, dataset, shards)
        reference = compute_reference_statistics(store, dataset, shards, classifier)
        for name in NAMES:
            project.train(name)
            trained = store.require("trained_gan", name)
            samples = draw_samples(store, configs.experiments[name], dataset, trained, shards)
            evaluate_samples(store, dataset, samples, reference, classifier)


def without_onnx(patch: pytest.MonkeyPatch) -> None:
    """A bundle in a moment, without its ONNX file."""
    told = {"opset": 20, "inputs": ["z"], "image_range": [-1, 1], "compared": 1, "largest_difference": 0.0}
    patch.setattr(export, "write_onnx", lambda *_: told)


def leaderboard_with(project: Project, **fids: float | Iterable[float]) -> Manifest:
    """A leaderboard with a row for each experiment that is named, of a seed for each of its FIDs; the first
    one is the experiment's own, the others are of experiments that there are not."""
    return forged(project, {name: {"fids": values} for name, values in fids.items()})


def forged(project: Project, told: dict[str, dict[str, Any]]) -> Manifest:
    """The same, with other values of the row and its seeds beside its `fids`."""
    store, inputs, rows, seeds = project.store, {}, [], []
    for name, values in told.items():
        others = dict(values)
        fids = list(others.pop("fids"))
        evaluation = inputs[f"evaluation/{name}"] = store.require("evaluation", name)
        inputs[f"trained_gan/{name}"] = store.require("trained_gan", name)
        members = [name, *(f"{name}-{number}" for number in range(1, len(fids)))]
        common = {"dataset": DATASET, "architecture": "dcgan", "verdict": "healthy", "demotion": 0}
        common |= {"demoted_for": "", "stale": "", "protocol": evaluation.details["protocol"], **others}
        row = {"experiment": name, "rank": 1, "seeds": len(fids), "members": " ".join(members)}
        rows.append({**common, **row, "fid": sum(fids) / len(fids)})
        seeds += [
            {**common, "experiment": member, "group": name, "seed": number, "fid": fid}
            for number, (member, fid) in enumerate(zip(members, fids, strict=True))
        ]

    def build(work):
        leaderboard.leaderboard_frame(rows).to_parquet(work.folder / leaderboard.PARQUET)
        leaderboard.seeds_frame(seeds).to_parquet(work.folder / leaderboard.SEEDS_PARQUET)

    config = {"rows": repr(told)}
    made = {"config": config, "inputs": inputs, "code_version": "1", "build": build}
    return store.produce("leaderboard", "all", **made)
