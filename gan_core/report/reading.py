"""Reading manifests that may have been edited or lack a key: one row of a table suffers, not the table."""

import contextlib
from collections.abc import Iterator

from gan_core.errors import EvaluationError


@contextlib.contextmanager
def reading(what: str) -> Iterator[None]:
    """Whatever manifests of `what` raise that were edited, or lack a key, becomes one `EvaluationError`."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        reason = f"no key {error}" if isinstance(error, KeyError) else str(error)
        raise EvaluationError(
            f"{what} cannot be shown, because a manifest was edited or lacks something ({reason}): make what "
            "it names again with force"
        ) from error
