"""Slack, and what takes the messages of its incoming webhooks (Mattermost, Rocket.Chat)."""

from collections.abc import Mapping

from gan_core.notifying.channels.base import Channel, Variable
from gan_core.notifying.channels.posting import post, url_problem
from gan_core.notifying.notification import Notification


class Slack(Channel):
    """`url` names the environment variable that holds the incoming webhook's address."""

    url: Variable

    def problem(self, environment: Mapping[str, str]) -> str | None:
        return url_problem("slack", self.url, environment)

    def send(self, notification: Notification, environment: Mapping[str, str]) -> None:
        parts = [f"*{_escaped(notification.title)}*", _escaped(notification.reason)]
        parts += [f"• {_escaped(line)}" for line in notification.figure_lines]
        if notification.link:
            parts.append(f"<{notification.link}|Open in Dagster>")
        section = {"type": "mrkdwn", "text": "\n".join(part for part in parts if part)}
        content = {
            "text": _escaped(notification.title),  # of the pop-up
            "blocks": [{"type": "section", "text": section}],
        }
        post(environment[self.url], content, notification)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
