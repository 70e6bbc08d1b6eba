"""Why steps failed, in one line each: our own error where there is one, else the innermost cause."""

import re
from collections.abc import Iterable

import dagster as dg

from assets.failures import Failed
from gan_core.errors import GanError

OWN_ERRORS = {error.__name__ for error in GanError.__subclasses__()}
# With or without its module, as the error was raised by itself or as the cause of another one.
OWN_NAME = re.compile(rf"^(?:[\w.]+\.)?(?:{'|'.join([Failed.__name__, *sorted(OWN_ERRORS)])}): ")


def causes(event: dg.DagsterEvent) -> list:
    """The error of a failed step and what caused it, innermost last."""
    error, chain = event.step_failure_data.error, []
    while error:
        chain.append(error)
        error = error.cause
    return chain


def reasons(failures: Iterable[dg.DagsterEvent]) -> list[str]:
    """Each failed step with why it failed."""
    found = []
    for event in failures:
        chain = causes(event)
        if not chain:
            continue
        told = next((cause for cause in chain if cause.cls_name in OWN_ERRORS), chain[-1])
        reason = OWN_NAME.sub("", told.message.strip())
        found.append(f"{event.step_key}: {reason}")
    return found
