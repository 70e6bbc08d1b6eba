"""`leaderboard`: its rows, and those of samples from elsewhere."""

from typing import Annotated, get_args

import typer

from gan_core.cli import completion
from gan_core.cli.options import (
    AsJson,
    ConfigsFolder,
    Force,
    StorePlace,
    add_command,
    existing_store,
    one_of,
    print_manifest,
)
from gan_core.cli.output import say, say_json
from gan_core.errors import ConfigError


def add(app: typer.Typer) -> None:
    rows = typer.Typer(no_args_is_help=True, help="The rows; those of samples from elsewhere.")
    add_command(rows, "rows", show_rows)
    add_command(rows, "add", add_row)
    add_command(rows, "remove", remove_row)
    app.add_typer(rows, name="leaderboard")


def show_rows(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Experiments, whose tables are shown: names or shell patterns (default: all tables).",
            autocompletion=completion.experiments,
        ),
    ] = None,
    store: StorePlace = None,
    configs: ConfigsFolder = None,
    as_json: AsJson = False,
) -> None:
    """Print the leaderboard as it was made last: a table for each dataset and protocol."""
    import json

    from gan_core.config import load_configs
    from gan_core.leaderboard.leaderboard import read_leaderboard
    from gan_core.leaderboard.tables import leaderboard_text, tables_with

    place = existing_store(store)
    frame = read_leaderboard(place, place.require("leaderboard", "all"))
    if names:
        frame = tables_with(frame, load_configs(configs).matching(names))
    if as_json:
        say_json(json.loads(frame.to_json(orient="records")))
        return
    say(leaderboard_text(frame))


def add_row(
    name: Annotated[str, typer.Argument(help="The row's name.")],
    images: Annotated[
        str, typer.Argument(metavar="PLACE", help="Folder, archive, shards or array of images.")
    ],
    dataset: Annotated[
        str, typer.Option(help="The dataset that they imitate.", autocompletion=completion.datasets)
    ],
    description: Annotated[
        str, typer.Option(help="Which model they are of, and where it is published.")
    ] = "",
    image_size: Annotated[
        int | None, typer.Option(help="Bring images of another size to the dataset's.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="data|even",
            help="How classes were asked for, where it is known (default: as the dataset says).",
        ),
    ] = None,
    store: StorePlace = None,
    configs: ConfigsFolder = None,
    force: Force = False,
) -> None:
    """Measure images from elsewhere and give them a row."""
    from gan_core.config import load_configs
    from gan_core.config.datasets import LabelPolicy
    from gan_core.evaluation.external import evaluate_external
    from gan_core.evaluation.inputs.splits import stored_split

    one_of("--labels", labels, get_args(LabelPolicy))
    known, place = load_configs(configs), existing_store(store)
    chosen = known.dataset(dataset)
    if name in known.experiments:
        raise ConfigError(f"`{name}` is an experiment of yours: choose another name for the row")
    split = stored_split(f"{chosen.name}/train", place, known)
    made = evaluate_external(
        place,
        chosen,
        name,
        images,
        reference=split.reference,
        classifier=split.classifier,
        description=description,
        image_size=image_size,
        labels=labels,
        force=force,
    )
    print_manifest(place, made)


def remove_row(
    name: Annotated[str, typer.Argument(help="The row's name.")],
    store: StorePlace = None,
) -> None:
    """Take such a row off the leaderboard."""
    from gan_core.evaluation.external import ASSET, remove_external

    remove_external(existing_store(store), name)
    say_json({"removed": f"{ASSET}/{name}"})
