"""What the configuration files say and what is wrong with them, shown where a user looks.

A wrong file is left out with what depends on it, and the definitions load without it. It is told three times:
in the log of the code location, as the failed check of the asset `configurations`, and in its metadata. What
each right one defines is told there as a table, and as an observation of its partition.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import dagster as dg

from assets.describing import new_descriptions, overview
from gan_core.config import Configs

logger = logging.getLogger("gan_pipelines")
ASSET = dg.AssetKey("configurations")
CHECK = "configurations_valid"
LOOK_SECONDS = 30


def warn(mistakes: Sequence[str]) -> None:
    """One line in the log per file that was left out."""
    for mistake in mistakes:
        logger.warning("left out: %s", mistake)


def configurations_asset(folder: str, configs: Configs, mistakes: Sequence[str]) -> dg.AssetSpec:
    """The folder of YAML files, as an asset that nothing makes."""
    return dg.AssetSpec(
        ASSET,
        group_name="configurations",
        kinds={"yaml"},
        description=(
            "The YAML files of datasets and experiments. A wrong one is left out until it is mended and the "
            "definitions are reloaded; its check says which and why. What a partition is, as YAML, stands "
            "among the events of `trained_gan` or `raw_images`, filtered by the partition."
        ),
        metadata={
            "left_out": dg.MetadataValue.md(_list(mistakes)),
            "experiments": overview(configs),
            "folder": dg.MetadataValue.path(folder),
        },
    )


def configurations_check(mistakes: Sequence[str]) -> dg.AssetChecksDefinition:
    """Fails as long as a file is left out. The sensor evaluates it; it can also be run by hand."""

    @dg.asset_check(asset=ASSET, name=CHECK, description="Every configuration file is valid.")
    def configurations_valid() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=not mistakes, metadata=_metadata(mistakes))

    return configurations_valid


def configurations_sensor(configs: Configs, mistakes: Sequence[str]) -> dg.SensorDefinition:
    """Records, once for each state of the files and without a run, the check and what each partition is."""
    state = hashlib.sha256("\n".join(mistakes).encode()).hexdigest()
    count = f"{len(mistakes)} mistakes" if mistakes else "every file is valid"

    @dg.sensor(
        name="configurations",
        minimum_interval_seconds=LOOK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Shows which configuration files were left out, as the check of `configurations`, and what each "
            "dataset and experiment is, as an observation of its partition."
        ),
    )
    def look(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        seen = _Seen.read(context.cursor)
        events: list[dg.AssetCheckEvaluation | dg.AssetObservation] = []
        if seen.mistakes != state:
            events.append(
                dg.AssetCheckEvaluation(
                    asset_key=ASSET, check_name=CHECK, passed=not mistakes, metadata=_metadata(mistakes)
                )
            )
        events += new_descriptions(configs, seen.described)
        if not events:
            return dg.SkipReason(f"{count}, as before")
        return dg.SensorResult(asset_events=events, cursor=_Seen(state, seen.described).written())

    return look


@dataclass(frozen=True)
class _Seen:
    """What the sensor has recorded, as its cursor holds it."""

    mistakes: str = ""
    described: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, cursor: str | None) -> "_Seen":
        """Nothing, of a cursor from before the partitions were described."""
        try:
            return cls(**json.loads(cursor or "{}"))
        except (TypeError, ValueError):
            return cls()

    def written(self) -> str:
        return json.dumps({"mistakes": self.mistakes, "described": self.described})


def _metadata(mistakes: Sequence[str]) -> dict[str, dg.MetadataValue]:
    return {"left_out": dg.MetadataValue.md(_list(mistakes))}


def _list(mistakes: Sequence[str]) -> str:
    return "\n".join(f"- `{mistake}`" for mistake in mistakes) or "nothing"
