"""What `make gpu` runs, on a machine without a GPU: the dry run, and what it needs to be installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu_estimate import BANDWIDTH, KERNEL_SECONDS, LAUNCH_SECONDS, RATES, count

ROOT = Path(__file__).parents[1]
# None of them is asked for of who only has a GPU and PyTorch.
ABSENT = ("dagster", "webdataset", "moto", "s3fs")
RUN = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


def dry_run(folder: Path, *options: str) -> str:
    arguments = ["--device", "cpu", "--smoke", "--name", "dry", "--out", str(folder), *options]
    code = f"from benchmarks.gpu import main\nif __name__ == '__main__':\n    sys.exit(main({arguments}))\n"
    script = folder / "run.py"
    script.write_text(RUN + code)
    ran = subprocess.run(
        [sys.executable, str(script)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return (folder / "gpu-dry.md").read_text()


def results_of(written: str) -> dict[str, str]:
    """How each check ended, by the last line under its heading."""
    checks = [part.strip().splitlines() for part in written.split("## ")[1:]]
    return {lines[0]: lines[-1].split(" (")[0] for lines in checks}


def test_it_needs_neither_dagster_nor_webdataset(tmp_path):
    written = dry_run(tmp_path, "--only", "bf16")
    assert "## bf16" in written and "benchmarks of its own" in written and "left out (" in written


def test_the_table_of_speeds(tmp_path):
    arguments = ["--device", "cpu", "--smoke", "--name", "x", "--out", str(tmp_path), "--only", "speed"]
    assert gpu.main(arguments) == 0
    lines = (tmp_path / "gpu-x.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith(("| DCGAN", "| WGAN-GP", "| ACGAN"))]
    assert len(rows) == 3
    for row in rows:
        plain, of_host, graphs, of_graphs, kernels, counted, of_kernels, of_arithmetic = (
            cell.strip() for cell in row.split("|")[5:13]
        )
        assert graphs == kernels == of_kernels == "–"
        numbers = (plain, of_host, of_graphs, counted, of_arithmetic)
        assert all(int(number.replace(",", "")) > 0 for number in numbers)


def test_what_is_counted():
    """A layer of 3 to 4 numbers for 5 rows, forward and backward, where the operators are known."""
    layer, rows = torch.nn.Linear(3, 4, bias=False), torch.ones(5, 3)

    def run():
        layer(rows).sum().backward()

    counted = count(run, "fp32")
    product = 2 * 3 * 4 * 5
    assert counted.operations == 2 * product  # there, and back to the weights
    # Two products, the sum, and the gradient that begins it; transposing and expanding launch nothing.
    assert counted.kernels == 4
    assert counted.seconds_of_host(own=1.0) == 1.0 + 4 * LAUNCH_SECONDS
    assert counted.seconds_of_graphs == 4 * KERNEL_SECONDS  # none of them is large enough for more
    assert counted.seconds_of_arithmetic == 2 * product / RATES["fp32"]


def test_a_large_operator_takes_as_long_as_its_bytes():
    numbers = torch.ones(10**6)
    counted = count(lambda: numbers + numbers, "fp32")
    assert counted.seconds_of_graphs == pytest.approx(2 * 4e6 / BANDWIDTH)  # one is read, one is written


@pytest.mark.slow
def test_the_dry_run_makes_every_check(tmp_path):
    written = dry_run(tmp_path)
    left_out = ("tests", "bf16")
    assert results_of(written) == {name: "left out" if name in left_out else "passed" for name in gpu.CHECKED}
    assert written.count("the same weights") == 2 * len(gpu.KINDS) - 1  # no WGAN by graphs on a CPU


def test_a_check_that_fails_is_written_down_and_the_others_are_made(tmp_path, monkeypatch):
    def fails(setting):
        raise AssertionError("other weights")

    monkeypatch.setattr(gpu, "CHECKED", {"resume": fails, "speed": lambda setting: ["fast"]})
    assert gpu.main(["--device", "cpu", "--smoke", "--out", str(tmp_path), "--name", "x"]) == 1
    written = (tmp_path / "gpu-x.md").read_text()
    assert results_of(written) == {"resume": "failed", "speed": "passed"}
    assert "AssertionError: other weights" in written and "- fast" in written


def test_what_was_found_outlasts_a_check_that_fails_later(tmp_path, monkeypatch):
    def fails_later(setting):
        yield "the first row"
        assert "- the first row" in (tmp_path / "gpu-x.md").read_text()
        raise AssertionError("the second one")

    monkeypatch.setattr(gpu, "CHECKED", {"speed": fails_later})
    assert gpu.main(["--device", "cpu", "--smoke", "--out", str(tmp_path), "--name", "x"]) == 1
    written = (tmp_path / "gpu-x.md").read_text()
    assert results_of(written) == {"speed": "failed"}
    assert "- the first row" in written and "AssertionError: the second one" in written


def test_without_a_gpu_it_says_so(capsys, monkeypatch):
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        gpu.main(["--device", "cuda"])
    assert "no GPU here that torch finds" in capsys.readouterr().err
