"""`store ls`, `du` and `verify`, which change nothing."""

import datetime
from typing import TYPE_CHECKING, Any

from gan_core.cli.commands.store.options import Patterns
from gan_core.cli.options import AsJson, StorePlace, existing_store
from gan_core.cli.output import say_json, show

if TYPE_CHECKING:
    from gan_core.housekeeping.contents import Version
    from gan_core.housekeeping.usage import Usage


def ls(patterns: Patterns = None, store: StorePlace = None, as_json: AsJson = False) -> None:
    """List the versions of artefacts: which is current, whether it is whole, its size, when it was made."""
    from gan_core.housekeeping.contents import scan
    from gan_core.planning.tables import text_table
    from gan_core.progress import format_bytes

    versions = scan(existing_store(store), patterns or ()).chosen(patterns or ())
    versions.sort(key=lambda one: (one.asset, one.partition, not one.is_current, -one.made_at))
    if as_json:
        say_json([_version_record(one) for one in versions])
        return
    table = text_table("asset", "partition", "version", "", "state", "size", "made (UTC)")
    for one in versions:
        current = "current" if one.is_current else ""
        size, made = format_bytes(one.bytes), _moment(one.made_at)
        table.add_row(one.asset, one.partition, one.fingerprint[:12], current, _state(one), size, made)
    show(table)


def du(patterns: Patterns = None, store: StorePlace = None, as_json: AsJson = False) -> None:
    """Say how much disk each asset and partition takes, and the local cache."""
    from gan_core.housekeeping.contents import scan
    from gan_core.housekeeping.usage import cache_bytes, summed, usages

    place = existing_store(store)
    found = usages(scan(place, patterns or ()), patterns or ())
    cache = {} if patterns else cache_bytes(place)
    if as_json:
        rows = [_usage_record(one) for one in found]
        say_json({"partitions": rows, "bytes": summed(found).total, "cache": cache})
        return
    show(*_usage_tables(found, cache))


def verify(patterns: Patterns = None, store: StorePlace = None, as_json: AsJson = False) -> int:
    """Hash every file of artefacts; name each damage and its remedy; exit status 1 where there is one."""
    import dataclasses

    from gan_core.housekeeping.contents import scan
    from gan_core.housekeeping.verifying import verify_store
    from gan_core.progress import format_bytes

    place = existing_store(store)
    result = verify_store(place, scan(place), patterns or ())
    if as_json:
        say_json({"whole": not result.damages, **dataclasses.asdict(result)})
    else:
        lines = [f"{one.place}: {one.problem}: {one.remedy}" for one in result.damages]
        counts = _counted(result.artefacts, "artefact"), _counted(result.files, "file")
        looked = f"{', '.join(counts)}, {format_bytes(result.bytes)}"
        wrong = f"{len(lines):,} damaged" if lines else "all are whole"
        show(*lines, f"{looked}: {wrong}")
    return 1 if result.damages else 0


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _version_record(one: "Version") -> dict[str, Any]:
    return {
        "asset": one.asset,
        "partition": one.partition,
        "fingerprint": one.fingerprint,
        "current": one.is_current,
        "state": one.state,
        "held_by": str(one.lease.holder) if one.lease and one.lease.holder else None,
        "bytes": one.bytes,
        "files": sum(not entry.is_folder for entry in one.entries.values()),
        "made": datetime.datetime.fromtimestamp(one.made_at, datetime.UTC).isoformat(timespec="seconds"),
    }


def _state(one: "Version") -> str:
    return f"{one.state}, {one.lease.holder}" if one.lease and one.lease.holder else one.state


def _moment(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M")


def _usage_record(one: "Usage") -> dict[str, Any]:
    import dataclasses

    return {**dataclasses.asdict(one), "total": one.total}


def _usage_tables(found: "list[Usage]", cache: dict[str, int]) -> list[Any]:
    from gan_core.housekeeping.usage import summed
    from gan_core.planning.tables import text_table
    from gan_core.progress import format_bytes

    table = text_table("asset", "partition", "versions", "current", "older", "attempts", "beside", "total")
    assets = dict.fromkeys(one.asset for one in found)
    for asset in assets:
        of_asset = [one for one in found if one.asset == asset]
        for one in of_asset:
            table.add_row(asset, one.partition or "-", *_cells(one))
        if len(of_asset) > 1:
            table.add_row(asset, "all", *_cells(summed(of_asset)))
    if len(assets) > 1:
        table.add_row("all", "", *_cells(summed(found)))
    for name, size in cache.items():
        table.add_row("cache", name, *[""] * 5, format_bytes(size))
    return [table]


def _cells(one: "Usage") -> list[str]:
    from gan_core.progress import format_bytes

    sizes = (one.current, one.older, one.attempts, one.beside, one.total)
    return [f"{one.versions:,}", *(format_bytes(size) if size else "" for size in sizes)]
