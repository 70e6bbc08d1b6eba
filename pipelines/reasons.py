"""Why steps failed, in one line each: our own error where there is one, else the innermost cause."""

import re
from collections.abc import Iterable

import dagster as dg
from dagster._utils.error import SerializableErrorInfo

from assets.failures import Failed
from assets.interrupts import INTERRUPTS
from gan_core.errors import GanError

OWN_ERRORS = {error.__name__ for error in GanError.__subclasses__()}
# With or without its module, as the error was raised by itself or as the cause of another one.
OWN_NAME = re.compile(rf"^(?:[\w.]+\.)?(?:{'|'.join([Failed.__name__, *sorted(OWN_ERRORS)])}): ")

# Errors that Dagster raises without a word, or with what was saved.
CRASHED = "ChildProcessCrashException"
KILLED = "its process was killed, or crashed: by hand, or for want of memory"
INTERRUPT_NAMES = {kind.__name__ for kind in INTERRUPTS}
INTERRUPTED, BY_WHOM = "interrupted: ", "its run was ended, or the process of its run"


def causes(event: dg.DagsterEvent) -> list[SerializableErrorInfo]:
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
        found.append(f"{event.step_key}: {_reason(told)}")
    return found


def _reason(error: SerializableErrorInfo) -> str:
    said = OWN_NAME.sub("", error.message.strip())
    if error.cls_name == CRASHED:
        return KILLED
    if error.cls_name in INTERRUPT_NAMES:
        _, _, told = said.partition(f"{error.cls_name}: ")
        return INTERRUPTED + (told or BY_WHOM)
    return said
