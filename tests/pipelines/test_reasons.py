"""What a user reads of a step that failed."""

import sys
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._core.executor.child_process_executor import ChildProcessCrashException
from dagster._utils.error import serializable_error_info_from_exc_info

from assets.failures import Failed
from gan_core.errors import StoreError
from pipelines.reasons import reasons


def failure(error: BaseException) -> SimpleNamespace:
    try:
        raise error
    except BaseException:
        info = serializable_error_info_from_exc_info(sys.exc_info())
    return SimpleNamespace(step_key="trained_gan", step_failure_data=SimpleNamespace(error=info))


def caused(outer: BaseException, inner: BaseException) -> BaseException:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ChildProcessCrashException(1, -9), "its process was killed, or crashed"),
        (dg.DagsterExecutionInterruptedError(), "interrupted: its run was ended"),
        (
            dg.DagsterExecutionInterruptedError("Saved at 5 of 9 images"),
            "interrupted: Saved at 5 of 9 images",
        ),
        (KeyboardInterrupt(), "interrupted: its run was ended"),
        (caused(Failed("what failed, and how"), ZeroDivisionError("x")), "what failed, and how"),
        (caused(ValueError("around"), StoreError("the store is full")), "the store is full"),
        (OSError("what nobody foresaw"), "OSError: what nobody foresaw"),
    ],
)
def test_each_failure_is_told_in_words(error, told):
    (reason,) = reasons([failure(error)])
    assert reason.startswith(f"trained_gan: {told}")
