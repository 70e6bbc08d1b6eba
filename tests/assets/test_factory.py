"""An asset is one declaration: what the factory makes of it, shown by assets that only these tests have."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

import assets.graph  # noqa: F401
from assets import factory
from assets.factory import DECLARATIONS, StepRun, asset_definitions, declare
from gan_core.remedies import how_to_make
from gan_core.steps import Step
from gan_core.store import Build, Manifest
from gan_core.versions import CODE_VERSIONS
from pipelines.partitions import partitions_of
from tests.few_images import EPOCHS
from tests.small_project import EXPERIMENT

REPOSITORY = Path(__file__).parents[2]


class Journal(list):
    """What the declared functions were called for, in order."""


@pytest.fixture
def journal(monkeypatch) -> Journal:
    """Two more assets per experiment: `palette`, and `swatch` which reads it."""
    monkeypatch.setattr(factory, "DECLARATIONS", dict(DECLARATIONS))
    for name in ("palette", "swatch"):
        monkeypatch.setitem(CODE_VERSIONS, name, "0")  # so that it is gone after the test
        del CODE_VERSIONS[name]
    journal = Journal()
    declare_two(journal)
    return journal


def declare_two(journal: Journal) -> None:
    def palette_step(run: StepRun) -> Step:
        journal.append(("palette's step", logged(run)))
        return Step("palette", run.partition, {"seed": run.experiment.seed})

    def swatch_step(run: StepRun) -> Step:
        return Step("swatch", run.partition, {}, {"palette": run.input("palette")})

    def shown(run: StepRun, manifest: Manifest) -> dict:
        journal.append("swatch is drawn")
        return {"picture": dg.MetadataValue.md("a picture")}

    def is_bright(run: StepRun, manifest: Manifest) -> dg.AssetCheckResult:
        """The brightness is above
        a half."""
        passed = manifest.figures["brightness"] > 0.5
        return dg.AssetCheckResult(passed=passed, description="too dark")

    @declare(partitions="experiments", group="colours", kinds={"python"}, step=palette_step, code_version="7")
    def palette(run: StepRun) -> Manifest:
        """The colours."""
        journal.append("palette is made")
        return palette_step(run).produce(run.store, lambda work: None, force=run.force)

    @declare(
        partitions="experiments",
        group="colours",
        kinds={"python"},
        deps=["palette"],
        step=swatch_step,
        metadata=shown,
        checks=[is_bright],
        code_version="1",
    )
    def swatch(run: StepRun) -> Manifest:
        """One colour,
        shown large."""
        journal.append("swatch is made")
        if run.input("palette").config["seed"] != run.experiment.seed:
            raise ValueError("the palette is older than the configuration")

        def build(work: Build) -> None:
            (work.folder / "colour.txt").write_text("teal")
            work.figures["brightness"] = 0.25

        return swatch_step(run).produce(run.store, build, force=run.force)


def logged(run: StepRun) -> list[str]:
    """What this step has said so far."""
    entries = run.context.instance.all_logs(run.context.run_id)
    return [entry.user_message for entry in entries if not entry.is_dagster_event]


def materialize(project, *assets: str, force: bool = False) -> dg.ExecuteInProcessResult:
    partitions = partitions_of(project.configs)
    definitions = asset_definitions(
        partitions.datasets, partitions.experiments, partitions.sweeps, partitions.dataset_of_experiment
    )
    return dg.materialize(
        definitions,
        instance=project.instance,
        partition_key="plain",
        selection=list(assets),
        resources={"store": project.store, "configs": project.configs},
        run_config={"ops": {asset: {"config": {"force": force}} for asset in assets}},
        raise_on_error=False,
    )


def recorded(project, asset: str) -> dg.AssetMaterialization:
    return project.instance.get_latest_materialization_event(dg.AssetKey(asset)).asset_materialization


def test_a_declaration_is_an_asset_with_all_that_it_says(project, journal):
    result = materialize(project, "palette", "swatch")
    assert result.success
    made = recorded(project, "swatch")
    manifest = project.store.require("swatch", "plain")
    assert made.partition == "plain" and made.tags["dagster/data_version"] == manifest.version
    assert made.metadata["brightness"].value == 0.25
    assert made.metadata["picture"].value == "a picture"
    assert made.metadata["reused"].value is False
    assert made.metadata["bytes_stored"].value == manifest.total_bytes > 0
    assert made.metadata["reused"].value is False
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("is_bright", False)
    assert check.description == "1 of 1 do not pass: plain"

    partitions = partitions_of(project.configs)
    (swatch,) = (
        item
        for item in asset_definitions(
            partitions.datasets,
            partitions.experiments,
            partitions.sweeps,
            partitions.dataset_of_experiment,
        )
        if item.key.to_user_string() == "swatch"
    )
    spec = swatch.get_asset_spec()
    assert spec.description == "One colour, shown large."
    assert (spec.group_name, spec.code_version, spec.kinds) == ("colours", "1", {"python"})
    (check_spec,) = swatch.check_specs
    assert check_spec.description == "The brightness is above a half."


def test_what_is_there_is_neither_made_nor_drawn_again_unless_forced(project, journal):
    assert materialize(project, "palette", "swatch").success
    journal.clear()
    again = materialize(project, "palette", "swatch")
    assert again.success and not any("made" in entry or "drawn" in entry for entry in journal)
    shown = recorded(project, "swatch").metadata
    assert shown["reused"].value is True and shown["picture"].value == "a picture"
    assert [check.passed for check in again.get_asset_check_evaluations()] == [False]

    assert materialize(project, "palette", force=True).success
    assert "palette is made" in journal


def test_a_step_speaks_before_it_looks(project, journal):
    materialize(project, "palette")
    ((_, said), *_) = journal
    assert said == ["looking whether it is there already"]


def test_an_input_that_is_older_than_the_configuration_is_left_to_the_body_to_refuse(project, journal):
    assert materialize(project, "palette", "swatch").success
    project.write({**EXPERIMENT, "seed": 5})
    journal.clear()
    assert not materialize(project, "swatch").success
    assert "swatch is made" in journal  # which raised
    assert materialize(project, "palette", "swatch").success


def failed_step(result: dg.ExecuteInProcessResult):
    (event,) = result.get_step_failure_events()
    return event.step_failure_data.error


def test_the_first_line_of_a_failure_is_its_cause_and_remedy(project, journal):
    result = materialize(project, "swatch")
    error = failed_step(result)
    where = f"palette/plain is not in {project.store.url}"
    assert error.message == f"Failed: {where}: materialise palette of `plain`\n"
    assert (error.stack, error.cause, error.context) == ([], None, None)
    entries = project.instance.all_logs(result.run_id)
    (stack,) = (e for e in entries if not e.is_dagster_event and e.user_message.startswith("Traceback"))
    assert stack.level == logging.DEBUG and "StoreError" in stack.user_message


def test_a_bug_keeps_its_stack(project, journal):
    assert materialize(project, "palette", "swatch").success
    project.write({**EXPERIMENT, "seed": 5})
    result = materialize(project, "swatch")
    error = failed_step(result)
    assert error.cause.message == "ValueError: the palette is older than the configuration\n"
    assert "in swatch" in "".join(error.cause.stack)
    assert not result.get_asset_check_evaluations()  # as they were: nothing was looked at


def test_a_step_that_is_interrupted_says_what_is_left(project, journal, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Step, "produce", interrupted)
    error = failed_step(materialize(project, "palette"))
    told = "Nothing of palette was saved; press Materialize (or Re-execute) to go on"
    assert error.message == f"KeyboardInterrupt: {told}\n"


def test_runs_are_tagged_by_what_their_partition_is(project, journal):
    tags = project.instance.get_run_by_id(materialize(project, "palette").run_id).tags
    shown = {name: tags[name] for name in ("dataset", "architecture", "objective", "seed")}
    assert shown == {
        "dataset": "few-digits",
        "architecture": "dcgan",
        "objective": "non_saturating",
        "seed": "0",
    }


def test_messages_name_what_can_be_done_in_the_ui():
    job = "launch the job run_experiment for `plain`, or "
    assert how_to_make("samples", "plain") == job + "materialise samples of `plain`"
    assert how_to_make("report", "all") == "launch the job compare_experiments, or materialise report"
    assert how_to_make("samples", "plain", force=True) == "materialise samples of `plain` with `force: true`"


def test_a_name_is_declared_once(journal):
    with pytest.raises(ValueError, match="`palette` is registered twice"):
        declare_two(journal)


def test_every_asset_has_a_module_of_its_own():
    modules = {path.stem for path in (REPOSITORY / "assets" / "graph").glob("[!_]*.py")}
    assert modules == set(DECLARATIONS) <= set(CODE_VERSIONS)


ALONE = """
import json, sys
import dagster as dg
from gan_core import steps
from gan_core.config import load_configs
from pipelines.definitions import build_definitions

steps.CLASSIFIER_TRAINING["max_epochs"] = int(sys.argv[2])
definitions, loaded = build_definitions(load_configs()), {}
with dg.DagsterInstance.ephemeral() as instance:
    for asset, partition in json.loads(sys.argv[1]):
        job = definitions.resolve_implicit_global_asset_job_def()
        job = job.get_subset(asset_selection={dg.AssetKey(asset)})
        tags = {"dagster/partition": partition} if partition else {}
        result = job.execute_in_process(instance=instance, partition_key=partition, tags=tags)
        (event,) = result.get_asset_materialization_events()
        reused = event.materialization.metadata["reused"].value
        loaded[asset] = [reused, "torch" in sys.modules, "tensorboard" in sys.modules]
print(json.dumps(loaded))
"""


def test_whatever_is_there_is_found_without_pytorch(project):
    for job, partition in (("prepare_dataset", "few-digits"), ("run_experiment", "plain")):
        assert (
            project.definitions.resolve_job_def(job)
            .execute_in_process(instance=project.instance, partition_key=partition)
            .success
        )
    tables = project.definitions.resolve_job_def("compare_experiments")
    assert tables.execute_in_process(instance=project.instance).success
    partition = {"datasets": "few-digits", "experiments": "plain", None: None}
    steps = [
        (name, partition[item.partitions])
        for name, item in DECLARATIONS.items()
        # Not a sweep, whose work is other runs, nor a champion: what is drawn here is none.
        if item.partitions in partition and name != "champion"
    ]
    result = subprocess.run(
        [sys.executable, "-c", ALONE, json.dumps(steps), str(EPOCHS)],
        cwd=REPOSITORY,
        env={**os.environ, "GAN_CONFIGS": str(project.folder / "configs")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    loaded = json.loads(result.stdout.splitlines()[-1])
    assert loaded == {name: [True, False, False] for name, _ in steps}
