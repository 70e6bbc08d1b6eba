"""What compares the experiments: the leaderboard and the report."""

import dagster as dg

from assets.conditions import follow_any_input
from assets.recording import StepConfig, materialized
from gan_core.config import Configs
from gan_core.store import Store
from gan_core.versions import CODE_VERSIONS

GROUP = "results"


def table_assets() -> list[dg.AssetsDefinition]:
    """The two assets over all experiments. What is missing is left out of them, not waited for."""

    @dg.asset(
        deps=["trained_gan", "evaluation"],
        group_name=GROUP,
        kinds={"pandas"},
        code_version=CODE_VERSIONS["leaderboard"],
        automation_condition=follow_any_input(),
        description="One row per evaluated experiment, best FID first, each with its protocol.",
    )
    def leaderboard(
        context: dg.AssetExecutionContext,
        config: StepConfig,
        store: dg.ResourceParam[Store],
        configs: dg.ResourceParam[Configs],
    ) -> dg.MaterializeResult:
        from gan_core.report.leaderboard import build_leaderboard, leaderboard_markdown, read_leaderboard

        manifest = build_leaderboard(
            store,
            configs.experiments,
            store.all_current("trained_gan", configs.experiments),
            store.all_current("evaluation", configs.experiments),
            force=config.force,
            emit=context.log.info,
        )
        frame = read_leaderboard(store, manifest)
        return materialized(
            context,
            store,
            manifest,
            {"table": dg.MetadataValue.md(leaderboard_markdown(frame)), "rows": len(frame)},
        )

    @dg.asset(
        deps=[leaderboard, "trained_gan", "samples", "evaluation", "reference_statistics", "classifier"],
        group_name=GROUP,
        kinds={"html"},
        code_version=CODE_VERSIONS["report"],
        automation_condition=follow_any_input("leaderboard"),
        description="One page, readable offline: every experiment's samples, curves and figures.",
    )
    def report(
        context: dg.AssetExecutionContext,
        config: StepConfig,
        store: dg.ResourceParam[Store],
        configs: dg.ResourceParam[Configs],
    ) -> dg.MaterializeResult:
        from gan_core.report.report import build_report

        manifest = build_report(
            store,
            configs,
            store.require("leaderboard", "all"),
            store.all_current("trained_gan", configs.experiments),
            store.all_current("samples", configs.experiments),
            store.all_current("evaluation", configs.experiments),
            store.all_current("reference_statistics", configs.datasets),
            store.all_current("classifier", configs.datasets),
            force=config.force,
            emit=context.log.info,
        )
        page = store.address(f"{store.root}/report/index.html")
        return materialized(context, store, manifest, {"page": dg.MetadataValue.path(page)})

    return [leaderboard, report]
