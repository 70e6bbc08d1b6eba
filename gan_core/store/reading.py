"""Reading manifests that may have been edited or lack a key: one clear error, and a table loses one row."""

import contextlib
from collections.abc import Iterator

from gan_core.errors import DamagedError


@contextlib.contextmanager
def reading(what: str, remedy: str = "make what it names again with force") -> Iterator[None]:
    """Whatever manifests of `what` raise that were edited, or lack a key, becomes one `DamagedError`.

    For the lines that read from manifests only: a mistake of the code's own would look the same.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        reason = f"no key {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise DamagedError(
            f"{what} cannot be read, because a manifest was edited or lacks something ({reason}): {remedy}"
        ) from error
