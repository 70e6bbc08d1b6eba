import json
import re

import pandas
import pytest

from gan_core.config import Experiment
from gan_core.errors import StoreError
from gan_core.leaderboard.leaderboard import (
    build_leaderboard,
    column_types,
    leaderboard_csv,
    read_leaderboard,
    read_seeds,
    seed_column_types,
)
from gan_core.leaderboard.tables import NO_ROWS, leaderboard_markdown, leaderboard_text
from gan_core.objectives import objective_name
from gan_core.store import Store
from tests.gan_core.report.conftest import MODE_COLLAPSE, STAGNATION, parquet

# Names that scripts rely on.
RELIED_ON = {
    *("rank", "experiment", "dataset", "seeds", "fid", "fid_low", "fid_high", "kid", "kid_low", "kid_high"),
    *("inception_score", "verdict", "protocol"),
}


def experiment(name="one", **changes) -> Experiment:
    values = {"name": name, "dataset": "digits", "length": {"images": 60000}}
    return Experiment.model_validate({**values, **changes})


def build(workshop, experiments, trained, evaluations, **options):
    lines = []
    by_name = {item.name: item for item in experiments}
    return build_leaderboard(workshop.store, by_name, trained, evaluations, emit=lines.append, **options)


def leaderboard_of(workshop, figures_by_name, **options):
    """The leaderboard of one whole experiment for each name."""
    experiments = [
        experiment(name, latent={"size": 10 + number}) for number, name in enumerate(figures_by_name)
    ]
    trained, evaluations = {}, {}
    for item in experiments:
        trained[item.name], _, evaluations[item.name] = workshop.whole(item, **figures_by_name[item.name])
    return build(workshop, experiments, trained, evaluations, **options)


def test_columns_and_values_are_those_of_the_manifests(workshop):
    item = experiment(
        "one",
        objective={"name": "wasserstein", "gradient_penalty": 10},
        conditioning={"name": "acgan"},
        seed=3,
    )
    trained, _, evaluation = workshop.whole(item, fid=12.345678901234567, kid=None)
    build(workshop, [item], {"one": trained}, {"one": evaluation})
    root = workshop.store.root
    described = {
        "experiment": "one",
        "dataset": "digits",
        "architecture": "dcgan",
        "objective": "wasserstein-gp",
        "conditioning": "acgan",
        "verdict": "healthy",
        "images_seen": 60000,
        "fid": 12.345678901234567,
        "fid_untrained": 310.0,
        "fid_test": 24.0,
        "fid_floor": 1.31,
        "inception_score": 8.1,
        "protocol": evaluation.details["protocol"],
        "images_per_second": 1523.456789012345,
    }
    folded = {**described, "rank": 1, "seeds": 1, "note": "one seed: spread unknown", "members": "one"}
    of_seeds = {**described, "group": "one", "seed": 3}
    for name, expected, types in (
        ("leaderboard", folded, column_types()),
        ("leaderboard_seeds", of_seeds, seed_column_types()),
    ):
        table = pandas.read_csv(f"{root}/leaderboard/{name}.csv", float_precision="round_trip")
        parquet = pandas.read_parquet(f"{root}/leaderboard/{name}.parquet")
        assert list(table.columns) == list(parquet.columns) == list(types)
        assert {key: table[key][0] for key in expected} == expected
        assert pandas.isna(table["kid"][0]) and pandas.isna(table["class_accuracy"][0])
        assert parquet["fid"][0] == 12.345678901234567 and parquet["images_seen"][0] == 60000
    assert set(column_types()) > RELIED_ON


def test_what_was_not_judged_ranks_behind_what_was(workshop):
    """A dataset's choice of metrics may leave out those that tell an impostor."""
    manifest = leaderboard_of(workshop, {"judged": {"fid": 20.0}, "hidden": {"fid": 0.1, "coverage": None}})
    frame = read_leaderboard(workshop.store, manifest)
    assert list(frame["experiment"]) == ["judged", "hidden"] and list(frame["rank"]) == [1, 2]
    assert "not judged" in frame["note"][1]


def test_seeds_are_one_row_and_can_be_opened(workshop):
    """Mean and interval of three FIDs, by the closed form of Student's t with two degrees of freedom."""
    items = [experiment(f"one-seed-{seed}", seed=seed) for seed in range(3)]
    items.append(experiment("two", batch_size=128))
    trained, evaluations = {}, {}
    for item, fid in zip(items, (4.0, 5.0, 6.0, 5.5), strict=True):
        trained[item.name], _, evaluations[item.name] = workshop.whole(item, fid=fid)
    manifest = build(workshop, items, trained, evaluations)
    frame, seeds = read_leaderboard(workshop.store, manifest), read_seeds(workshop.store, manifest)
    one, two = (frame[frame["experiment"] == name].iloc[0] for name in ("one", "two"))
    assert (one["seeds"], one["fid"], one["note"]) == (3, 5.0, "")
    half = 4.302652729911275 / 3**0.5  # t(0.975, 2) times the standard error of a spread of 1
    assert (one["fid_low"], one["fid_high"]) == pytest.approx((5 - half, 5 + half))
    assert two["note"] == "one seed: spread unknown; known of others: one ± 1.00"
    assert one["members"].split() == ["one-seed-0", "one-seed-1", "one-seed-2"]
    assert list(seeds["group"]) == ["one", "one", "one", "two"]
    assert list(seeds["fid"]) == [4.0, 5.0, 6.0, 5.5]


def test_same_inputs_give_the_same_bytes_and_are_reused(workshop):
    figures = {"one": {"fid": 0.1 + 0.2}, "two": {"fid": None}}
    first = leaderboard_of(workshop, figures)
    csv = f"{workshop.store.root}/leaderboard/leaderboard.csv"
    with open(csv, "rb") as file:
        before = file.read()
    again = leaderboard_of(workshop, figures)
    forced = leaderboard_of(workshop, figures, force=True)
    assert again.reused and not forced.reused
    assert first.fingerprint == again.fingerprint == forced.fingerprint
    assert {name: entry.sha256 for name, entry in first.files.items()} == {
        name: entry.sha256 for name, entry in forced.files.items()
    }
    with open(csv, "rb") as file:
        assert file.read() == before
    assert b"0.30000000000000004" in before


def test_a_deleted_table_at_the_fixed_place_comes_back(workshop):
    leaderboard_of(workshop, {"one": {}})
    csv = f"{workshop.store.root}/leaderboard/leaderboard.csv"
    workshop.store.fs.rm_file(csv)
    assert leaderboard_of(workshop, {"one": {}}).reused
    assert workshop.store.fs.exists(csv)


def test_an_input_made_again_with_other_figures_gives_a_new_leaderboard(workshop):
    item = experiment()
    trained, _, evaluation = workshop.whole(item)
    first = build(workshop, [item], {"one": trained}, {"one": evaluation})
    # What `force` does on a device that is not deterministic: the fingerprint stays, the figure moves.
    remade = evaluation.model_copy(update={"figures": {**evaluation.figures, "fid": 19.0}})
    second = build(workshop, [item], {"one": trained}, {"one": remade})
    assert second.fingerprint != first.fingerprint
    assert read_leaderboard(workshop.store, second)["fid"][0] == 19.0


def test_no_evaluation_gives_an_empty_table_with_its_columns(workshop):
    manifest = build(workshop, [experiment()], {}, {})
    frame = read_leaderboard(workshop.store, manifest)
    assert leaderboard_csv(frame).decode() == ",".join(column_types()) + "\n"
    assert leaderboard_text(frame) == leaderboard_markdown(frame) == NO_ROWS


def test_experiments_without_evaluation_have_no_row_and_removed_ones_are_named(workshop):
    items = [experiment("one"), experiment("two")]
    trained = {item.name: workshop.train(item) for item in items}
    _, _, gone = workshop.whole(experiment("gone"))
    _, _, evaluation = workshop.whole(items[0])
    manifest = build(workshop, items, trained, {"one": evaluation, "gone": gone})
    assert list(read_leaderboard(workshop.store, manifest)["experiment"]) == ["one"]
    assert manifest.details["left_out"] == ["gone"]
    assert manifest.details["stale"] == {}
    assert set(manifest.inputs) == {"evaluation/one", "trained_gan/one"}


def test_a_changed_configuration_is_listed_as_stale_with_what_was_really_trained(workshop):
    trained, _, evaluation = workshop.whole(experiment(seed=1))
    changed = experiment(seed=2, batch_size=128)
    manifest = build(workshop, [changed], {"one": trained}, {"one": evaluation})
    frame = read_seeds(workshop.store, manifest)
    assert frame["seed"][0] == 1
    assert "batch_size 64 → 128" in manifest.details["stale"]["one"]
    assert "seed 1 → 2" in manifest.details["stale"]["one"]


def test_a_row_keeps_the_training_that_was_evaluated_when_a_newer_one_exists(workshop):
    _, _, evaluation = workshop.whole(experiment(seed=1))
    newer = workshop.train(experiment(seed=2), images_seen=99)
    manifest = build(workshop, [experiment(seed=2)], {"one": newer}, {"one": evaluation})
    frame = read_seeds(workshop.store, manifest)
    assert (frame["seed"][0], frame["images_seen"][0]) == (1, 60000)
    assert "one" in manifest.details["stale"]


def test_a_training_that_left_the_store_leaves_its_figures_empty(workshop):
    trained, _, evaluation = workshop.whole(experiment())
    store = workshop.store
    store.fs.rm(store.folder("trained_gan", "one", trained.fingerprint), recursive=True)
    manifest = build(workshop, [experiment()], {}, {"one": evaluation})
    frame = read_leaderboard(store, manifest)
    assert pandas.isna(frame["images_seen"][0]) and frame["fid"][0] == 20.0
    assert "no longer in the store" in manifest.details["stale"]["one"]


EDITS = {
    "no protocol": (
        lambda trained, evaluation: evaluation.details.update(protocol=""),
        "evaluation/one .* states no protocol.*evaluate it again with force",
    ),
    "details of another kind": (
        lambda trained, evaluation: evaluation.details.update(protocol=["a", "list"]),
        "states no protocol",
    ),
    "a figure that is a word": (
        lambda trained, evaluation: evaluation.figures.update(fid="best"),
        "experiment one cannot be read.*fid of evaluation/one is `best`, not a number",
    ),
    "a word for the untrained": (
        lambda trained, evaluation: evaluation.figures.update(fid_untrained="bad"),
        "experiment one cannot be read",
    ),
    "a speed that is a word": (
        lambda trained, evaluation: trained.figures.update(images_per_second="fast"),
        "images_per_second of trained_gan/one is `fast`",
    ),
    "a configuration without seed": (
        lambda trained, evaluation: trained.config.pop("seed"),
        "experiment one cannot be read.*no key 'seed'",
    ),
    "a section that is a word": (
        lambda trained, evaluation: trained.config.update(objective="hinge"),
        "experiment one cannot be read",
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_manifest_costs_its_row_and_no_other(workshop, edit):
    change, reason = EDITS[edit]
    trained, evaluations = {}, {}
    for name in ("one", "two"):
        trained[name], _, evaluations[name] = workshop.whole(experiment(name))
    change(trained["one"], evaluations["one"])
    manifest = build(workshop, [experiment("one"), experiment("two")], trained, evaluations)
    assert list(read_leaderboard(workshop.store, manifest)["experiment"]) == ["two"]
    assert list(manifest.details["damaged"]) == ["one"]
    assert re.search(reason, manifest.details["damaged"]["one"])
    assert manifest.figures["damaged"] == 1


def test_a_leaderboard_from_before_its_columns_is_read(workshop):
    """As the first release left it: no verdict, and fewer figures."""
    manifest = leaderboard_of(workshop, {"one": {"fid": 3.5}})
    gone = [
        "rank",
        "seeds",
        "note",
        "members",
        "verdict",
        "fid_test",
        "fid_floor",
        "fid_untrained",
        "kid_std",
        "class_accuracy",
        "images_seen",
    ]
    frame = read_leaderboard(workshop.store, manifest).drop(columns=gone)
    old = workshop.make(
        "leaderboard", "all", config={"old": True}, files={"leaderboard.parquet": parquet(frame)}
    )
    read = read_leaderboard(workshop.store, old)
    assert list(read.columns) == list(column_types())
    assert (read["verdict"][0], read["fid"][0], read["seeds"][0]) == ("unknown", 3.5, 1)
    assert read["members"][0] == "one" and read_seeds(workshop.store, old).empty
    assert pandas.isna(read["fid_test"][0]) and pandas.isna(read["images_seen"][0])
    assert "unknown" in leaderboard_text(read) and "3.50" in leaderboard_markdown(read)
    with pytest.raises(StoreError, match="leaderboard.parquet has no column protocol: it is no leaderboard"):
        broken = frame.drop(columns="protocol")
        files = {"leaderboard.parquet": parquet(broken)}
        read_leaderboard(workshop.store, workshop.make("leaderboard", "all", config={"a": 1}, files=files))


def test_the_verdict_is_that_of_the_training_that_was_evaluated(workshop):
    found = {"found": [MODE_COLLAPSE, STAGNATION], "stopped_by": "mode_collapse"}
    _, _, evaluation = workshop.whole(experiment(seed=1), training=found)
    newer = workshop.train(experiment(seed=2))
    manifest = build(workshop, [experiment(seed=2)], {"one": newer}, {"one": evaluation})
    frame = read_leaderboard(workshop.store, manifest)
    assert frame["verdict"][0] == "mode collapse (stopped), stagnation"
    for write in (leaderboard_markdown, leaderboard_text):
        assert "mode collapse (stopped), stagnation" in write(frame)
    csv = pandas.read_csv(f"{workshop.store.root}/leaderboard/leaderboard.csv")
    assert csv["verdict"][0] == "mode collapse (stopped), stagnation"


def test_a_training_from_before_the_guards_has_an_unknown_verdict(workshop):
    trained = workshop.train_before_guards(experiment())
    evaluation = workshop.evaluate(workshop.sample(trained))
    manifest = build(workshop, [experiment()], {"one": trained}, {"one": evaluation})
    frame = read_leaderboard(workshop.store, manifest)
    assert (frame["verdict"][0], frame["images_seen"][0]) == ("unknown", 60000)


def test_a_training_replaced_by_force_takes_its_figures_with_it(workshop):
    trained, _, evaluation = workshop.whole(experiment())
    again = workshop.train(experiment(), seed=1, force=True, found=[STAGNATION], images_seen=7)
    assert again.fingerprint == trained.fingerprint
    manifest = build(workshop, [experiment()], {"one": again}, {"one": evaluation})
    frame = read_leaderboard(workshop.store, manifest)
    assert frame["verdict"][0] == "unknown" and pandas.isna(frame["images_seen"][0])
    assert "trained or sampled again since" in manifest.details["stale"]["one"]


@pytest.mark.parametrize(
    ("objective", "name"),
    [
        ({}, "non-saturating"),
        ({"name": "hinge"}, "hinge"),
        ({"name": "least_squares", "gradient_penalty": 1}, "least-squares+gp"),
        ({"name": "wasserstein", "gradient_penalty": 10}, "wasserstein-gp"),
        ({"name": "wasserstein", "weight_clip": 0.01}, "wasserstein-clip"),
        ({"r1": 10}, "non-saturating+r1"),
        (
            {"name": "minimax", "label_smoothing": 0.1, "instance_noise": 0.1},
            "minimax+smoothing+noise",
        ),
        ({"differentiable_augmentation": ["color", "cutout"]}, "non-saturating+augmentation"),
    ],
)
def test_an_objective_is_named_with_what_tells_it_from_others(objective, name):
    config = experiment(objective=objective).training_config()
    assert objective_name(config["objective"]) == name


def test_a_store_that_is_not_a_local_folder_gets_the_same_bytes(workshop, tmp_path):
    local = leaderboard_of(workshop, {"one": {}})
    remote = Store(f"memory://{tmp_path.name}", cache=tmp_path / "cache")
    manifest = leaderboard_of(type(workshop)(remote), {"one": {}})
    assert manifest.files["leaderboard.csv"].sha256 == local.files["leaderboard.csv"].sha256
    content = remote.fs.cat_file(f"{remote.root}/leaderboard/leaderboard.csv")
    assert content == workshop.store.fs.cat_file(f"{workshop.store.root}/leaderboard/leaderboard.csv")


def test_old_versions_are_pruned_when_a_new_one_is_published(workshop):
    item = experiment()
    trained, _, evaluation = workshop.whole(item)
    for fid in range(6):
        remade = evaluation.model_copy(update={"figures": {**evaluation.figures, "fid": float(fid)}})
        manifest = build(workshop, [item], {"one": trained}, {"one": remade})
    versions = {name for name in workshop.store.list_names("leaderboard/all") if name != "current.json"}
    assert len(versions) == 4 and manifest.fingerprint in versions
    assert read_leaderboard(workshop.store, manifest)["fid"][0] == 5.0


def test_manifest_is_plain_json(workshop):
    manifest = leaderboard_of(workshop, {"one": {"fid": None}})
    stored = workshop.store.current("leaderboard", "all")
    assert stored.fingerprint == manifest.fingerprint
    figures = {"rows": 1, "experiments": 1, "stale": 0, "damaged": 0}
    assert json.loads(stored.model_dump_json())["figures"] == figures
