"""`store export` and `import`: artefacts into another store or one file, and out of it."""

import dataclasses
from typing import Annotated

import typer

from gan_core.cli.commands.store.options import Patterns
from gan_core.cli.options import StorePlace, existing_store, store_of
from gan_core.cli.output import say_json

Lineage = Annotated[bool, typer.Option("--lineage", help="With all that they were made from.")]
Replace = Annotated[
    bool, typer.Option("--replace", help="Replace what is there with other content, or the archive file.")
]
AllVersions = Annotated[bool, typer.Option("--all-versions", help="Also versions that are not current.")]


def export(
    patterns: Patterns = None,
    to: Annotated[
        str, typer.Option(metavar="PLACE", help="A folder or URL, which becomes a store, or a FILE.tar.")
    ] = ...,
    lineage: Lineage = False,
    all_versions: AllVersions = False,
    replace: Replace = False,
    store: StorePlace = None,
) -> None:
    """Copy artefacts into another store or into one archive file; every file is verified on both sides."""
    from gan_core.housekeeping.moving import export_artefacts

    moved = export_artefacts(
        existing_store(store), to, patterns or (), lineage=lineage, old_versions=all_versions, replace=replace
    )
    say_json({"to": to, **dataclasses.asdict(moved)})


def import_(
    source: Annotated[
        str, typer.Argument(metavar="PLACE", help="A store (folder or URL), or a file that `export` wrote.")
    ],
    patterns: Patterns = None,
    lineage: Lineage = False,
    all_versions: AllVersions = False,
    current: Annotated[
        bool,
        typer.Option("--current", help="What is current there becomes so here, whatever is current now."),
    ] = False,
    replace: Replace = False,
    store: StorePlace = None,
) -> None:
    """Bring artefacts from another store or from an archive file; the same command goes on where one was
    interrupted."""
    from gan_core.housekeeping.moving import import_artefacts

    target = store_of(store)
    moved = import_artefacts(
        target,
        source,
        patterns or (),
        lineage=lineage,
        old_versions=all_versions,
        current=current,
        replace=replace,
    )
    say_json({"to": target.url, **dataclasses.asdict(moved)})
