"""What is wrong with the configuration files, shown where a user looks.

A wrong file is left out with what depends on it, and the definitions load without it. It is told three times:
in the log of the code location, as the failed check of the asset `configurations`, and in its metadata.
"""

import hashlib
import logging
from collections.abc import Sequence

import dagster as dg

logger = logging.getLogger("gan_pipelines")
ASSET = dg.AssetKey("configurations")
CHECK = "configurations_valid"
LOOK_SECONDS = 30


def warn(mistakes: Sequence[str]) -> None:
    """One line in the log per file that was left out."""
    for mistake in mistakes:
        logger.warning("left out: %s", mistake)


def configurations_asset(folder: str, mistakes: Sequence[str]) -> dg.AssetSpec:
    """The folder of YAML files, as an asset that nothing makes."""
    return dg.AssetSpec(
        ASSET,
        group_name="configurations",
        kinds={"yaml"},
        description=(
            "The YAML files of datasets and experiments. A wrong one is left out until it is mended and the "
            "definitions are reloaded; its check says which and why."
        ),
        metadata={"folder": dg.MetadataValue.path(folder), "left_out": dg.MetadataValue.md(_list(mistakes))},
    )


def configurations_check(mistakes: Sequence[str]) -> dg.AssetChecksDefinition:
    """Fails as long as a file is left out. The sensor evaluates it; it can also be run by hand."""

    @dg.asset_check(asset=ASSET, name=CHECK, description="Every configuration file is valid.")
    def configurations_valid() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=not mistakes, metadata=_metadata(mistakes))

    return configurations_valid


def configurations_sensor(mistakes: Sequence[str]) -> dg.SensorDefinition:
    """Records the check once for each state of the files, without a run."""
    state = hashlib.sha256("\n".join(mistakes).encode()).hexdigest()
    count = f"{len(mistakes)} mistakes" if mistakes else "every file is valid"

    @dg.sensor(
        name="configurations",
        minimum_interval_seconds=LOOK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Shows which configuration files were left out, as the check of `configurations`.",
    )
    def look(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        if context.cursor == state:
            return dg.SkipReason(f"{count}, as before")
        evaluation = dg.AssetCheckEvaluation(
            asset_key=ASSET, check_name=CHECK, passed=not mistakes, metadata=_metadata(mistakes)
        )
        return dg.SensorResult(asset_events=[evaluation], cursor=state)

    return look


def _metadata(mistakes: Sequence[str]) -> dict[str, dg.MetadataValue]:
    return {"left_out": dg.MetadataValue.md(_list(mistakes))}


def _list(mistakes: Sequence[str]) -> str:
    return "\n".join(f"- `{mistake}`" for mistake in mistakes) or "nothing"
