"""`store`: what is in the artefact store, and whether it is whole."""

import typer

from gan_core.cli.commands.store.looking import du, ls, verify
from gan_core.cli.options import add_command


def add(app: typer.Typer) -> None:
    commands = typer.Typer(no_args_is_help=True, help="What is in the artefact store.")
    for name, run in (("ls", ls), ("du", du), ("verify", verify)):
        add_command(commands, name, run)
    app.add_typer(commands, name="store")
