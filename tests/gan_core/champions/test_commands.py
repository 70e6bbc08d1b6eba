"""`champion` as a command, and the commands that take its address."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gan_core.bundles.contents import Bundle
from gan_core.champions.address import bundle_at
from gan_core.champions.promoting import promote
from gan_core.champions.reigns import champion_of, history
from gan_core.cli import main
from gan_core.errors import StoreError
from tests.champions import DATASET, leaderboard_with

GOOD, BETTER = (20.0, 21.0, 22.5), (10.0, 11.3, 12.1)
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def run(project, monkeypatch, capsys):
    monkeypatch.setenv("GAN_CONFIGS", str(project.folder / "configs"))
    monkeypatch.setenv("GAN_STORE", str(project.folder / "store"))
    # The command makes the leaderboard of what the store holds; here it is the test's.
    monkeypatch.setattr(
        "gan_core.leaderboard.leaderboard.leaderboard_of",
        lambda store, _: store.require("leaderboard", "all"),
    )

    def command(line: str, status: int = 0) -> tuple[str, str]:
        assert main(line.split()) == status
        printed = capsys.readouterr()
        return printed.out, printed.err

    return command


def test_promote_show_history_and_back(run, project):
    _, said = run(f"champion {DATASET}", status=2)
    assert f"few-digits has no champion in {project.store.url}: run `python -m gan_core champion" in said
    leaderboard_with(project, plain=GOOD)
    assert json.loads(run(f"champion {DATASET} --promote")[0])["promoted"]
    leaderboard_with(project, plain=GOOD, wide=BETTER)
    assert json.loads(run(f"champion {DATASET} --promote")[0])["experiment"] == "wide"
    shown, _ = run(f"champion {DATASET}")
    assert f"{DATASET}: wide, promoted " in shown and "wide is the new champion" in shown
    assert "  passed  better: FID 11.13 of wide against 21.17 of plain" in shown
    told = json.loads(run(f"champion {DATASET} --json")[0])
    assert told["champion"]["experiment"] == told["last_look"]["experiment"] == "wide"
    assert Bundle.open(told["champion"]["bundle"]).listed.experiment == "wide"
    assert len(run(f"champion {DATASET} --history")[0].splitlines()) == 4
    back = json.loads(run(f"champion {DATASET} --back --reason odd")[0])
    assert (back["experiment"], back["how"], back["reason"]) == ("plain", "back", "odd")
    reigns = json.loads(run(f"champion {DATASET} --history --json")[0])
    assert [reign["experiment"] for reign in reigns] == ["plain", "wide", "plain"]


def test_a_name_that_is_no_dataset_is_answered_with_those_that_there_are(run):
    for line in ("champion ghost", "champion ghost --history", "champion ghost --back"):
        assert "it holds no images of `ghost`; there are: few-digits" in run(line, status=2)[1]
    assert "did you mean `few-digits`?" in run("champion few-digit", status=2)[1]
    assert "did you mean `few-digits`?" in run("sample champion:few-digit --out x.png", status=2)[1]


def test_options_that_do_not_go_together(run):
    assert "are three things" in run(f"champion {DATASET} --promote --back", status=2)[1]
    assert "--reason goes with --back" in run(f"champion {DATASET} --reason x", status=2)[1]
    assert "--force goes with --promote" in run(f"champion {DATASET} --history --force", status=2)[1]


def test_why_nobody_was_promoted_is_shown(run, project):
    run(f"champion {DATASET} --promote") if leaderboard_with(project) else None
    shown, _ = run(f"champion {DATASET}")
    assert shown.startswith("few-digits has no champion\n\nlast look, ")
    assert "no row of few-digits on the leaderboard can be promoted" in shown


def test_sample_draws_from_the_champion(run, project, tmp_path):
    promote(project.store, project.configs, DATASET, leaderboard_with(project, plain=GOOD))
    for name in (f"champion:{DATASET}", "plain"):
        run(f"sample {name} --out {tmp_path}/{name}.png --count 4")
    pictures = [(tmp_path / f"{name}.png").read_bytes() for name in (f"champion:{DATASET}", "plain")]
    assert pictures[0] == pictures[1]
    assert "say where to with --out" in run(f"sample champion:{DATASET}", status=2)[1]
    assert "nobody has no champion" in run("sample champion:nobody --out x.png", status=2)[1]


PROMOTE = """
import sys
from gan_core.bundles import export
from gan_core.champions.promoting import promote
from gan_core.config import load_configs
from gan_core.store import Store

export.write_onnx = lambda *_: {"opset": 20, "inputs": ["z"], "image_range": [-1, 1], "compared": 1}
store = Store(sys.argv[1])
print("ready", flush=True)
promote(store, load_configs(sys.argv[2]), sys.argv[3], store.require("leaderboard", "all"))
"""


@pytest.mark.slow
def test_a_reader_never_sees_half_a_champion_while_promotions_are_killed(project):
    """`kill -9` at many moments of a promotion, while a reader opens the address again and again."""
    store, files = project.store, {}

    def content() -> tuple[str, dict[str, bytes]]:
        bundle = bundle_at(f"champion:{DATASET}", lambda: project.store)
        read = {name: (bundle.folder / name).read_bytes() for name in bundle.listed.files}
        assert bundle.damages(lambda _: None) == {}
        return bundle.listed.experiment, read

    def promote_here(**fids):
        promote(store, project.configs, DATASET, leaderboard_with(project, **fids))
        name, files[name] = content()

    promote_here(plain=GOOD)
    board = {"plain": GOOD, "wide": BETTER}
    leaderboard_with(project, **board)
    seen, wrong, done = set(), [], threading.Event()

    def keep_reading():
        while not done.is_set():
            try:
                name, read = content()
                seen.add(name)
                if name == "plain" and read != files["plain"]:
                    wrong.append(name)
            except (StoreError, OSError, AssertionError) as error:
                wrong.append(error)
            done.wait(0.1)

    reader = threading.Thread(target=keep_reading)
    reader.start()
    try:
        for attempt in range(6):
            process = subprocess.Popen(
                [sys.executable, "-c", PROMOTE, store.root, project.folder / "configs", DATASET],
                cwd=REPOSITORY,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
                stdout=subprocess.PIPE,
                text=True,
            )
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.1 + attempt * 0.3)
            process.kill()
            process.wait(60)
        promote_here(**board)
    finally:
        done.set()
        reader.join(60)
    assert wrong == [] and seen <= {"plain", "wide"} and content()[0] == "wide"
    reigns = history(champion_of(store, DATASET))
    assert [reign.experiment for reign in reigns] == ["plain", "wide"]
    partition = Path(store.root) / "champion" / DATASET
    made = [path.parent for path in partition.glob("*/manifest.json")]
    assert len(made) == 2
    for folder in made:
        assert len(list(folder.glob("files-*"))) == 1
