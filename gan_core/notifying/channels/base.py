"""What every channel is: a section of `configs/notifications.yaml` that sends one notification, once."""

import abc
import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator

from gan_core.config.base import Config
from gan_core.notifying.notification import Notification

SECONDS = 5.0  # to connect, and between two packets


class Undelivered(Exception):
    """Why a notification did not arrive, in words without a secret.

    `after`: the seconds in which the receiver does not want to be asked again, where it said so.
    """

    def __init__(self, reason: str, after: float = 0):
        super().__init__(reason)
        self.after = after


def _variable(name: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,99}", name):
        raise ValueError(
            "the name of an environment variable is wanted here, such as GAN_SLACK_URL, and the secret in "
            "that variable: files are committed"
        )
    return name


Variable = Annotated[str, AfterValidator(_variable)]


class Channel(Config, abc.ABC):
    """A way that notifications go. Secrets are in environment variables, and only their names in the file."""

    @abc.abstractmethod
    def problem(self, environment: Mapping[str, str]) -> str | None:
        """What in the environment is missing or wrong, naming the variable; None where nothing is."""

    @abc.abstractmethod
    def send(self, notification: Notification, environment: Mapping[str, str]) -> None:
        """Deliver it, in one attempt. Raises `Undelivered`."""
