"""`export`, `verify` and `sample` as commands: what they print and how they end."""

import json
import signal

import pytest

from gan_core.cli import main
from tests.gan_core.bundles.small_bundle import flip


@pytest.fixture
def run(project, monkeypatch, capsys):
    monkeypatch.setenv("GAN_CONFIGS", str(project.folder / "configs"))
    monkeypatch.setenv("GAN_STORE", str(project.folder / "store"))
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def command(line: str, status: int = 0):
        assert main(line.split()) == status
        printed = capsys.readouterr()
        return (json.loads(printed.out) if printed.out else None), printed.err

    yield command
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_bundle_that_is_there_is_exported_in_a_moment(run, exported):
    told, _ = run(f"export plain --out {exported}")
    assert told["reused"] and told["bytes"] > 10**6 and len(told["list_sha256"]) == 64


def test_verify_ends_with_0_1_or_2(run, bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_CONFIGS", "/nowhere")  # it needs neither
    monkeypatch.setenv("GAN_STORE", "/nowhere")
    told, table = run(f"verify {bundle}")
    assert told["agrees"] and "all agree" in table and "fid_untrained" in table
    flip(bundle / "grid.png")
    told, table = run(f"verify {bundle}", status=1)
    assert not told["agrees"] and list(told["damages"]) == ["grid.png"]
    assert "damaged: grid.png has changed" in table and "DOES NOT AGREE" in table
    _, said = run(f"verify {tmp_path}", status=2)
    assert "is no bundle: it has no bundle.json" in said
    _, said = run(f"verify {bundle} --store {tmp_path}", status=2)
    assert "gan_core shard DATASET --configs" in said


def test_sample_draws_from_the_store_and_from_a_bundle_alike(run, exported, tmp_path):
    told, _ = run(f"sample plain --out {tmp_path}/store --count 6 --class 3 --seed 4 --truncation 1")
    assert told == {
        "path": f"{tmp_path}/store",
        "count": 6,
        "seed": 4,
        "class": "3",
        "truncation": 1.0,
    }
    run(f"sample {exported} --out {tmp_path}/bundle --count 6 --class 3 --seed 4 --truncation 1")
    for path in (tmp_path / "store" / "3").iterdir():
        assert path.read_bytes() == (tmp_path / "bundle" / "3" / path.name).read_bytes()
    assert run("sample plain")[0]["reused"]  # the step, as before


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sample {bundle}", "is a bundle, which is not written to: say where to with --out"),
        ("sample plain --count 3", "--count goes with --out"),
        ("sample plain --class 3", "--class goes with --out"),
        ("sample absent --out {folder}/x", "trained_gan/absent is not in"),
        ("sample {bundle} --out {folder}/x --class eleven", "no class `eleven`"),
        ("export absent", "no experiment is named `absent`"),
        ("export plain --out {folder}", "which are not written over"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(run, exported, tmp_path, line, expected):
    (tmp_path / "mine.txt").write_text("x")
    _, said = run(line.format(bundle=exported, folder=tmp_path), status=2)
    assert expected in said and len(said.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
