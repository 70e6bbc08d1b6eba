"""Who is promoted, who is refused and why, and the way back."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import torch

from gan_core import sampling
from gan_core.bundles import export
from gan_core.champions import checks, promoting
from gan_core.champions.address import bundle_at, bundle_of
from gan_core.champions.looks import last_look
from gan_core.champions.promoting import go_back, promote
from gan_core.champions.reigns import champion_of, history, standing
from gan_core.champions.words import champion_text, history_text, look_text
from gan_core.errors import ConfigError, DamagedError, StoreError
from gan_core.housekeeping.contents import scan
from gan_core.store import Store
from tests.champions import DATASET, forged, leaderboard_with

# Three seeds each: far apart, and so that nothing can be said.
GOOD, BETTER, LIKE_GOOD = (20.0, 21.0, 22.5), (10.0, 11.3, 12.1), (19.0, 22.0, 21.5)


def look_at(project, leaderboard, **options):
    return promote(project.store, project.configs, DATASET, leaderboard, **options)


def who(project) -> str:
    return history(champion_of(project.store, DATASET))[-1].experiment


def content(folder: Path) -> dict[str, bytes]:
    """The bytes of a bundle by file, without the list, which has the time of the export."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "bundle.json"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def state(store: Store) -> dict[str, bytes]:
    folder = Path(store.root) / "champion"
    return {name: data for name, data in content(folder).items() if not name.endswith("last_look.json")}


def test_the_best_row_is_promoted_and_its_address_leads_to_its_bundle(project):
    look = look_at(project, leaderboard_with(project, plain=GOOD, wide=BETTER))
    assert look.promoted and look.experiment == "wide" and look.row == "wide"
    assert [check.name for check in look.checks] == list(checks.CHECKS)
    assert last_look(project.store, DATASET) == look
    champion = champion_of(project.store, DATASET)
    assert champion.figures["fid"] == pytest.approx(sum(BETTER) / 3) and champion.figures["seeds"] == 3
    assert champion.inputs["evaluation/wide"] == project.store.require("evaluation", "wide").fingerprint
    bundle = bundle_at(f"champion:{DATASET}", lambda: project.store)
    assert bundle.damages(print) == {} and bundle.listed.experiment == "wide"
    trained = project.store.require("trained_gan", "wide")
    assert bundle.manifest("trained_gan").version == trained.version == champion.details["training"]
    text = champion_text(project.store, champion)
    assert f"{DATASET}: wide, promoted {champion.created_at}" in text and "FID: 11.13" in text
    assert trained.details["in_training_classifier"] is None or trained.partition in text


def test_the_same_again_changes_nothing(project):
    leaderboard = leaderboard_with(project, plain=GOOD)
    look_at(project, leaderboard)
    before = state(project.store)
    look = look_at(project, leaderboard)
    assert not look.promoted and look.reason == "plain is the champion already"
    assert state(project.store) == before


def test_what_a_promotion_reads_is_not_cleared_away_meanwhile(project, monkeypatch):
    leaderboard, seen, write = leaderboard_with(project, plain=GOOD), [], promoting.export_bundle

    def write_and_look(*what, **how):
        leases = scan(project.store).leases
        seen.extend(lease.holder.reads for lease in leases if lease.place == f"champion/{DATASET}")
        return write(*what, **how)

    monkeypatch.setattr(promoting, "export_bundle", write_and_look)
    look_at(project, leaderboard)
    assert [tuple(reads) for reads in seen] == [(leaderboard.place,)]


def test_what_is_shown_to_be_better_takes_over_and_what_is_not_does_not(project):
    look_at(project, leaderboard_with(project, plain=GOOD))
    look = look_at(project, leaderboard_with(project, plain=GOOD, wide=LIKE_GOOD))
    assert not look.promoted and look.experiment == "wide" and who(project) == "plain"
    assert not look.check("better").passed
    assert "FID 20.83 of wide against 21.17 of plain: p = " in look.reason
    assert "above 0.05 nothing is shown, and plain stays" in look.reason
    look = look_at(project, leaderboard_with(project, plain=GOOD, wide=BETTER))
    assert look.promoted and who(project) == "wide"
    assert [reign.experiment for reign in history(champion_of(project.store, DATASET))] == ["plain", "wide"]
    assert "by the paired t-test" in look.check("better").found


def test_a_champion_that_is_off_the_leaderboard_is_compared_as_it_was_promoted(project):
    look_at(project, leaderboard_with(project, plain=GOOD))
    look = look_at(project, leaderboard_with(project, wide=LIKE_GOOD))
    assert not look.promoted and "against 21.17 of plain" in look.reason
    assert look_at(project, leaderboard_with(project, wide=BETTER)).promoted


def test_of_one_seed_each_the_samples_are_compared(project):
    look_at(project, leaderboard_with(project, wide=[20.0]))
    look = look_at(project, leaderboard_with(project, wide=[20.0], plain=[10.0]))
    # Its samples are those of a smaller network, whatever FID it is given here.
    assert not look.promoted and "by the relative MMD test of their samples" in look.reason
    as_promoted = look_at(project, leaderboard_with(project, plain=[10.0]))
    assert as_promoted.check("better") == look.check("better")


def test_a_champion_that_ranks_behind_by_now_gives_way(project):
    look_at(project, leaderboard_with(project, plain=GOOD))
    fallen = {"fids": GOOD, "demotion": 2, "demoted_for": "repeats images", "rank": 2}
    look = look_at(project, forged(project, {"plain": fallen, "wide": {"fids": LIKE_GOOD}}))
    assert look.promoted and look.passed_over == {}
    assert look.check("better").found == "plain ranks behind by now: repeats images"


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"demotion": 2, "demoted_for": "repeats images"}, "ranks behind for its samples: repeats images"),
        ({"stale": "plain: trained again since"}, "trained again since"),
        ({"architecture": "external"}, "samples from elsewhere have no generator"),
        ({"fids": [float("nan")]}, "no FID was measured"),
    ],
)
def test_rows_that_something_speaks_against_are_passed_over(project, told, reason):
    board = forged(project, {"plain": {"fids": BETTER, **told}, "wide": {"fids": GOOD}})
    look = look_at(project, board)
    assert look.experiment == "wide" and (reason in look.passed_over.get("plain", "") or reason[:2] == "no")
    alone = look_at(project, forged(project, {"plain": {"fids": BETTER, **told}}))
    assert not alone.promoted and reason in alone.reason and who(project) == "wide"
    assert "passed over: plain: " in look_text(alone)


def test_a_seed_that_failed_is_not_the_one_that_is_exported(project):
    look = look_at(project, forged(project, {"plain": {"fids": GOOD, "verdict": "mode collapse"}}))
    assert not look.promoted
    assert look.reason == "plain is refused by sound_samples: plain: mode collapse (FID 20.00)"
    with pytest.raises(StoreError, match=r"few-digits has no champion .* champion --promote few-digits"):
        champion_of(project.store, DATASET)


def test_weights_that_are_not_finite_or_do_not_load_are_refused(project, monkeypatch):
    load = sampling.load_generator

    def broken(*arguments, **options):
        generator = load(*arguments, **options)
        with torch.no_grad():
            next(iter(generator.parameters())).view(-1)[3] = float("inf")
        return generator

    board = leaderboard_with(project, plain=GOOD)
    with monkeypatch.context() as patch:
        patch.setattr(sampling, "load_generator", broken)
        look = look_at(project, board)
    assert not look.promoted and "project.weight of plain holds values that are not finite" in look.reason
    trained = project.store.require("trained_gan", "plain")
    Path(project.store.file_path(trained, "generator.safetensors")).write_bytes(b"nothing")
    look = look_at(project, board)
    assert not look.promoted and "finite_weights: they do not load: " in look.reason
    assert not [name for name in state(project.store) if name.endswith("current.json")]


def test_another_protocol_is_refused_and_says_how_they_differ(project):
    look_at(project, leaderboard_with(project, plain=GOOD))
    protocol = project.store.require("evaluation", "wide").details["protocol"]
    other = {"fids": BETTER, "protocol": protocol.replace("seed=0", "seed=7")}
    board = forged(project, {"wide": other})
    before = state(project.store)
    look = look_at(project, board)
    assert not look.promoted and state(project.store) == before
    assert "measured with different seed (7, 0)" in look.check("same_protocol").found
    assert "evaluate plain by today's settings, or promote with force" in look.check("same_protocol").found
    assert look_at(project, board, force=True).promoted and who(project) == "wide"


def test_evaluated_again_since_the_leaderboard_was_made(project):
    board = leaderboard_with(project, plain=GOOD)
    board.input_versions["evaluation/plain"] = "0" * 64
    look = look_at(project, board)
    assert "plain was evaluated again since the leaderboard was made: run" in look.reason


def test_back_to_the_one_before_and_not_forth_again_by_itself(project):
    look_at(project, leaderboard_with(project, plain=GOOD))
    first = content(bundle_of(project.store, champion_of(project.store, DATASET)).folder)
    both = leaderboard_with(project, plain=GOOD, wide=BETTER)
    look_at(project, both)
    champion = go_back(project.store, DATASET, "the zeros look odd")
    assert who(project) == "plain" and champion.details["how"] == "back"
    assert content(bundle_at(f"champion:{DATASET}", lambda: project.store).folder) == first

    look = look_at(project, both)
    assert not look.promoted and look.reason == "plain is the champion already"
    assert look.passed_over == {"wide": "it was the champion and was taken back"}
    with pytest.raises(StoreError, match="had no champion before plain: there is no way back"):
        go_back(project.store, DATASET)

    newcomer = leaderboard_with(project, plain=GOOD, wide=BETTER, seed=(11.0, 12.3, 13.2))
    assert look_at(project, newcomer).experiment == "seed" and who(project) == "seed"
    go_back(project.store, DATASET)
    assert look_at(project, both, force=True).promoted and who(project) == "wide"
    reigns = history(champion_of(project.store, DATASET))
    assert [(reign.experiment, reign.how) for reign in reigns] == [
        ("plain", "promoted"),
        ("wide", "promoted"),
        ("plain", "back"),
        ("seed", "promoted"),
        ("plain", "back"),
        ("wide", "promoted"),
    ]
    table = history_text(champion_of(project.store, DATASET)).splitlines()
    assert "today" in table[2] and "the zeros look odd" in table[5]


def test_a_damaged_bundle_is_neither_gone_back_to_nor_kept(project):
    board = leaderboard_with(project, plain=GOOD)
    look_at(project, board)
    first = bundle_of(project.store, champion_of(project.store, DATASET)).folder
    look_at(project, leaderboard_with(project, plain=GOOD, wide=BETTER))
    (first / "grid.png").write_bytes(b"no picture")
    with pytest.raises(StoreError, match="grid.png does not match its manifest"):
        go_back(project.store, DATASET)
    assert who(project) == "wide"
    bundle = bundle_at(f"champion:{DATASET}", lambda: project.store)
    (bundle.folder / "grid.png").write_bytes(b"no picture")
    assert look_at(project, leaderboard_with(project, plain=GOOD, wide=BETTER)).promoted
    again = bundle_at(f"champion:{DATASET}", lambda: project.store)
    assert again.damages(print) == {} and again.listed.experiment == "wide"
    shown = standing(history(champion_of(project.store, DATASET)))
    assert [reign.experiment for reign in shown] == ["plain", "wide"]


def test_a_damaged_record_is_told_and_force_begins_anew(project):
    board = leaderboard_with(project, plain=GOOD)
    look_at(project, board)
    (Path(project.store.root) / "champion" / DATASET / "current.json").write_text("{}")
    with pytest.raises(DamagedError, match="with force a new history of champions begins"):
        look_at(project, board)
    assert look_at(project, board, force=True).promoted and who(project) == "plain"


def test_a_dataset_that_is_not_configured_is_told_before_anything_is_done(project):
    with pytest.raises(ConfigError, match="few-digts"):
        promote(project.store, project.configs, "few-digts", leaderboard_with(project, plain=GOOD))
    assert not (Path(project.store.root) / "champion").exists()


@pytest.mark.parametrize("place", ["export", "manifest.json", "current.json", "last_look.json"])
def test_a_promotion_that_is_killed_leaves_the_old_champion_or_the_new_one_whole(project, place):
    look_at(project, leaderboard_with(project, plain=GOOD))
    board = leaderboard_with(project, plain=GOOD, wide=BETTER)
    write = Store.write_atomically

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    def write_or_die(store, relative, content):
        if relative.startswith("champion/") and relative.endswith(f"/{place}"):
            die()
        return write(store, relative, content)

    def killed():
        if place == "export":
            export._hashes = die
        Store.write_atomically = write_or_die
        look_at(project, board)

    process = multiprocessing.get_context("fork").Process(target=killed)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    expected = "wide" if place == "last_look.json" else "plain"
    bundle = bundle_at(f"champion:{DATASET}", lambda: project.store)
    assert bundle.damages(print) == {} and bundle.listed.experiment == expected == who(project)
    look = look_at(project, board)
    assert look.promoted or look.reason == "wide is the champion already"
    (partition,) = (Path(project.store.root) / "champion").iterdir()
    bundle = bundle_at(f"champion:{DATASET}", lambda: project.store)
    assert bundle.damages(print) == {} and bundle.listed.experiment == "wide"
    left = [path.name for path in partition.rglob("*") if path.name.startswith((".", "lease-"))]
    assert left == [] and len(history(champion_of(project.store, DATASET))) == 2


def test_a_champion_on_s3_is_read_from_a_copy(project, s3_store):
    s3_store.fs.put(f"{project.store.root}/", f"{s3_store.root}/", recursive=True)
    remote = type(project)(project.folder)
    board = leaderboard_with(project, plain=GOOD)
    s3_store.fs.put(f"{project.store.root}/leaderboard", f"{s3_store.root}/", recursive=True)
    assert promote(s3_store, remote.configs, DATASET, board).promoted
    bundle = bundle_at(f"champion:{DATASET}", lambda: s3_store)
    assert bundle.folder.is_relative_to(s3_store.cache) and bundle.damages(print) == {}
    told = champion_text(s3_store, champion_of(s3_store, DATASET))
    assert f"which is {s3_store.url}/champion/{DATASET}/" in told
    assert bundle_at(f"champion:{DATASET}", lambda: s3_store).folder == bundle.folder
