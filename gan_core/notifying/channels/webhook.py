"""A webhook: the notification as JSON, POSTed to a URL."""

from collections.abc import Mapping

from gan_core.notifying.channels.base import Channel, Variable
from gan_core.notifying.channels.posting import post, url_problem
from gan_core.notifying.notification import Notification


class Webhook(Channel):
    """`url` names the environment variable that holds the address.

    The body has the keys `id`, `kind`, `subject`, `title`, `reason`, `figures`, `link` and `at` (ISO 8601).
    `id` is also the header `Idempotency-Key`: a second copy, which comes where an answer was lost, has the
    same.
    """

    url: Variable

    def problem(self, environment: Mapping[str, str]) -> str | None:
        return url_problem("webhook", self.url, environment)

    def send(self, notification: Notification, environment: Mapping[str, str]) -> None:
        content = {
            "id": notification.id,
            "kind": notification.kind,
            "subject": notification.subject,
            "title": notification.title,
            "reason": notification.reason,
            "figures": notification.figures,
            "link": notification.link,
            "at": notification.time.isoformat(),
        }
        post(environment[self.url], content, notification)
