"""The ways that a notification goes: one file each, entered as a key of `configs/notifications.yaml`."""

from gan_core.notifying.channels.base import Channel, Undelivered
from gan_core.notifying.channels.mail import Mail
from gan_core.notifying.channels.slack import Slack
from gan_core.notifying.channels.webhook import Webhook

__all__ = ["Channel", "Mail", "Slack", "Undelivered", "Webhook"]
