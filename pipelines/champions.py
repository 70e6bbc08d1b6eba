"""A sensor that looks for new champions whenever the leaderboard has changed; off until it is switched on."""

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG  # dagster itself does not export it

from gan_core.config import Configs
from gan_core.store import Store


def champions_sensor(configs: Configs, job: object) -> dg.SensorDefinition:
    """One run of `job` for each dataset of which a row might be promoted, once for each leaderboard."""

    @dg.asset_sensor(
        name="promote_champions",
        asset_key=dg.AssetKey("leaderboard"),
        job=job,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=(
            "When the leaderboard has changed: looks in each dataset whether its best row is to be the "
            "champion. Off until it is switched on."
        ),
    )
    def promote_champions(
        context: dg.SensorEvaluationContext, event: dg.EventLogEntry, store: dg.ResourceParam[Store]
    ):
        from gan_core.champions.standings import datasets_with_rows

        version = event.dagster_event.step_materialization_data.materialization.tags[DATA_VERSION_TAG]
        found = datasets_with_rows(store, store.require("leaderboard", "all"))
        return [
            dg.RunRequest(run_key=f"{version}-{dataset}", partition_key=dataset)
            for dataset in found
            if dataset in configs.datasets
        ]

    return promote_champions
