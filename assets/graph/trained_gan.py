"""The asset `trained_gan`, with its checks."""

from typing import Any

import dagster as dg

from assets.conditions import follow_changed_inputs
from assets.describing import description_of
from assets.factory import StepRun, declare
from assets.observation import losses_at_a_glance, observation, observe
from assets.recording import StepConfig, inline_picture, stored_picture
from assets.several_processes import train_in_processes
from gan_core import steps
from gan_core.evaluation.judging.verdicts import HEALTHY
from gan_core.leaderboard.verdicts import verdict_markdown, verdict_text
from gan_core.store import Manifest
from gan_core.training.processes.launch import number_of_processes, training_command
from gan_core.training.task import TrainingTask


class TrainingStepConfig(StepConfig):
    """Run configuration of a training."""

    observe_seconds: float = 15.0
    """How often losses and samples are shown while it trains: each time is a row in Dagster's database."""

    processes: int | None = None
    """In how many processes it trains, each on a GPU of its own where there are GPUs. By default
    GAN_PROCESSES, else 1: in the step's own process."""


def finite_losses(run: StepRun, manifest: Manifest) -> dg.AssetCheckResult:
    """Every loss of the history is a finite number."""
    import numpy
    import pyarrow.parquet

    history = pyarrow.parquet.ParquetFile(run.store.local(manifest, "history.parquet")).read()
    names = [name for name in history.column_names if "loss" in name or "penalty" in name]
    losses = numpy.array([history[name].to_numpy() for name in names], dtype=float)
    bad = int((~numpy.isfinite(losses)).any(axis=0).sum()) if names else 0
    diverged = manifest.details.get("stopped_by") == "not_finite"
    metadata = {"rows": history.num_rows, "rows_not_finite": bad, "ended_by_it": diverged}
    words = f"{bad:,} of {history.num_rows:,} rows are not finite"
    if diverged:
        words = "ended by a loss or a weight that is not finite"
    return dg.AssetCheckResult(passed=bad == 0 and not diverged, description=words, metadata=metadata)


def training_is_healthy(run: StepRun, manifest: Manifest) -> dg.AssetCheckResult:
    """The guards found nothing wrong with a training long enough to judge; else they say what usually
    helps."""
    verdict = verdict_text(manifest)
    return dg.AssetCheckResult(
        passed=verdict == HEALTHY,
        severity=dg.AssetCheckSeverity.WARN,
        description=verdict,
        metadata={"verdict": verdict, "findings": dg.MetadataValue.md(verdict_markdown(manifest))},
    )


def shown(run: StepRun, manifest: Manifest) -> dict[str, Any]:
    """The verdict, the guards' findings, the curves and the samples of a training that has ended."""
    from gan_core.report.curves import read_curves, training_figure
    from gan_core.report.drawing import png

    history, evaluations = read_curves(run.store, manifest)
    return {
        "verdict": verdict_text(manifest),
        "findings": dg.MetadataValue.md(verdict_markdown(manifest)),
        **losses_at_a_glance(history.to_dict("list")),
        "all_curves": inline_picture(png(training_figure(history, evaluations)), "curves"),
        "samples_over_time": stored_picture(run.store, manifest, "progress.png"),
        "configuration": description_of(run.configs, "experiments", run.partition)["configuration"],
    }


def saved(run: StepRun) -> str:
    """How far a training is that was interrupted."""
    task = _task(run)
    images = task.saved_at(run.store)
    if images is None:
        return f"Nothing was saved yet of {task.total_images:,} images"
    return f"Saved at {images:,} of {task.total_images:,} images"


def _task(run: StepRun) -> TrainingTask:
    return TrainingTask(
        experiment=run.experiment,
        dataset=run.dataset,
        shards=run.input("image_shards"),
        classifier=run.input("classifier"),
        force=run.force,
        observe_interval=run.config.observe_seconds,
    )


@declare(
    partitions="experiments",
    kinds={"pytorch"},
    deps=["image_shards", "classifier"],
    pool="gpu",
    automation=follow_changed_inputs(),
    config=TrainingStepConfig,
    step=lambda run: steps.trained_gan(run.experiment, run.input("image_shards"), run.input("classifier")),
    metadata=shown,
    checks=[finite_losses, training_is_healthy],
    saved=saved,
)
def trained_gan(run: StepRun) -> Manifest:
    """Generator and discriminator, trained as the experiment's YAML says. Shows losses and samples while
    it runs; a run that was stopped or killed goes on from its last checkpoint."""
    task = _task(run)
    processes = number_of_processes(run.config.processes)
    if processes > 1 or training_command(processes):
        return train_in_processes(run.context, run.store, task, processes)
    from gan_core.training.train import run_training

    return run_training(
        run.store,
        task,
        emit=run.emit,
        observe=lambda snapshot: observe(run.context, observation(snapshot)),
    )
