"""`devices`: the GPUs of this machine, and who has them."""

import datetime
from dataclasses import asdict

import typer

from gan_core.cli.options import AsJson, add_command
from gan_core.cli.output import say_json, show


def add(app: typer.Typer) -> None:
    add_command(app, "devices", devices)


def devices(as_json: AsJson = False) -> None:
    """Say which GPUs there are on this machine, and which step of which process has each."""
    from rich.table import Table

    from gan_core.device_leases import DEVICES, device_states

    states = device_states()
    if as_json:
        say_json([asdict(state) for state in states])
        return
    if not states:
        show(
            f"no GPU of NVIDIA here, and {DEVICES} names none: steps run on the CPU, as many at once as start"
        )
        return
    table = Table("GPU", "has it", "process", "since", box=None)
    for state in states:
        since = (
            "" if state.since is None else f"{datetime.datetime.fromtimestamp(state.since):%Y-%m-%d %H:%M:%S}"
        )
        table.add_row(state.name, state.what or "free", str(state.process or ""), since)
    show(table)
