"""The whole graph on real, small work: what runs, what is reused, what fails alone."""

import re

import dagster as dg
import pandas
import pytest

from assets.graph import trained_gan
from gan_core.data import verification
from gan_core.store.provenance import commit_in_words
from pipelines.backfill import backfill
from pipelines.jobs import DATASET_JOB
from tests.assets.conftest import Project
from tests.report_pages import whole_report
from tests.small_project import EXPERIMENT, QUESTION


def run_all(project: Project):
    configs = project.configs
    names = configs.matching(["*"])
    return backfill(project.definitions, configs, project.instance, names)


def last_events(project: Project) -> dict[tuple[str, str | None], dg.AssetMaterialization]:
    """The latest materialisation of every asset and partition."""
    found = {}
    for asset in project.definitions.resolve_asset_graph().get_all_asset_keys():
        for record in project.instance.fetch_materializations(asset, limit=100, ascending=True).records:
            event = record.asset_materialization
            found[(asset.to_user_string(), event.partition)] = event
    return found


def made_anew(project: Project) -> set[tuple[str, str | None]]:
    return {key for key, event in last_events(project).items() if not event.metadata["reused"].value}


def leaderboard(project: Project) -> bytes:
    return (project.folder / "store" / "leaderboard" / "leaderboard.csv").read_bytes()


def test_everything_is_made_once_and_a_change_makes_again_only_what_stands_on_it(project):
    project.write(QUESTION)
    result = run_all(project)
    assert result.failed == {}
    assert result.succeeded == ["conditional", "plain"]
    prepared = ("raw_images", "duplicates", "image_shards", "classifier", "reference_statistics")
    dataset = {(a, "few-digits") for a in prepared}
    of_plain = {(a, "plain") for a in ("trained_gan", "samples", "evaluation", "analysis")}
    of_conditional = {(a, "conditional") for a in ("trained_gan", "samples", "evaluation", "analysis")}
    tables = {("leaderboard", None), ("answers", None), ("report", None)}
    assert made_anew(project) == dataset | of_plain | of_conditional | tables
    assert "Do classes help?" in whole_report(project.store)
    first = leaderboard(project)

    assert run_all(project).failed == {}
    assert made_anew(project) == set()
    assert leaderboard(project) == first

    slower = {"generator": {"learning_rate": 1e-4}}
    project.write({**EXPERIMENT, "optimizers": slower})
    assert run_all(project).failed == {}
    assert made_anew(project) == of_plain | tables
    assert leaderboard(project) != first


@pytest.mark.parametrize(
    "step",
    [
        "data.raw.collect_raw_images",
        "data.shards.write_image_shards",
        "evaluation.classifier.train_classifier",
    ],
)
def test_a_run_whose_step_is_interrupted_is_cancelled_and_goes_on_later(project, monkeypatch, step):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"gan_core.{step}", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_all(project)
    last = project.instance.get_runs(limit=1)[0]
    assert last.status == dg.DagsterRunStatus.CANCELED
    job = project.definitions.resolve_job_def(DATASET_JOB)
    assert job.execute_in_process(instance=project.instance, partition_key="few-digits").success


def test_data_versions_are_the_fingerprints_and_figures_can_be_plotted(project):
    run_all(project)
    events = last_events(project)
    evaluation = events[("evaluation", "plain")]
    manifest = project.store.current("evaluation", "plain")
    assert evaluation.tags["dagster/data_version"] == manifest.version
    assert evaluation.metadata["fid"].value == manifest.figures["fid"]
    key = dg.AssetCheckKey(dg.AssetKey("trained_gan"), "finite_losses")
    check, _ = project.instance.event_log_storage.get_asset_check_execution_history(key, limit=5)
    assert check.evaluation.passed and check.evaluation.metadata["rows"].value > 0
    assert check.evaluation.description == "all 2 pass"
    assert isinstance(events[("trained_gan", "plain")].metadata["images_per_second"].value, float)
    recorded = project.store.require("trained_gan", "plain").provenance
    shown = events[("trained_gan", "plain")].metadata["commit"].value
    assert shown == (commit_in_words(recorded) or "unknown")
    assert "data:image/png;base64," in events[("samples", "plain")].metadata["grid"].value


def test_one_failing_experiment_does_not_stop_the_others(project):
    # How many epochs are too few depends on the shards: it is found when they are there.
    broken = {**EXPERIMENT, "name": "broken", "n_critic": 50, "length": {"epochs": 0.01}}
    diverging = {
        **EXPERIMENT,
        "name": "diverging",
        "optimizers": {"discriminator": {"learning_rate": 1e30}, "generator": {"learning_rate": 1e30}},
    }
    project.write(broken)
    project.write(diverging)
    result = run_all(project)
    assert result.succeeded == ["conditional", "diverging", "plain"]
    assert list(result.failed) == ["broken"]
    assert "experiment `broken`: 3 images are too few" in result.failed["broken"]
    assert "raise `length`, or lower `n_critic`" in result.failed["broken"]
    frame = pandas.read_csv(project.folder / "store" / "leaderboard" / "leaderboard.csv")
    assert sorted(frame["experiment"]) == ["conditional", "diverging", "plain"]
    verdicts = dict(zip(frame["experiment"], frame["verdict"], strict=True))
    assert verdicts["diverging"].startswith("not finite (stopped), ")
    assert verdicts["diverging"].endswith(", no better than untrained")
    assert (project.folder / "store" / "report" / "index.html").exists()


def test_training_shows_itself_while_it_runs(project):
    configs = project.configs
    job = project.definitions.resolve_job_def("prepare_dataset")
    assert job.execute_in_process(instance=project.instance, partition_key="few-digits").success
    result = dg.materialize(
        list(project.definitions.assets),
        instance=project.instance,
        partition_key="plain",
        selection="trained_gan",
        resources={"store": project.store, "configs": configs},
        run_config={"ops": {"trained_gan": {"config": {"observe_seconds": 0.0}}}},
    )
    assert result.success
    records = project.instance.fetch_observations(dg.AssetKey("trained_gan"), limit=100).records
    seen = [record.asset_observation for record in records]
    assert seen
    assert all(observation.partition == "plain" for observation in seen)
    assert {"d_loss", "g_loss", "images_seen", "samples"} <= set(seen[0].metadata)
    tags = project.instance.get_runs(limit=1)[0].tags
    assert tags["dataset"] == "few-digits" and tags["objective"] == "non_saturating" and tags["seed"] == "0"


def test_an_interrupted_training_says_what_was_saved(project, monkeypatch):
    project.write({**EXPERIMENT, "length": {"images": 100_000}})
    assert prepare(project).success

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(trained_gan, "observe", interrupted)
    result = dg.materialize(
        list(project.definitions.assets),
        instance=project.instance,
        partition_key="plain",
        selection="trained_gan",
        resources={"store": project.store, "configs": project.configs},
        run_config={"ops": {"trained_gan": {"config": {"observe_seconds": 0.0}}}},
        raise_on_error=False,
    )
    told = re.compile(r"Saved at [\d,]+ of 100,000 images; press Materialize \(or Re-execute\) to go on")
    (event,) = result.get_step_failure_events()
    assert told.search(event.step_failure_data.error.message.splitlines()[0])
    entries = project.instance.all_logs(result.run_id)
    assert any(told.fullmatch(entry.user_message) for entry in entries)


def prepare(project: Project) -> dg.ExecuteInProcessResult:
    job = project.definitions.resolve_job_def(DATASET_JOB)
    return job.execute_in_process(instance=project.instance, partition_key="few-digits")


def checks_of_shards(result: dg.ExecuteInProcessResult) -> list[dg.AssetCheckEvaluation]:
    shards = dg.AssetKey("image_shards")
    return [found for found in result.get_asset_check_evaluations() if found.asset_key == shards]


def check_shards(project: Project) -> dg.ExecuteInProcessResult:
    """Run the checks of the shards, and nothing else."""
    names = ["shards_intact", "few_undecodable_images", "classes_balanced", "splits_disjoint"]
    checks = {dg.AssetCheckKey(dg.AssetKey("image_shards"), name) for name in names}
    everything = project.definitions.resolve_implicit_global_asset_job_def()
    job = everything.get_subset(asset_selection=set(), asset_check_selection=checks)
    tags = {"dagster/partition": "few-digits"}
    return job.execute_in_process(instance=project.instance, tags=tags, raise_on_error=False)


def test_shards_that_are_reused_are_read_again_only_where_that_is_asked_for(project, monkeypatch):
    reads = []
    verify = verification.verify_image_shards

    def counted(*arguments, **options):
        reads.append(arguments)
        return verify(*arguments, **options)

    monkeypatch.setattr(verification, "verify_image_shards", counted)
    first = checks_of_shards(prepare(project))
    assert len(reads) == 1 and len(first) == 4
    again = checks_of_shards(prepare(project))
    assert len(reads) == 1
    told = [(found.check_name, found.passed, found.severity, dict(found.metadata)) for found in again]
    assert told == [(f.check_name, f.passed, f.severity, dict(f.metadata)) for f in first]
    assert check_shards(project).success and len(reads) == 2


@pytest.mark.parametrize("damage", ["truncate", "flip"])
def test_a_damaged_shard_is_found_by_its_check(project, damage):
    evaluations = checks_of_shards(prepare(project))
    results = {evaluation.check_name: evaluation.passed for evaluation in evaluations}
    assert results == {
        "shards_intact": True,
        "few_undecodable_images": True,
        "classes_balanced": True,
        "splits_disjoint": True,
    }
    path = project.store.local(project.store.current("image_shards", "few-digits"), "train-000000.tar")
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        content = content[: len(content) // 2]
    else:
        content[len(content) // 2] ^= 1
    path.write_bytes(content)
    again = check_shards(project)
    assert [e.check_name for e in again.get_asset_check_evaluations() if not e.passed] == ["shards_intact"]
