"""What Dagster is told about an artefact: its version, its figures, where it is."""

import base64
from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG  # dagster itself does not export it

from gan_core.progress import format_seconds
from gan_core.store import Manifest, Store
from gan_core.store.provenance import commit_in_words

# Inline pictures are stored in the event log, twice: keep them small and leave the full one in the store.
MAX_INLINE_BYTES = 100_000
# Characters of Markdown that the UI still shows in the table of an asset's metadata.
SHOWN_AT_ONCE = 999


class StepConfig(dg.Config):
    """Run configuration that every step has."""

    force: bool = False
    """Make the artefact again even if one with the same fingerprint is there."""


def materialized(
    context: dg.AssetExecutionContext,
    store: Store,
    manifest: Manifest,
    extra: Mapping[str, Any] | None = None,
    check_results: list[dg.AssetCheckResult] | None = None,
) -> dg.MaterializeResult:
    """The asset's result: its version as data version, the figures as plottable metadata."""
    context.log.info(_outcome(manifest))
    shown = extra or {}  # its words for a figure, such as the verdict's, count
    figures = {key: _figure(value) for key, value in manifest.figures.items() if value is not None}
    return dg.MaterializeResult(
        data_version=dg.DataVersion(manifest.version),
        metadata={
            **shown,
            **{key: value for key, value in figures.items() if key not in shown},
            "reused": manifest.reused,
            "fingerprint": manifest.fingerprint,
            "inputs": dict(manifest.inputs),
            "bytes_stored": manifest.total_bytes,
            "step_seconds": manifest.seconds,
            "commit": commit_in_words(manifest.provenance) or "unknown",
            "path": dg.MetadataValue.path(
                store.address(store.folder(manifest.asset, manifest.partition, manifest.fingerprint))
            ),
        },
        check_results=check_results or [],
    )


def recorded_metadata(
    context: dg.AssetExecutionContext, manifest: Manifest
) -> Mapping[str, dg.MetadataValue] | None:
    """What was shown of a reused artefact when it was last recorded, so that its pictures need not be drawn
    again; None where it is new, or was not recorded in this instance."""
    if not manifest.reused:
        return None
    record = last_materialization(context, context.asset_key)
    event = record and record.asset_materialization
    version = event and (event.tags or {}).get(DATA_VERSION_TAG)
    return event.metadata if version == manifest.version else None


def last_materialization(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext, asset: dg.AssetKey
) -> dg.EventLogRecord | None:
    """The newest record of the asset's materialisation, of the partition that `context` is about."""
    partition = [context.partition_key] if context.has_partition_key else None
    wanted = dg.AssetRecordsFilter(asset, asset_partitions=partition)
    records = context.instance.fetch_materializations(wanted, limit=1).records
    return records[0] if records else None


def inline_picture(png: bytes, alternative: str) -> dg.MarkdownMetadataValue:
    """A PNG shown in the UI; one over `MAX_INLINE_BYTES` is replaced by a line that says so."""
    if len(png) > MAX_INLINE_BYTES:
        return dg.MetadataValue.md(f"{alternative}: {len(png):,} bytes, see the file at `path`")
    encoded = base64.b64encode(png).decode()
    return dg.MetadataValue.md(f"![{alternative}](data:image/png;base64,{encoded})")


def glance(draw: Callable[[int], str], alternative: str) -> dg.MarkdownMetadataValue:
    """A picture that is shown at once: what is longer the UI puts behind a link. `draw` makes a data URI of
    at most so many characters."""
    frame = f"![{alternative}]()"
    return dg.MetadataValue.md(f"{frame[:-1]}{draw(SHOWN_AT_ONCE - len(frame))})")


def stored_picture(store: Store, manifest: Manifest, name: str) -> dg.MarkdownMetadataValue:
    """A PNG of an artefact, inline."""
    return inline_picture(store.local(manifest, name).read_bytes(), name)


def _outcome(manifest: Manifest) -> str:
    if manifest.reused:
        return f"nothing changed: reused {manifest.fingerprint[:12]}, made {manifest.created_at}"
    return f"made {manifest.fingerprint[:12]} in {format_seconds(manifest.seconds)}"


def _figure(value: float | int | str) -> Any:
    # Dagster plots floats and ints over materialisations; a float keeps one type per series.
    return float(value) if isinstance(value, float) else value
