"""What every command has in common: one line for a mistake, a start without PyTorch, completion."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gan_core.cli.commands import COMMANDS

REPOSITORY = Path(__file__).parents[3]
COMPLETION = "_GAN_CORE_COMPLETE"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("trian plain", "UsageError: No such command 'trian'. Did you mean 'train'?"),
        ("train plain --forse", "UsageError: No such option: --forse. Did you mean --force"),
        ("train", "UsageError: Missing argument 'experiment'. (see `gan-core train --help`)"),
        ("train plain --device abacus", "UsageError: Invalid value for '--device'"),
        ("train plain --processes many", "UsageError: Invalid value for '--processes'"),
        ("shard few-digits another", "UsageError: Got unexpected extra argument(s) (another)"),
        ("leaderboard ad x y --dataset z", "UsageError: No such command 'ad'. Did you mean 'add'?"),
        ("leaderboard add x y --dataset z --labels odd", "ConfigError: --labels knows no `odd`"),
        ("evaluate --real x --fake y --extractor inseption", "did you mean `inception`?"),
        ("analyse plain --a 1,x", "ConfigError: --a is `1,x`: give sample numbers"),
        ("list experimints", "ConfigError: list knows no `experimints`; did you mean `experiments`?"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(run, line, expected):
    out, err = run(*line.split(), status=2)
    assert expected in err and len(err.splitlines()) == 1 and out == ""


@pytest.mark.parametrize("line", ["list objectives --json", "--help"])
def test_a_reader_that_has_gone_is_no_error(project, line):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "gan_core", *line.split()]
    ran = subprocess.run(command, cwd=REPOSITORY, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (128 + signal.SIGPIPE, "")


def test_help_is_plain_where_it_is_no_terminal_and_names_every_command(run):
    out, err = run("--help")
    names = [command.__name__.rpartition(".")[2] for command in COMMANDS]
    assert all(f"\n  {name} " in out for name in names) and err == ""
    assert out.isascii() or "─" not in out


START = """
import sys
from gan_core.cli import main

for line in {lines}:
    assert main(line.split()) == 0
print("imported:", [name for name in {heavy} if name in sys.modules], file=sys.stderr)
"""


def imported(lines: list[str], heavy: list[str]) -> str:
    script = START.format(lines=lines, heavy=heavy)
    ran = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stderr


def test_a_start_imports_nothing_that_takes_long():
    heavy = ["torch", "numpy", "pandas", "fsspec", "ruamel", "rich"]
    assert imported(["--help", "train --help", "--version"], heavy) == "imported: []\n"


def test_who_only_looks_does_not_wait_for_pytorch(project):
    assert imported(["list", "status", "check"], ["torch", "pandas"]) == "imported: []\n"


def completed(line: str) -> list[str]:
    """What bash is told for a line whose last word is being typed."""
    words = line.split(" ")
    environment = {
        **os.environ,
        COMPLETION: "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    command = [sys.executable, "-m", "gan_core"]
    ran = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert ran.stderr == ""
    return ran.stdout.split()


def test_a_shell_completes_commands_and_configured_names(project):
    assert {"train", "report", "list"} <= set(completed("gan-core "))
    assert completed("gan-core train p") == ["plain"]
    assert completed("gan-core list datasets f") == ["few-digits"]
    project.write({"name": "plainer", "dataset": "few-digits", "length": {"images": 100}})
    assert completed("gan-core train p") == ["plain", "plainer"]  # a new file is seen at once


def test_a_shell_is_told_nothing_of_a_folder_that_cannot_be_read(project, monkeypatch):
    monkeypatch.setenv("GAN_CONFIGS", "/nowhere")
    assert completed("gan-core train p") == []
