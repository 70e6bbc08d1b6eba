"""How a step ends badly, in one line: what was the cause, and what to do about it."""

import traceback

import dagster as dg

from gan_core.errors import GanError
from gan_core.secrets import hidden, without_secrets


class Failed(dg.Failure):
    """A step that failed for a reason that its user can mend. The UI shows the text first, and no stack of
    what raised it."""


# The UI puts the class before the text; of a class from here it would be "assets.failures.Failed".
Failed.__module__ = "builtins"


def failure(context, error: Exception) -> Exception:
    """What a step raises in the place of `error`, without the secrets of URLs.

    Where the user can mend it, that is all there is to read; the stack is in the log at the level DEBUG.
    Anything else is a bug, and stays with its stack and all of its causes.
    """
    shown = without_secrets(error)
    if not isinstance(shown, GanError):
        return shown
    context.log.debug(hidden("".join(traceback.format_exception(shown))))
    return Failed(str(shown))
