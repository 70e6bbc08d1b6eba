"""What the commands on the store have in common."""

from typing import Annotated

import typer

Patterns = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ASSET[/PARTITION]",
        help="Assets, or their partitions, or shell patterns such as 'trained_gan/demo-*' (default: all).",
    ),
]
