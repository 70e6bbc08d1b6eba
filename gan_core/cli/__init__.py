"""`gan-core shard | train | sample | evaluate | report | …`: every step without Dagster.

Where the package is not installed, in a clone, the same is `python -m gan_core`.

The steps and the store are the ones that the Dagster assets use: what one made, the other finds.
"""

import contextlib
import logging
import os
from typing import Annotated, Any

import typer

from gan_core import bars, signals
from gan_core.cli.commands import COMMANDS
from gan_core.cli.options import given_to, store_of
from gan_core.cli.running import last_line, make_app, run_app
from gan_core.disks import disk_error
from gan_core.errors import GanError
from gan_core.places import checkout
from gan_core.secrets import HideSecrets, without_secrets
from gan_core.training.processes.launch import is_rank, leave_word, was_launched

PROGRAM = "gan-core"
DISTRIBUTION = "gan-pipelines"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; exit status 0 or what the command gives, 2 with one line on standard error for an
    error of the user's, or 128 and the signal's number after SIGINT, SIGTERM or SIGHUP, when a training has
    saved a checkpoint."""
    _log_lines()
    stop = signals.Stop()
    stop.listen()
    meta: dict[str, Any] = {}
    try:
        with bars.on_terminal() if not is_rank() else contextlib.nullcontext():
            status = run_app(_app(), PROGRAM, arguments, meta)
    except GanError as error:
        return _refused(error)
    except KeyboardInterrupt as interrupt:
        signals.stopping.set()
        notes = [f"{note}; " for note in getattr(interrupt, "__notes__", [])]
        _end_with(interrupt, f"{''.join(notes)}stopped; the same command goes on where this one stopped")
        signals.end(stop.status)
        return stop.status
    except Exception as error:
        told = disk_error(error, _places(given_to(meta)))
        if told is not None:
            return _refused(told)
        bug = without_secrets(error)  # its traceback is printed
    else:
        return status
    finally:
        signals.ignore_at_exit()
    raise bug


def _app() -> typer.Typer:
    app = make_app("Train and measure GANs.", add_completion=True)
    app.callback()(_common)
    for command in COMMANDS:
        command.add(app)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"{PROGRAM} {version()}")
        raise typer.Exit


def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train and measure GANs."""


def _log_lines() -> None:
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", handlers=[bars.StderrHandler()])
    logging.getLogger("gan_core").setLevel(logging.INFO)  # torch has more to say, even after the last line
    for handler in logging.getLogger().handlers:
        handler.addFilter(HideSecrets())


def _refused(error: GanError) -> int:
    if str(error):
        _end_with(error, f"{type(error).__name__}: {error}")
    signals.end(2)
    return 2


def _end_with(error: BaseException, line: str) -> None:
    """The last words of this process, or of one that trains with others."""
    if was_launched():
        leave_word(error)
        return
    process = f"process {os.environ['RANK']}: " if is_rank() else ""
    last_line(f"{process}{line}")


def _places(given: dict[str, Any]) -> dict[str, str | os.PathLike]:
    """The folders that a command writes to, by the variable that names another."""
    from gan_core.config import default_config_folder

    stores = store_of(given["store"]).local_places if "store" in given else {}
    return {**stores, "GAN_CONFIGS": given.get("configs") or default_config_folder()}


def version() -> str:
    """The version of this checkout, else of the installed package."""
    import importlib.metadata
    import tomllib

    place = checkout()
    if place:
        return tomllib.loads((place / "pyproject.toml").read_text())["project"]["version"]
    return importlib.metadata.version(DISTRIBUTION)
