"""The command line on a small project that was made by every step."""

import json
import signal

import pytest

from gan_core.cli import main
from tests.small_store import Project, written


@pytest.fixture
def project(tmp_path, monkeypatch) -> Project:
    """Configurations of which nothing was made."""
    monkeypatch.setenv("GAN_CONFIGS", str(tmp_path / "configs"))
    monkeypatch.setenv("GAN_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("GAN_CACHE", str(tmp_path / "cache"))
    return written(tmp_path)


@pytest.fixture
def run(project, capsys):
    """`run(line, status)`: standard output and standard error of a command that ends so."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def command(*words: str, status: int = 0) -> tuple[str, str]:
        assert main(list(words)) == status
        printed = capsys.readouterr()
        return printed.out, printed.err

    yield command
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def told(run):
    """The JSON document that a command with `--json` prints, and nothing else."""

    def command(*words: str, status: int = 0):
        out, err = run(*words, "--json", status=status)
        assert err == ""
        return json.loads(out)

    return command


@pytest.fixture
def whole_store(whole) -> list[str]:
    """The options that name a store in which `plain` was made by every step."""
    return ["--store", str(whole.folder / "store"), "--configs", str(whole.folder / "configs")]
