"""`compare`: what measured figures say to a question."""

from typing import Annotated

import typer

from gan_core.cli import completion
from gan_core.cli.options import ConfigsFolder, Force, StorePlace, add_command, existing_store, names_in
from gan_core.cli.output import say


def add(app: typer.Typer) -> None:
    add_command(app, "compare", compare)


def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            help="A name in configs/questions; or names or patterns of experiments.",
            autocompletion=completion.questions_and_experiments,
        ),
    ],
    figures: Annotated[
        str | None,
        typer.Option(help="Of experiments that no question names: such as fid,recall,seconds_training."),
    ] = None,
    fid_to_reach: Annotated[
        float | None, typer.Option(help="The in-training FID for seconds_to_fid and images_to_fid.")
    ] = None,
    store: StorePlace = None,
    configs: ConfigsFolder = None,
    force: Force = False,
) -> None:
    """Answer a question by the experiments in the store, with tests, a table and pictures."""
    from gan_core.comparing.answer import ASSET, asked, find_answer, publish_answer
    from gan_core.config import load_configs

    known = load_configs(configs)
    given = {}
    if figures:
        given["figures"] = tuple(names_in(figures))
    if fid_to_reach is not None:
        given["fid_to_reach"] = fid_to_reach
    question = asked(known, names, **given)
    place = existing_store(store)
    answer = find_answer(place, known, question)
    manifest = publish_answer(place, answer, force=force)
    say(answer.text)
    say("")
    for name in manifest.files:
        say(place.address(f"{place.root}/{ASSET}/{question.name}/{name}"))
