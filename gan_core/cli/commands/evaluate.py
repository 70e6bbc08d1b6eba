"""`evaluate`: measure an experiment's samples, or any images against any others."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from gan_core.cli import completion
from gan_core.cli.options import (
    ConfigsFolder,
    Force,
    StorePlace,
    add_command,
    existing_store,
    names_in,
    one_of,
    print_manifest,
    store_of,
)
from gan_core.cli.output import say_json
from gan_core.errors import ConfigError


def add(app: typer.Typer) -> None:
    add_command(app, "evaluate", evaluate)


def evaluate(
    experiment: Annotated[
        str | None,
        typer.Argument(help="An experiment whose samples were drawn.", autocompletion=completion.experiments),
    ] = None,
    real: Annotated[
        str | None,
        typer.Option(
            help="Real images: DATASET/train or DATASET/test, whose statistics the store holds; or a "
            "folder, archive, shards (train-*.tar), array (.npy, .npz), or statistics (.npz with mu and "
            "sigma)."
        ),
    ] = None,
    fake: Annotated[
        str | None, typer.Option(help="Folder, archive, shards or array of generated images.")
    ] = None,
    held_out: Annotated[
        str | None, typer.Option(help="Real images that were not trained on, for metrics of both.")
    ] = None,
    save_statistics: Annotated[
        Path | None,
        typer.Option(help="Write the real images' mean and covariance to this .npz file."),
    ] = None,
    extractor: Annotated[
        str | None,
        typer.Option(
            help="What the features come from, one of `list extractors` (default: the dataset's first one, "
            "or inception).",
            autocompletion=completion.extractors,
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="With commas, some of `list metrics` (default: all that apply and are not slow or "
            "in need of other weights)."
        ),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="The extractor's weights, where they are not downloaded.")
    ] = None,
    classifier: Annotated[
        str | None,
        typer.Option(
            help="The dataset whose classifier the store holds, or a classifier.safetensors.",
            autocompletion=completion.datasets,
        ),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Bring images of different sizes to this one.")
    ] = None,
    store: StorePlace = None,
    configs: ConfigsFolder = None,
    force: Force = False,
) -> None:
    """Measure an experiment's samples, or any images against any others."""
    of_images = {
        "held_out": held_out,
        "save_statistics": save_statistics,
        "extractor": extractor,
        "metrics": metrics,
        "weights": weights,
        "classifier": classifier,
        "image_size": image_size,
    }
    if bool(experiment) == bool(real or fake):
        raise ConfigError("evaluate needs an experiment's name, or --real and --fake")
    if experiment:
        _refuse(of_images)
        _evaluate_experiment(experiment, store, configs, force)
    elif not (real and (fake or save_statistics)):
        raise ConfigError("evaluate needs both --real and --fake: folders, archives or shards of images")
    else:
        _evaluate_images(real, fake, store, configs, **of_images)


def _refuse(of_images: dict[str, Any]) -> None:
    """What says how any images are measured, beside an experiment's name."""
    for name, value in of_images.items():
        if value is not None:
            raise ConfigError(
                f"--{name.replace('_', '-')} goes with --real and --fake: an experiment is measured as the "
                "section `evaluation` of its dataset's file says"
            )


def _evaluate_experiment(name: str, store: str | None, configs: Path | None, force: bool) -> None:
    from gan_core.config import load_configs
    from gan_core.evaluation.classifier import train_classifier
    from gan_core.evaluation.evaluate import evaluate_samples
    from gan_core.evaluation.reference import compute_reference_statistics

    known = load_configs(configs)
    experiment, place = known.experiment(name), existing_store(store)
    dataset = known.datasets[experiment.dataset]
    shards = place.require("image_shards", dataset.name)
    samples = place.require("samples", experiment.name)
    classifier = train_classifier(place, dataset, shards)
    reference = compute_reference_statistics(place, dataset, shards, classifier)
    print_manifest(place, evaluate_samples(place, dataset, samples, reference, classifier, force=force))


def _evaluate_images(
    real: str,
    fake: str | None,
    store: str | None,
    configs: Path | None,
    *,
    held_out: str | None,
    save_statistics: Path | None,
    extractor: str | None,
    metrics: str | None,
    weights: str | None,
    classifier: str | None,
    image_size: int | None,
) -> None:
    from gan_core.evaluation import evaluate_paths
    from gan_core.evaluation.extractors import EXTRACTORS

    one_of("--extractor", extractor, EXTRACTORS)
    is_split = _is_split(real, configs)
    place = existing_store(store) if store or is_split or classifier else store_of(store)
    real_images: Any = _stored_split(real, place, configs) if is_split else real
    how = {
        "extractor": extractor,
        "weights": weights,
        "store": place,
        "classifier": place.require("classifier", classifier) if _is_dataset(classifier) else classifier,
        "image_size": image_size,
    }
    result = {}
    if save_statistics:
        result |= evaluate_paths.save_statistics(real_images, save_statistics, **how)
    if fake:
        chosen = names_in(metrics)
        result |= evaluate_paths.evaluate_paths(real_images, fake, held_out=held_out, metrics=chosen, **how)
    say_json(result)


def _is_split(real: str, configs: Path | None) -> bool:
    """Whether `--real` has the form DATASET/train or DATASET/test, and the dataset is one of ours."""
    from gan_core.config import load_configs

    dataset, _, split = real.partition("/")
    if split not in ("train", "test"):
        return False
    try:
        return dataset in load_configs(configs).datasets
    except ConfigError:
        if os.path.exists(real):
            return False  # images can be measured without any configuration
        raise


def _stored_split(real: str, store: Any, configs: Path | None) -> Any:
    from gan_core.config import load_configs
    from gan_core.evaluation.inputs.splits import stored_split

    return stored_split(real, store, load_configs(configs))


def _is_dataset(classifier: str | None) -> bool:
    """Whether `--classifier` is a dataset's name, and not a file."""
    return bool(classifier) and not (classifier.endswith(".safetensors") or os.sep in classifier)
