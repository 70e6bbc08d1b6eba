"""Who is told what went wrong, or is done: notifications, the ways that they go, and the ledger by which each
cause is told once.

Nothing here knows where notifications come from; `pipelines.automation` makes them of what Dagster records.
"""

import gan_core.config  # noqa: F401  which has the channels as its sections: it must come first
from gan_core.notifying.ledger import Ledger
from gan_core.notifying.notification import Notification

__all__ = ["Ledger", "Notification"]
