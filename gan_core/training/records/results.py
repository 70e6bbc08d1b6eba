"""What a training that has ended leaves: weights, records and figures."""

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gan_core.devices import describe_device
from gan_core.images import encode_picture, picture
from gan_core.store import Build, Manifest
from gan_core.training.engine import Engine
from gan_core.training.guards import verdict_names
from gan_core.training.records.history import times_of, without_times, write_rows
from gan_core.training.records.progress_strip import describe_strip, progress_png, strip_moments
from gan_core.training.state import TrainingState

FIRST_EPOCH, PROGRESS = "first_epoch.png", "progress.png"


def save_weights(weights: dict[str, Tensor], work: Build, name: str) -> None:
    """`<name>.safetensors`: a state dict, on the CPU, contiguous."""
    weights = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
    save_file(weights, work.folder / f"{name}.safetensors")


def write_results(engine: Engine, published: dict, shards: Manifest, work: Build) -> None:
    """The files, figures and details of a training that has ended."""
    state, best = engine.state, engine.state.best
    save_weights(published["generator"], work, "generator")
    save_weights(published["discriminator"], work, "discriminator")
    if best:
        save_weights(best["generator"], work, "generator_best")
        work.figures |= {"fid_best": best["fid"], "images_seen_best": best["images_seen"]}
    _write_records(state, work)
    if state.evaluations:
        work.figures["fid_in_training"] = state.evaluations[-1].get("fid")
        work.figures["diversity"] = state.evaluations[-1]["diversity"]
    work.figures |= {
        "verdict": verdict_names(engine.findings, engine.stopped_by),
        "images_seen": state.images_seen,
        "images_per_second": round(state.images_seen / max(state.seconds_of_steps, 1e-9), 1),
        "d_loss": state.history[-1].get("d_loss") if state.history else None,
        "g_loss": state.history[-1].get("g_loss") if state.history else None,
        "seconds_training": round(state.seconds, 3),
        "seconds_evaluating": round(state.seconds_evaluating, 3),
        "parameters_generator": _parameters(state.generator),
        "parameters_discriminator": _parameters(state.discriminator),
    }
    work.details |= {
        "verdicts": [finding.record() for finding in engine.findings],
        "stopped_by": engine.stopped_by and engine.stopped_by.verdict,
        "published": {name: published[name] for name in ("images_seen", "which")},
        "device": describe_device(state.device),
        "processes": state.ranks.size,
        "first_epoch": _first_epoch(state, work),
        "torch": torch.__version__,
        "z_dim": state.experiment.latent.size,
        "n_classes": state.generator.n_classes,
        "classes": shards.details["classes"],
        "image_size": shards.details["image_size"],
        "channels": shards.details["channels"],
    }


def weights_of(state: TrainingState) -> dict:
    """The weights of both networks at this moment."""
    return {
        "images_seen": state.images_seen,
        "generator": state.sampler.state_dict(),
        "discriminator": state.discriminator.state_dict(),
    }


def _write_records(state: TrainingState, work: Build) -> None:
    write_rows(without_times(state.history), work.folder / "history.parquet")
    write_rows(times_of(state.history), work.folder / "times.parquet")
    # What only watched the training: nothing is made from it.
    work.not_counting |= {"times.parquet", "evaluations.parquet", PROGRESS}
    if state.evaluations:
        write_rows(state.evaluations, work.folder / "evaluations.parquet")
    moments = strip_moments(state.samples, state.first_epoch)
    (work.folder / PROGRESS).write_bytes(progress_png(moments))
    work.details["progress"] = describe_strip(moments)


def _first_epoch(state: TrainingState, work: Build) -> dict | None:
    """`images_seen` and the in-training evaluation after one epoch, with the columns of
    `evaluations.parquet`, and the file `first_epoch.png`: the images of the fixed latents then, side by side
    without gaps. None where the run ended before or with it."""
    seen = state.first_epoch
    if seen is None:
        return None
    strip = torch.cat(list(seen["samples"]), dim=2).permute(1, 2, 0)
    (work.folder / FIRST_EPOCH).write_bytes(encode_picture(picture(strip)))
    return {"images_seen": seen["images_seen"], **seen["row"]}


def _parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())
