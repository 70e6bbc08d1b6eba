"""What a plan says of a store: states, what is made or reused, times and memory that were recorded."""

import json
import re
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from gan_core.config import load_configs
from gan_core.planning import State, make_plan
from gan_core.planning import records as records_module
from gan_core.planning.records import Records
from gan_core.planning.tables import plan_parts, total_text
from gan_core.store.lease import Lease
from gan_core.store.provenance import provenance
from gan_core.training.records.conditions import fp32_instead
from tests.small_project import EXPERIMENT, write_config
from tests.small_store import DATASET, SEED


def actions(planned) -> dict[str, str]:
    return {step.asset: step.action for step in planned.steps}


def test_of_an_empty_store_everything_is_made_and_nothing_is_known(empty):
    plan = empty.plan("plain")
    (dataset,), (plain,) = plan.datasets, plan.experiments
    assert set(actions(dataset).values()) == set(actions(plain).values()) == {"make"}
    assert plain.state.state is State.NEVER and plain.memory == {}
    assert plan.seconds == 0 and plan.unknown == ("few-digits", "plain")
    assert total_text(plan) == (
        "1 to train; time unknown: nothing like it was recorded here of few-digits, plain; memory unknown"
    )
    assert not (empty.folder / "store").exists()


def test_what_was_made_is_reused_and_takes_no_time(whole):
    plan = whole.plan("plain")
    (dataset,), (plain,) = plan.datasets, plan.experiments
    assert set(actions(dataset).values()) == set(actions(plain).values()) == {"reuse"}
    assert plain.state.state is State.EVALUATED and plain.state.images_seen == 1000
    assert plan.seconds == 0 and not plan.unknown and total_text(plan) == "1 to reuse"


def test_times_and_memory_of_a_training_are_those_of_one_that_does_the_same_work(whole):
    plan = whole.plan("seed", "wide")
    seed, wide = plan.experiments
    recorded = whole.store.require("trained_gan", "plain")
    # The recorded clock has eight of nine evaluations: the one of the end comes after it.
    each = recorded.figures["seconds_evaluating"] / 8
    steps = 2000 / recorded.figures["images_per_second"]
    assert seed.training.seconds == pytest.approx(steps + 10 * each)
    assert seed.recorded_of == ("plain",) and not seed.unknown
    assert seed.memory["host"].value == recorded.details["peak_memory_bytes"]["host"] > 50e6
    assert seed.memory["host"].of == "plain"
    assert wide.training.seconds is None and wide.memory == {}
    # How long an evaluation takes is decided by the dataset's file.
    assert set(wide.unknown) == {"trained_gan", "samples", "analysis"}
    assert plan.unknown == ("wide",) and plan.count("make") == 2
    told = total_text(plan)
    assert f"on {recorded.details['device']} as the newest training here: nothing like it" in told
    assert told.endswith("was recorded here of wide; at least " + told.rpartition("at least ")[2])
    assert told.endswith(" of memory: unknown of 1") and "2 to train; at least " in told
    assert total_text(whole.plan("seed")).count("at most ") == 1


@pytest.mark.parametrize(
    ("changed", "known"),
    [
        ({"learning_rate_decay": "linear"}, True),
        ({"schedules": {"learning_rate": {"to": 1e-5}}}, True),
        ({"optimizers": {"generator": {"learning_rate": 1e-5}}}, True),
        ({"optimizers": {"generator": {"name": "sgd"}}}, False),
        ({"evaluate_every": 500}, True),
        ({"evaluation_samples": 100}, False),
        ({"sample_every": 100}, False),
        ({"checkpoint_every": 500}, False),
        ({"log_every": 6}, False),
        ({"shuffle_window": 100}, False),
        ({"ema_decay": 0.9}, False),
        ({"ema_half_life": 90}, False),
    ],
)
def test_a_training_of_other_conditions_says_nothing(whole, tmp_path, changed, known):
    shutil.copytree(whole.folder / "configs", tmp_path / "configs")
    write_config(tmp_path / "configs", {**SEED, **changed})
    (seed,) = make_plan(whole.store, load_configs(tmp_path / "configs"), ["seed"]).experiments
    assert (seed.training.seconds is not None) == known == bool(seed.memory)


@pytest.mark.parametrize("name", ["GAN_PROCESSES", "GAN_DECODERS", "GAN_MEMORY_LIMIT"])
def test_a_training_of_another_environment_says_nothing(whole, monkeypatch, name):
    monkeypatch.setenv(name, "2")
    plan = whole.plan("seed")
    assert plan.experiments[0].training.seconds is None and plan.experiments[0].memory == {}
    assert total_text(plan).startswith("1 to train; time unknown: nothing like it was recorded here of seed")
    assert total_text(plan).endswith("; memory unknown")


def test_a_training_on_fewer_images_says_nothing(whole):
    records, seed = Records(whole.store, whole.configs), whole.configs.experiments["seed"]
    shards = whole.store.require("image_shards", "few-digits")
    splits = shards.details["splits"]
    more = {**splits, "train": {**splits["train"], "images": 3_000_000}}
    larger = shards.model_copy(update={"details": {**shards.details, "splits": more}})
    assert records.memory_bytes(seed, shards, "host") and records.training_seconds(seed, shards)
    assert not records.memory_bytes(seed, larger, "host") and not records.training_seconds(seed, larger)


def recorded_as(project, name: str, **changed) -> None:
    """Note the training of `plain` as one of `name` with other details, made later."""
    made = project.store.require("trained_gan", "plain")
    details = {key: value for key, value in {**made.details, **changed}.items() if value is not None}
    other = made.model_copy(update={"partition": name, "details": details, "created_at": "2999-01-01"})
    folder = project.folder / "store" / "trained_gan" / name
    if name != "plain":
        shutil.copytree(folder.with_name("plain"), folder)
    for file in ("manifest.json", "manifest-copy.json"):
        (folder / made.fingerprint / file).write_bytes(other.to_json())


def test_the_device_is_that_of_the_newest_training_here(project):
    recorded_as(project, "wide", device="another GPU", peak_memory_bytes={"gpu": 2_500_000_000})
    plan = project.plan("seed")
    (seed,) = plan.experiments
    assert seed.recorded_of == ("wide", "plain") and seed.training.recorded_of == "wide"
    assert plan.device == plan.record()["device"] == "another GPU" and set(seed.memory) == {"gpu"}
    told = total_text(plan)
    assert told.endswith("on another GPU as the newest training here; at most 2.5 GB of memory of the GPU")


def test_a_training_from_before_its_conditions_were_recorded_says_nothing(project):
    recorded_as(project, "plain", conditions=None)
    (plain,) = project.plan("plain", force=True).experiments
    assert plain.training.seconds is None and plain.memory == {} and "samples" not in plain.unknown


def test_a_training_from_before_the_default_cadence_changed_says_its_speed(project):
    """Its conditions name the defaults of then, and its speed has the evaluations in it."""
    made = project.store.require("trained_gan", "plain")
    of_then = {**made.details["conditions"], "evaluate_every": 50_000, "sample_every": 50_000}
    recorded_as(project, "plain", conditions=of_then)
    (plain,) = project.plan("plain", force=True).experiments
    assert plain.training.seconds > 0 and plain.memory["host"].value > 0


def test_a_training_in_fp32_that_was_to_be_in_bf16_is_named(project):
    made = project.store.require("trained_gan", "plain")
    config = {**made.config, "precision": "bf16"}
    asked = made.model_copy(update={"config": config, "details": {**made.details, "device": "a CPU"}})
    in_bf16 = asked.model_copy(update={"details": {**made.details, "precision": "bf16"}})
    assert fp32_instead(asked) == "trained in fp32 instead of bf16, which a CPU is not known to be fast in"
    assert fp32_instead(made) is None and fp32_instead(in_bf16) is None
    folder = project.store.folder(made.asset, made.partition, made.fingerprint)
    for name in ("manifest.json", "manifest-copy.json"):
        Path(folder, name).write_bytes(asked.to_json())
    (plain,) = project.plan("plain").experiments
    assert plain.state.in_words == f"evaluated ({fp32_instead(asked)})"


def test_a_record_of_another_machine_says_nothing_of_this_one(whole, monkeypatch):
    here = provenance()
    other = {**here, "machine": {**here["machine"], "processor": "another"}}
    monkeypatch.setattr(records_module, "provenance", lambda: other)
    (seed,) = whole.plan("seed").experiments
    assert seed.training.seconds is None and seed.memory == {}


def test_a_changed_key_is_named_and_its_training_is_made_again(project):
    project.write({**EXPERIMENT, "batch_size": 25})
    (plain,) = project.plan("plain").experiments
    assert plain.state.state is State.OUT_OF_DATE and plain.state.why == ("batch_size 50 → 25",)
    assert set(actions(plain).values()) == {"make"} and plain.training.seconds is None
    project.write({**EXPERIMENT, "seed": 5})
    (plain,) = project.plan("plain").experiments
    assert plain.state.in_words == "out of date (seed 0 → 5)"
    assert plain.training.seconds > 0 and plain.training.recorded_of is None


def test_a_changed_dataset_is_made_again_with_all_that_stands_on_it(project):
    project.write({**DATASET, "crop": "crop_then_resize"})
    plan = project.plan("plain")
    (dataset,), (plain,) = plan.datasets, plan.experiments
    made = {name for name, action in actions(dataset).items() if action == "make"}
    assert made == {"image_shards", "classifier", "reference_statistics"}
    assert dataset.unknown == ("image_shards",) and dataset.seconds > 0  # it was never cropped like this
    assert plain.state.why == ("dataset few-digits has changed",)
    assert set(actions(plain).values()) == {"make"}


def test_of_another_choice_of_images_nothing_is_known(project):
    project.write({**DATASET, "limit": 60})
    plan = project.plan("plain")
    (dataset,), (plain,) = plan.datasets, plan.experiments
    assert set(actions(dataset).values()) == set(actions(plain).values()) == {"make"}
    assert plain.state.why == ("dataset few-digits has changed",) and plain.memory == {}
    assert set(dataset.unknown) == set(actions(dataset)) and plain.training.seconds is None
    # Samples take as long of whatever images a generator has learned.
    assert set(plain.unknown) == {"trained_gan", "evaluation", "analysis"}


def test_only_what_is_missing_after_a_training_is_made(project):
    project.write({**DATASET, "evaluation": {"samples": 100}})
    (plain,) = project.plan("plain").experiments
    assert plain.state.state is State.TRAINED and plain.state.why == ("its evaluation is out of date",)
    assert actions(plain) == {
        "trained_gan": "reuse",
        "samples": "make",
        "evaluation": "make",
        "analysis": "reuse",
    }
    # Half as many images were never drawn or measured.
    assert plain.unknown == ("samples", "evaluation")


def test_an_interrupted_training_is_resumed_where_its_checkpoint_is(project):
    def interrupt(snapshot):
        raise KeyboardInterrupt

    project.write({**SEED, "length": {"images": 10**6}})
    with pytest.raises(KeyboardInterrupt):
        project.train("seed", observe=interrupt, observe_interval=0.0)
    plan = project.plan("seed")
    (seed,) = plan.experiments
    seen = seed.state.images_seen
    assert seed.state.state is State.PARTLY and 0 < seen < 10**6 and seen % 50 == 0
    assert seed.training.action == "resume" and actions(seed)["samples"] == "make"
    figures = project.store.require("trained_gan", "plain").figures
    rate, each = figures["images_per_second"], figures["seconds_evaluating"] / 8
    assert seed.training.seconds == pytest.approx((10**6 - seen) / rate + 21 * each, abs=1.5 * each)
    assert total_text(plan).startswith("1 to resume; about ")
    folder = project.folder / "store" / "trained_gan" / "seed"
    for path in folder.rglob("checkpoint-*.json"):
        path.rename(path.with_suffix(".kept"))  # as of one that was killed while it wrote
    assert project.plan("seed").experiments[0].state.state is State.NEVER
    for path in folder.rglob("checkpoint-*.kept"):
        path.rename(path.with_suffix(".json"))
    (forced,) = project.plan("seed", force=True).experiments
    assert forced.training.action == "make" and forced.training.seconds == pytest.approx(
        10**6 / rate + 22 * each
    )
    project.write({**DATASET, "crop": "crop_then_resize"})  # no checkpoint of other images is gone on with
    assert project.plan("seed").experiments[0].training.action == "make"


def test_force_trains_again_what_is_there(whole):
    (plain,) = whole.plan("plain", force=True).experiments
    assert set(actions(plain).values()) == {"make"} and plain.training.recorded_of is None


def test_a_training_that_was_begun_again_is_not_reused(project):
    step = project.plan("plain").experiments[0].state.found["trained_gan"].step
    project.store.begin_again(step.asset, step.partition, step.fingerprint)
    (plain,) = project.plan("plain").experiments
    assert plain.state.in_words == "out of date (begun again with force)"
    assert plain.training.action == "make" and plain.training.seconds > 0


def test_who_trains_it_now_is_said(project):
    step = project.plan("seed").experiments[0].state.found["trained_gan"].step
    with Lease(project.store, step.asset, step.partition, step.fingerprint):
        state = project.plan("seed").experiments[0].state
        assert state.in_words == "never trained, running" and "process" in str(state.running)
    assert project.plan("seed").experiments[0].state.running is None


def test_a_damaged_artefact_is_made_again(project):
    samples = project.store.require("samples", "plain")
    folder = project.store.folder(samples.asset, samples.partition, samples.fingerprint)
    for name in ("manifest.json", "manifest-copy.json"):
        with open(f"{folder}/{name}", "w") as file:
            file.write("{}")
    (plain,) = project.plan("plain").experiments
    assert actions(plain) == {
        "trained_gan": "reuse",
        "samples": "make",
        "evaluation": "make",
        "analysis": "reuse",
    }


def test_a_length_in_epochs_is_counted_once_the_images_are(empty, project):
    for one, expected in ((empty, None), (project, 180)):
        one.write({**EXPERIMENT, "name": "epochs", "length": {"epochs": 1.5}})
        assert one.plan("epochs").experiments[0].state.total_images == expected


def shown(plan) -> list[str]:
    console = Console(width=1000, markup=False)
    with console.capture() as captured:
        console.print(*plan_parts(plan), sep="\n")
    return [line.rstrip() for line in captured.get().splitlines()]


def test_a_table_is_narrow_and_its_rows_are_as_long_as_its_sum(project):
    project.write({**EXPERIMENT, "name": "demo-dcgan-seeds-seed-1", "length": {"images": 10**6}})
    project.write({**EXPERIMENT, "batch_size": 25})
    plan = project.plan("demo-dcgan-seeds-seed-1", "plain", "wide")
    head, like, plain, wide, *said = shown(plan)
    assert max(len(line) for line in (head, like, plain, wide)) <= 110
    assert re.search(r"never trained +train, sample, evaluate, analyse +\d+ .*\[1\] +\d+\.\d GB \[1\]$", like)
    assert re.search(r"^plain +out of date \[2\] +train, .* +at least \d+ s?(min)? \[3\] +unknown$", plain)
    # Of what is not known in all the part that is known is counted, in its row as in the sum.
    assert re.search(r"^wide +never trained +train, .* at least \d+ s?(min)? \[4\] +unknown$", wide)
    assert said[:5] == [
        "",
        "[1] as recorded of plain",
        "[2] batch_size 50 → 25",
        "[3] how long it takes to train is unknown",
        "[4] as recorded of plain; how long it takes to train, sample, analyse is unknown",
    ]
    assert "at least" in said[-1] and plan.seconds == sum(item.seconds for item in plan.experiments)


def test_a_plan_is_json(whole):
    record = json.loads(json.dumps(whole.plan("plain", "seed").record()))
    assert record["total"]["to_train"] == 1 and record["total"]["to_reuse"] == 1
    assert record["experiments"][1]["memory_bytes"]["host"]["of"] == "plain"
