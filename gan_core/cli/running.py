"""Running a command of a typer application: its exit status, and its last words where it fails.

An error is one line on standard error, in a terminal, a log and a pipe alike. The application is not called
by `app()`: that would end the process itself, and answer an interrupt before it is known what was saved.
"""

import contextlib
import os
import signal
import sys
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from gan_core.cli.output import drop_output, is_unread
from gan_core.errors import UsageError

PLAIN_WIDTH = 110  # of help that goes to no terminal
UNREAD = 128 + signal.SIGPIPE


def make_app(help_text: str, **options: Any) -> typer.Typer:
    """An application without boxes around its errors: its help has some on a terminal, and none in a pipe."""
    is_terminal = sys.stdout.isatty()
    width = {} if is_terminal else {"terminal_width": PLAIN_WIDTH}
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich" if is_terminal else None,
        context_settings={"help_option_names": ["--help", "-h"], **width},
        **options,
    )


def run_app(app: typer.Typer, program: str, arguments: list[str] | None, meta: dict[str, Any]) -> int:
    """Run the command that `arguments` (default: those of the process) name; its exit status.

    `meta` takes what commands leave in their context. Where the reader of its output has gone, the status is
    that of a process that SIGPIPE ended. Raises `UsageError`, and whatever the command raises.
    """
    group: TyperGroup = typer.main.get_command(app)
    if f"_{program}_COMPLETE".replace("-", "_").upper() in os.environ:
        group(prog_name=program)  # which ends the process
    try:
        with group.make_context(program, list(sys.argv[1:] if arguments is None else arguments)) as context:
            try:
                status = group.invoke(context) or 0
                sys.stdout.flush()
                return status
            finally:
                meta |= context.meta
    except typer.Exit as done:
        return done.exit_code
    except TyperException as error:
        raise UsageError(_explained(error)) from error
    except BrokenPipeError:
        if not is_unread():
            raise
        drop_output()
        return UNREAD


def last_line(line: str) -> None:
    """Print the last line of a command that failed."""
    with contextlib.suppress(OSError):  # the terminal may be gone
        print(line, file=sys.stderr)


def _explained(error: TyperException) -> str:
    """What is wrong with a command line, and where to read what is right; empty after its help."""
    message = " ".join(error.format_message().replace("Value error, ", "").split())
    near = getattr(error, "possibilities", None)
    if near:
        message = f"{message.partition(' (')[0]}. Did you mean {' or '.join(near)}?"
    if not message:
        return ""
    context = getattr(error, "ctx", None)
    where = f" (see `{context.command_path} --help`)" if context else ""
    return f"{message}{where}"
