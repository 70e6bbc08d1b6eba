"""The asset `duplicates` in the graph: where none are asked for, and where the shards leave them out."""

import dagster as dg

from tests.assets.conftest import Project
from tests.small_project import DATASET

NAME = DATASET["name"]


def materialise(project: Project, *assets: str) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        list(project.definitions.assets),
        instance=project.instance,
        partition_key=NAME,
        selection=list(assets),
        resources={"store": project.store, "configs": project.configs},
        raise_on_error=False,
    )


def metadata_of(result: dg.ExecuteInProcessResult, asset: str) -> dict:
    (event,) = [e for e in result.get_asset_materialization_events() if e.asset_key == dg.AssetKey(asset)]
    return event.materialization.metadata


def test_where_none_are_asked_for_the_asset_says_so_and_the_shards_do_without(project):
    shards = materialise(project, "raw_images", "image_shards")
    assert shards.success  # also in a store from before there was such a step
    result = materialise(project, "duplicates")
    assert "set `deduplicate`" in metadata_of(result, "duplicates")["asked_for"].value
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("few_near_duplicates", True)
    again = materialise(project, "image_shards")
    assert metadata_of(again, "image_shards")["reused"].value
    assert materialise(project, "image_shards").success


def test_what_is_left_out_has_a_lineage(project):
    materialise(project, "raw_images", "duplicates", "image_shards")
    whole = project.store.require("image_shards", NAME)
    project.write({**DATASET, "deduplicate": {"threshold": 8, "remove": True}})
    stale = materialise(project, "image_shards")
    assert not stale.success  # what was found by other settings is not left out
    result = materialise(project, "duplicates", "image_shards")
    assert result.success
    found, fewer = (project.store.require(asset, NAME) for asset in ("duplicates", "image_shards"))
    assert found.figures["duplicates"] > 0
    assert fewer.figures["images_train"] == whole.figures["images_train"] - found.figures["duplicates"]
    assert fewer.inputs["duplicates"] == found.fingerprint and fewer.fingerprint != whole.fingerprint
    shown = metadata_of(result, "duplicates")
    assert "data:image/png;base64," in shown["pairs.png"].value
    assert shown["duplicate_share"].value == found.figures["duplicate_share"]
    assert metadata_of(materialise(project, "image_shards"), "image_shards")["reused"].value
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert checks["few_near_duplicates"].metadata["share_that_stays"].value == 0.0
