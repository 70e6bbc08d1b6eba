"""Mail, handed to an SMTP server."""

import email.utils
import logging
import smtplib
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from gan_core.config.base import Contradiction
from gan_core.notifying.channels.base import SECONDS, Channel, Undelivered, Variable
from gan_core.notifying.notification import Notification

logger = logging.getLogger("gan_core")


def _address(text: str) -> str:
    name, at, domain = text.partition("@")
    if not (name and at and domain) or any(character in text for character in " ,;<>\r\n"):
        raise ValueError(f"`{text}` is no mail address such as me@example.org")
    return text


Address = Annotated[str, AfterValidator(_address)]


class Mail(Channel):
    """`host` and `port` of the server that takes mail from `sender` for `to`.

    `security`: `starttls` (port 587), `tls` from the first byte (port 465), or `none`. `user` and `password`
    name the environment variables that hold them; without them the server is asked without.
    """

    host: Annotated[str, Field(min_length=1, max_length=253)]
    port: Annotated[int, Field(ge=1, le=65_535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: Address
    to: Annotated[tuple[Address, ...], Field(min_length=1, max_length=50)]
    user: Variable | None = None
    password: Variable | None = None

    @model_validator(mode="after")
    def _consistent(self):
        if (self.user is None) != (self.password is None):
            missing = "password" if self.password is None else "user"
            raise Contradiction("host", f"`user` and `password` go together: name `{missing}`, too")
        if self.user and self.security == "none":
            raise Contradiction(
                "security", "without encryption the password could be read on its way: set starttls or tls"
            )
        return self

    def problem(self, environment: Mapping[str, str]) -> str | None:
        for key in ("user", "password"):
            variable = getattr(self, key)
            if variable and not environment.get(variable):
                return f"`mail.{key}` names {variable}, which is not set: set it where Dagster is started"
        return None

    def send(self, notification: Notification, environment: Mapping[str, str]) -> None:
        where = f"{self.host}:{self.port}"
        try:
            with self._connect() as server:
                if self.security == "starttls":
                    server.starttls(context=ssl.create_default_context())
                if self.user:
                    server.login(environment[self.user], environment[self.password])
                refused = server.send_message(self._message(notification))
        except smtplib.SMTPRecipientsRefused as error:
            raise Undelivered(f"{where} refused every recipient: {', '.join(error.recipients)}") from error
        except smtplib.SMTPAuthenticationError as error:  # whose text may repeat what was given
            raise Undelivered(f"{where} does not accept user and password ({error.smtp_code})") from error
        except smtplib.SMTPResponseException as error:
            raise Undelivered(f"{where} answered {error.smtp_code}") from error
        except TimeoutError as error:
            raise Undelivered(f"{where} did not answer within {SECONDS:g} s") from error
        except (smtplib.SMTPException, OSError) as error:
            raise Undelivered(f"{where} cannot be used: {error or type(error).__name__}") from error
        if refused:
            logger.warning("%s refused %s; the other recipients have it", where, ", ".join(refused))

    def _connect(self) -> smtplib.SMTP:
        if self.security == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self.host, self.port, timeout=SECONDS, context=context)
        return smtplib.SMTP(self.host, self.port, timeout=SECONDS)

    def _message(self, notification: Notification) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = notification.title
        message["From"], message["To"] = self.sender, ", ".join(self.to)
        message["Date"] = email.utils.format_datetime(notification.time)
        message["Message-ID"] = f"<{notification.id}@{self.sender.partition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(notification.text)
        return message
