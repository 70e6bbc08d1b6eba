"""What commands print on standard output: JSON for scripts, text and tables for people."""

import json
import os
import select
import sys
from typing import TYPE_CHECKING, Any

from gan_core.errors import StoreError

if TYPE_CHECKING:
    from rich.console import RenderableType

# Lines of a table that goes to a file are as long as they are.
UNBOUNDED = 10_000


def say(text: str) -> None:
    """Print it on standard output, which may be a file on a full disk, or closed."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_output()
        raise StoreError(
            f"standard output cannot be written: {error.strerror}; what was made is in its place: send the "
            "output of the same command elsewhere to read it"
        ) from error


def drop_output() -> None:
    """What is left of standard output would fail once more, at the end of the process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def is_unread() -> bool:
    """Whether standard output is a pipe whose reader has gone, as `head` does when it has enough."""
    try:
        output = sys.stdout.fileno()
    except (OSError, ValueError):  # not a file
        return False
    poll = select.poll()
    poll.register(output, select.POLLOUT)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def say_json(content: Any) -> None:
    """Print it as one JSON document."""
    say(json.dumps(content, indent=1))


def show(*parts: "RenderableType") -> None:
    """Print tables and lines: in colours and as wide as it is on a terminal, plain elsewhere (and where
    NO_COLOR is set)."""
    from rich.console import Console

    console = Console(file=sys.stdout, highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(file=sys.stdout, highlight=False, markup=False, width=UNBOUNDED)
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    say("\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n")))
