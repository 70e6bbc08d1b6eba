"""What Dagster loads: complete, valid, quick."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from gan_core.config import load_configs
from gan_core.versions import CODE_VERSIONS
from pipelines.definitions import build_definitions

REPOSITORY = Path(__file__).parents[2]
DATASET_ASSETS = {"raw_images", "duplicates", "image_shards", "classifier", "reference_statistics"}
EXPERIMENT_ASSETS = {"trained_gan", "samples", "evaluation", "analysis"}
TABLES = {"leaderboard", "answers", "report"}
CHAMPIONS = {"champion"}


@pytest.fixture(scope="module")
def repository():
    return build_definitions(load_configs(REPOSITORY / "configs")).get_repository_def()


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    clean = {key: value for key, value in os.environ.items() if key != "DAGSTER_HOME"}
    return subprocess.run(
        arguments,
        cwd=REPOSITORY,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def tool(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def test_assets_are_complete_and_described(repository):
    specs = (
        {spec.key.to_user_string(): spec for spec in repository.asset_graph.get_all_asset_keys_specs()}
        if hasattr(repository.asset_graph, "get_all_asset_keys_specs")
        else {node.key.to_user_string(): node for node in repository.asset_graph.asset_nodes}
    )
    assert set(specs) == DATASET_ASSETS | EXPERIMENT_ASSETS | TABLES | CHAMPIONS | {"configurations", "sweep"}
    for name, node in specs.items():
        assert node.description and node.group_name != "default", name
        assert node.owners and node.kinds, name
        assert node.code_version == CODE_VERSIONS.get(name)


def test_the_graph_is_the_designed_one(repository):
    parents = {
        node.key.to_user_string(): {key.to_user_string() for key in node.parent_keys}
        for node in repository.asset_graph.asset_nodes
    }
    assert parents == {
        "configurations": set(),
        "raw_images": set(),
        "duplicates": {"raw_images"},
        "image_shards": {"raw_images", "duplicates"},
        "classifier": {"image_shards"},
        "reference_statistics": {"image_shards", "classifier"},
        "trained_gan": {"image_shards", "classifier"},
        "samples": {"trained_gan"},
        "evaluation": {"samples", "reference_statistics", "classifier"},
        "analysis": {"trained_gan", "image_shards", "classifier"},
        "sweep": set(),
        "leaderboard": {"trained_gan", "evaluation"},
        "champion": {"leaderboard"},
        "answers": {"trained_gan", "samples", "evaluation"},
        "report": {
            "leaderboard",
            "answers",
            "trained_gan",
            "samples",
            "evaluation",
            "reference_statistics",
            "classifier",
            "raw_images",
            "duplicates",
            "image_shards",
            "analysis",
            "sweep",
        },
    }


def test_an_experiment_depends_on_its_own_dataset_only(repository):
    graph = repository.asset_graph
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.AssetKey("image_shards")
        mapping = graph.get_partition_mapping(dg.AssetKey("trained_gan"), context)
        upstream = mapping.get_upstream_mapped_partitions_result_for_partitions(
            graph.get(dg.AssetKey("trained_gan")).partitions_def.subset_with_partition_keys(["demo-dcgan"]),
            graph.get(dg.AssetKey("trained_gan")).partitions_def,
            graph.get(context).partitions_def,
            dynamic_partitions_store=instance,
        )
    assert set(upstream.partitions_subset.get_partition_keys()) == {"digits"}


def test_definitions_load_without_what_the_steps_need():
    heavy = "'torch', 'tensorboard', 'matplotlib', 'pandas', 'numpy', 'pyarrow', 'PIL', 'sklearn'"
    show = f"import pipelines.definitions, sys; print([name for name in ({heavy}) if name in sys.modules])"
    result = command(sys.executable, "-c", show)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"


def test_dagster_and_dg_validate_the_shipped_definitions():
    for arguments in (
        ["dagster", "definitions", "validate", "-w", "workspace.yaml"],
        ["dg", "check", "defs"],
    ):
        result = command(tool(arguments[0]), *arguments[1:])
        assert result.returncode == 0, result.stdout + result.stderr
