"""When an asset is made without a click.

`AutomationCondition.eager()` would ask for a retraining even when the upstream came back with the same data
version; these conditions look at data versions only.
"""

import dagster as dg
from dagster import AutomationCondition

_INPUT_CHANGED = AutomationCondition.any_deps_match(AutomationCondition.data_version_changed())
_CODE_CHANGED = AutomationCondition.code_version_changed()


def follow_inputs() -> dg.AutomationCondition:
    """Make it as soon as its inputs are there, and again when their content or the code changed."""
    reasons = AutomationCondition.newly_missing() | _CODE_CHANGED | _INPUT_CHANGED
    ready = ~AutomationCondition.any_deps_missing() & ~AutomationCondition.any_deps_in_progress()
    return (_pending(reasons) & ready).with_label("its inputs are there and their content changed")


def follow_changed_inputs() -> dg.AutomationCondition:
    """Make it again when the content of its inputs changed, but only what was made before.

    For what is costly: sharding a dataset must not start the training of every experiment that names it.
    """
    made_before = ~AutomationCondition.missing()
    ready = ~AutomationCondition.any_deps_missing() & ~AutomationCondition.any_deps_in_progress()
    return (_pending(_INPUT_CHANGED) & made_before & ready).with_label(
        "it was made before and the content of its inputs changed"
    )


def follow_any_input(*needed: str) -> dg.AutomationCondition:
    """For the tables: make it when any of its inputs changed, even while others than `needed` are missing.

    Once for a group of runs: it waits while any partition of an input is queued or being made, and for one
    look after a change, in which what follows from the change is asked for.
    """
    settled = ~AutomationCondition.any_deps_in_progress() & ~_INPUT_CHANGED
    condition = _pending(_INPUT_CHANGED | _CODE_CHANGED) & settled
    if needed:
        missing = AutomationCondition.any_deps_missing().allow(dg.AssetSelection.assets(*needed))
        condition = condition & ~missing
    return condition.with_label("one of its inputs changed, and all have settled")


def _pending(reason: dg.AutomationCondition) -> dg.AutomationCondition:
    """`reason` came up and the asset was not made since; after a failure, only a new reason counts.

    Not `since_last_handled`: that would lose a change that arrives just after a run was asked for.
    """
    made = AutomationCondition.newly_updated() | AutomationCondition.initial_evaluation()
    worth_trying = ~AutomationCondition.execution_failed() | reason
    return reason.since(made) & worth_trying & ~AutomationCondition.in_progress()
