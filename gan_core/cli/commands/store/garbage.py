"""`store gc`: what nothing needs any more."""

from typing import TYPE_CHECKING, Annotated

import typer

from gan_core.cli.options import AsJson, ConfigsFolder, StorePlace, existing_store
from gan_core.cli.output import say_json, show

if TYPE_CHECKING:
    from gan_core.housekeeping.garbage import Garbage, Piece


def gc(
    delete: Annotated[bool, typer.Option("--delete", help="Remove it (default: only say what).")] = False,
    store: StorePlace = None,
    configs: ConfigsFolder = None,
    as_json: AsJson = False,
) -> None:
    """Say what nothing needs any more, by the policy in configs/store.yaml; remove it with --delete."""
    from gan_core.config import load_configs
    from gan_core.housekeeping.garbage import collect_garbage

    policy = load_configs(configs).keep_policy
    garbage = collect_garbage(existing_store(store), policy, delete=delete)
    if as_json:
        say_json(_record(garbage, delete))
        return
    show(*_parts(garbage, delete))


def _record(garbage: "Garbage", delete: bool) -> dict:
    return {
        "delete": delete,
        "bytes": garbage.bytes,
        "freed_bytes": garbage.freed_bytes,
        "pieces": [_piece_record(piece) for piece in garbage.pieces],
        "kept": garbage.kept,
        "blocked": garbage.blocked,
    }


def _piece_record(piece: "Piece") -> dict:
    shown = ("place", "bytes", "why", "names", "removed", "problem")
    return {name: getattr(piece, name) for name in shown}


def _parts(garbage: "Garbage", delete: bool) -> list:
    from gan_core.planning.tables import text_table
    from gan_core.progress import format_bytes

    table = text_table("what", "size", "why", *(["outcome"] if delete else []))
    for piece in garbage.pieces:
        names = f" ({', '.join(piece.names)})" if piece.names else ""
        outcome = [f"stays: {piece.problem}" if piece.problem else "removed"] if delete else []
        table.add_row(f"{piece.place}{names}", format_bytes(piece.bytes), piece.why, *outcome)
    blocked = [f"what may be needed stays, because {reason}" for reason in garbage.blocked]
    kept = len(garbage.kept)
    stays = f"{kept:,} that {'is' if kept == 1 else 'are'} not current {'stays' if kept == 1 else 'stay'}"
    others = [f"{stays}: `store gc --json` says why"] if kept else []
    if not garbage.pieces:
        return [*blocked, "there is nothing to clear away", *others]
    count = f"{len(garbage.pieces):,} piece" + ("s" if len(garbage.pieces) > 1 else "")
    told = (
        f"{count}, {format_bytes(garbage.freed_bytes)} freed"
        if delete
        else f"{count}, {format_bytes(garbage.bytes)}: `store gc --delete` clears this away"
    )
    return [table, "", *blocked, told, *others]
