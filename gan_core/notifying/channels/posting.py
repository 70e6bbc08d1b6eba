"""One POST of JSON to a URL that is a secret."""

import datetime
import email.utils
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from gan_core.notifying.channels.base import SECONDS, Undelivered
from gan_core.notifying.notification import Notification

LONGEST_WAIT = 3600.0  # seconds: a receiver that asks for more is asked again then


def url_problem(key: str, variable: str, environment: Mapping[str, str]) -> str | None:
    """Why the variable does not hold a web address, without showing it."""
    url = environment.get(variable)
    if not url:
        return f"`{key}.url` names {variable}, which is not set: set it where Dagster is started"
    try:
        good = urlsplit(url).scheme in ("http", "https") and urlsplit(url).hostname
    except ValueError:
        good = False
    return None if good else f"{variable} holds no address that begins with https://: set it to the URL"


def post(url: str, content: Any, notification: Notification) -> None:
    """Raises `Undelivered`, without the URL, for whatever is no 2xx. A redirection is none: it would send the
    content elsewhere."""
    import requests

    host = urlsplit(url).hostname
    try:
        answer = requests.post(
            url,
            json=content,
            headers={"Idempotency-Key": notification.id},
            timeout=SECONDS,
            allow_redirects=False,
            stream=True,  # the body may be endless, and does not matter
        )
        answer.close()
    except requests.Timeout as error:
        raise Undelivered(f"{host} did not answer within {SECONDS:g} s") from error
    except requests.exceptions.SSLError as error:
        raise Undelivered(f"the certificate of {host} is not accepted") from error
    except requests.RequestException as error:  # whose text has the URL
        raise Undelivered(f"{host} cannot be reached ({type(error).__name__})") from error
    if not 200 <= answer.status_code < 300:
        raise Undelivered(
            f"{host} answered {answer.status_code} {answer.reason}", _retry_after(answer.headers)
        )


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds, of a number or a date (RFC 9110, section 10.2.3)."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}", text):
        return min(float(text), LONGEST_WAIT)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return 0
    now = datetime.datetime.now(at.tzinfo)
    return min(max((at - now).total_seconds(), 0), LONGEST_WAIT)
