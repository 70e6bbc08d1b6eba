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
        for asset in ("raw_images", "duplicates", "image_shards", "classifier", "reference_statistics"):
            self.make(asset, version, DATASET)

    def queue(self, experiment: str) -> dg.DagsterRun:
        """A run of the experiment's job that waits for its turn."""
        return self.instance.create_run_for_job(
            self.definitions.resolve_job_def("run_experiment"),
            tags={"dagster/partition": experiment},
        )

    def end(self, run: dg.DagsterRun) -> None:
        """The run is over, whatever it made."""
        self.instance.report_run_canceled(run)

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
    assert world.tick() == {("duplicates", DATASET)}
    world.make("duplicates", "1", DATASET)
    world.make("image_shards", "1", DATASET)
    requested = world.tick()
    assert ("classifier", DATASET) in requested
    assert not {asset for asset, _ in requested} & {"trained_gan", "samples", "evaluation"}


TABLES = {("leaderboard", None), ("answers", None), ("report", None)}


def test_a_trained_gan_is_sampled_then_evaluated_then_compared(world):
    world.make_dataset("1")
    world.tick()
    world.make("trained_gan", "1", EXPERIMENT)
    assert world.tick() == {("samples", EXPERIMENT), ("evaluation", EXPERIMENT)}
    world.make("samples", "1", EXPERIMENT)
    world.make("evaluation", "1", EXPERIMENT)
    assert world.tick() == set()
    assert world.tick() == TABLES


@pytest.mark.parametrize("last", ["succeeds", "is cancelled"])
def test_the_tables_are_made_once_after_a_group_of_runs(world, last):
    world.make_dataset("1")
    world.tick()
    names = ["demo-acgan", "demo-dcgan", "demo-wgan-gp"]
    runs = {name: world.queue(name) for name in names}
    for name in names[:2]:
        for asset in ("trained_gan", "samples", "evaluation"):
            world.make(asset, "1", name)
            assert world.tick() & TABLES == set()
        world.end(runs[name])
        assert world.tick() & TABLES == set()
    if last == "succeeds":
        for asset in ("trained_gan", "samples", "evaluation"):
            world.make(asset, "1", names[2])
    world.end(runs[names[2]])
    times = 0
    for _ in range(5):
        if asked_for := world.tick() & TABLES:
            assert asked_for == TABLES
            times += 1
            for asset, _ in sorted(TABLES):
                world.make(asset, "1")
    assert times == 1


def test_the_report_waits_for_a_leaderboard(world):
    world.make_dataset("1")
    assert world.tick() == set()


def settled(world: World) -> None:
    """Everything is made for one experiment, and automation has seen it."""
    world.make_dataset("1")
    for asset in ("trained_gan", "samples", "evaluation"):
        world.make(asset, "1", EXPERIMENT)
    for asset in ("leaderboard", "answers", "report"):
        world.make(asset, "1")
    for _ in range(3):
        world.tick()


def test_identical_data_retrains_nothing(world):
    settled(world)
    world.make_dataset("1")
    assert world.tick() == set()
    assert world.tick() == set()


def test_changed_data_retrains_what_was_trained_and_nothing_else(world):
    settled(world)
    world.make("raw_images", "2", DATASET)
    assert world.tick() == {("duplicates", DATASET), ("image_shards", DATASET)}
    world.make("duplicates", "2", DATASET)
    world.make("image_shards", "2", DATASET)
    requested = world.tick()
    assert ("trained_gan", EXPERIMENT) in requested
    assert {key for asset, key in requested if asset == "trained_gan"} == {EXPERIMENT}
