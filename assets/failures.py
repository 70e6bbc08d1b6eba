"""How a step ends badly, in one line: what was the cause, and what to do about it."""

import traceback

import dagster as dg
from dagster._core.errors import DagsterUserCodeProcessError
from dagster._utils.error import SerializableErrorInfo

from gan_core.errors import EvaluationError, GanError
from gan_core.secrets import hidden, without_secrets


class Refused(EvaluationError):
    """A step that made nothing because of what its checks found: they are recorded all the same."""


class Failed(DagsterUserCodeProcessError, dg.Failure):
    """A step that failed for a reason that its user can mend: its text is all that the UI shows.

    A `dg.Failure` alone would be followed by a stack of Dagster's own frames. Of an error that another
    process has reported, Dagster shows what that says of itself, and this one has no stack to report.
    """

    def __init__(self, text: str):
        name = type(self).__name__
        told = SerializableErrorInfo(f"{name}: {text}\n", [], name)
        super().__init__(text, user_code_process_error_infos=[told])


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
