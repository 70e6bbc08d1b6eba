"""`store`: what is in the artefact store, whether it is whole, what may go, and moving it."""

import typer

from gan_core.cli.commands.store.garbage import gc
from gan_core.cli.commands.store.looking import du, ls, verify
from gan_core.cli.commands.store.moving import export, import_
from gan_core.cli.options import add_command


def add(app: typer.Typer) -> None:
    commands = typer.Typer(no_args_is_help=True, help="What is in the artefact store; clear it, move it.")
    for name, run in (("ls", ls), ("du", du), ("verify", verify), ("gc", gc)):
        add_command(commands, name, run)
    add_command(commands, "export", export)
    add_command(commands, "import", import_)
    app.add_typer(commands, name="store")
