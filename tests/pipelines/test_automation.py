"""What runs without a click: evaluation of what was trained, and nothing where content is the same."""

import dagster as dg
import pytest

from gan_core.config import load_configs
from pipelines.definitions import build_definitions

DATASET = "digits"
EXPERIMENT = "demo-dcgan"


class World:
    """An instance in which assets are reported as made, and a cursor over its automation ticks."""

    def __init__(self, instance: dg.DagsterInstance):
        self.instance = instance
        self.definitions = build_definitions(load_configs())
        self.cursor = None

    def make(self, asset: str, version: str, partition: str | None = None) -> None:
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(asset, partition=partition, tags={"dagster/data_version": version})
        )

    def make_dataset(self, version: str) -> None:
        for asset in ("raw_images", "image_shards", "classifier", "reference_statistics"):
            self.make(asset, version, DATASET)

    def tick(self) -> set[tuple[str, str | None]]:
        """The (asset, partition) pairs that this tick asks for."""
        result = dg.evaluate_automation_conditions(self.definitions, self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        return {
            (part.asset_key.to_user_string(), part.partition_key)
            for item in result.results
            for part in item.true_subset.expensively_compute_asset_partitions()
        }


@pytest.fixture
def world():
    with dg.DagsterInstance.ephemeral() as instance:
        world = World(instance)
        world.tick()
        yield world


def test_nothing_runs_in_an_empty_project(world):
    assert world.tick() == set()


def test_shards_bring_classifier_and_reference_but_no_training(world):
    world.make("raw_images", "1", DATASET)
    world.make("image_shards", "1", DATASET)
    requested = world.tick()
    assert ("classifier", DATASET) in requested
    assert not {asset for asset, _ in requested} & {"trained_gan", "samples", "evaluation"}


def test_a_trained_gan_is_sampled_then_evaluated_then_compared(world):
    world.make_dataset("1")
    world.tick()
    world.make("trained_gan", "1", EXPERIMENT)
    assert {("samples", EXPERIMENT), ("evaluation", EXPERIMENT)} <= world.tick()
    world.make("samples", "1", EXPERIMENT)
    world.make("evaluation", "1", EXPERIMENT)
    assert {("leaderboard", None), ("report", None)} <= world.tick()


def test_the_report_waits_for_a_leaderboard(world):
    world.make_dataset("1")
    assert world.tick() == set()


def settled(world: World) -> None:
    """Everything is made for one experiment, and automation has seen it."""
    world.make_dataset("1")
    for asset in ("trained_gan", "samples", "evaluation"):
        world.make(asset, "1", EXPERIMENT)
    for asset in ("leaderboard", "report"):
        world.make(asset, "1")
    world.tick()
    world.tick()


def test_identical_data_retrains_nothing(world):
    settled(world)
    world.make_dataset("1")
    assert world.tick() == set()
    assert world.tick() == set()


def test_changed_data_retrains_what_was_trained_and_nothing_else(world):
    settled(world)
    world.make("raw_images", "2", DATASET)
    assert world.tick() == {("image_shards", DATASET)}
    world.make("image_shards", "2", DATASET)
    requested = world.tick()
    assert ("trained_gan", EXPERIMENT) in requested
    assert {key for asset, key in requested if asset == "trained_gan"} == {EXPERIMENT}
