"""`sample`: draw the samples of a trained experiment, or images of its generator to a place of the user's."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gan_core.cli import completion
from gan_core.cli.options import ConfigsFolder, Force, StorePlace, add_command, existing_store, print_manifest
from gan_core.cli.output import say_json
from gan_core.errors import ConfigError

if TYPE_CHECKING:
    from gan_core.drawing import Wish


def add(app: typer.Typer) -> None:
    add_command(app, "sample", sample)


def sample(
    experiment: Annotated[
        str,
        typer.Argument(
            help="A name in configs/experiments, a bundle of `export`, or champion:DATASET.",
            autocompletion=completion.experiments,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="A folder of PNGs, a picture of a grid (*.png), or an animation of a walk (*.gif)."
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(help="Images, or latents that a walk goes through (default: 100, of a walk 8)."),
    ] = None,
    of_class: Annotated[
        str | None,
        typer.Option("--class", metavar="NAME", help="This class only, of a conditional generator."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Other images by another number (default: 0).")] = None,
    truncation: Annotated[
        float | None,
        typer.Option(
            metavar="T",
            help="Draw latent values beyond ±T again: more typical images, less variety (normal latents "
            "only).",
        ),
    ] = None,
    store: StorePlace = None,
    configs: ConfigsFolder = None,
    force: Force = False,
) -> None:
    """Draw the samples of a trained experiment that are measured; with --out, other images of its generator,
    also of a bundle or of a champion."""
    if out:
        from gan_core.drawing import Wish

        _draw(experiment, out, Wish(count, seed or 0, of_class, truncation), store, force)
        return
    # How images are drawn to a place; the samples that are measured are drawn as the dataset's file says.
    of_a_place = {"count": count, "class": of_class, "seed": seed, "truncation": truncation}
    given = [name for name, value in of_a_place.items() if value is not None]
    if given:
        raise ConfigError(
            f"--{given[0]} goes with --out, which says where to: the samples that are measured are drawn as "
            "the dataset's `evaluation` says"
        )
    _step(experiment, store, configs, force)


def _step(experiment: str, store: str | None, configs: Path | None, force: bool) -> None:
    from gan_core.bundles.contents import is_bundle
    from gan_core.champions.address import PREFIX
    from gan_core.config import load_configs
    from gan_core.sampling import draw_samples

    if is_bundle(experiment) or experiment.startswith(PREFIX):
        raise ConfigError(f"{experiment} is a bundle, which is not written to: say where to with --out")
    known = load_configs(configs)
    chosen, place = known.experiment(experiment), existing_store(store)
    trained = place.require("trained_gan", chosen.name)
    dataset = known.datasets[chosen.dataset]
    shards = place.require("image_shards", dataset.name)
    print_manifest(place, draw_samples(place, chosen, dataset, trained, shards, force=force))


def _draw(experiment: str, out: Path, wish: "Wish", store: str | None, force: bool) -> None:
    from gan_core.champions.address import bundle_at
    from gan_core.devices import default_device
    from gan_core.drawing import draw
    from gan_core.sampling import load_generator

    if bundle := bundle_at(experiment, lambda: existing_store(store)):
        place, trained = bundle.store, bundle.manifest("trained_gan")
    else:
        place = existing_store(store)
        trained = place.require("trained_gan", experiment)
    generator = load_generator(place, trained, device=default_device())
    classes = trained.details.get("classes") or []
    say_json(draw(generator, classes, wish, out, force=force))
