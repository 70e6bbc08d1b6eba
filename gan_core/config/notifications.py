"""The schema of `configs/notifications.yaml`: what is told, and where it goes."""

from collections.abc import Mapping
from typing import Annotated, get_args

from pydantic import AfterValidator, model_validator

from gan_core.config.base import Config, Contradiction
from gan_core.notifying.channels import Channel, Mail, Slack, Webhook
from gan_core.notifying.notification import KINDS, Kind


def _web_address(text: str) -> str:
    if not text.startswith(("http://", "https://")) or any(c.isspace() or c in "<>|" for c in text):
        raise ValueError(f"`{text}` is no address of Dagster's UI such as http://127.0.0.1:3000")
    return text.rstrip("/")


class Notifications(Config):
    """`tell`: of what kinds. `ui`: the address of Dagster's UI, for links; without it there are none.
    `webhook`, `slack` and `mail` are where it goes: to all of them; without any, nothing is told."""

    tell: tuple[Kind, ...] = KINDS
    ui: Annotated[str, AfterValidator(_web_address)] | None = None
    webhook: Webhook | None = None
    slack: Slack | None = None
    mail: Mail | None = None

    @model_validator(mode="after")
    def _something(self):
        if not self.tell:
            raise Contradiction("tell", f"nothing is told: name some of {', '.join(get_args(Kind))}")
        return self

    @property
    def channels(self) -> dict[str, Channel]:
        """Those that are set, by key."""
        sections = {key: getattr(self, key) for key in type(self).model_fields}
        return {key: section for key, section in sections.items() if isinstance(section, Channel)}

    def problems(self, environment: Mapping[str, str]) -> list[str]:
        """What the environment lacks for the channels, a line each."""
        found = (channel.problem(environment) for channel in self.channels.values())
        return [f"notifications.yaml: {text}" for text in found if text]
