"""Passwords and signatures in URLs: hidden in all that is written, and no part of what names a file."""

import logging
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

MASK = "***"
END = r"""\s"'<>"""  # no URL goes on behind one of these
# What stands before the last `@` of a URL's host; also where a password holds a `/`, `?` or `#` that should
# have been escaped (a number behind the colon is a port).
USER = re.compile(
    rf"(?P<scheme>\b[a-z][a-z0-9+.-]*://)"
    rf"(?P<user>[^/?#{END}]*|[^/?#@:\[\]{END}]*:(?!\d*(?:[/?#]|$))(?:(?!://)[^{END}])*)@",
    re.IGNORECASE,
)
SECRET_NAMES = (
    r"[\w.-]*(?:token|secret|password|passwd|pwd|signature|credential|api[_-]?key|access[_-]?key)[\w.-]*"
    r"|x-(?:amz|goog|oss|cos|ms)-[\w-]+|googleaccessid|key-pair-id|policy|authorization|auth|pass|jwt|sig"
    # A key of Google's; others may name what is fetched.
    rf"|key(?==(?:{re.escape(MASK)}|AIza[\w-]{{20,}}))"
)
# A point or colon at the end belongs to the sentence.
VALUE = rf"(?:{re.escape(MASK)}|[^&#{END}]*[^&#{END}.,:;)])"
SECRET_VALUE = re.compile(rf"(?P<name>[?&#](?:{SECRET_NAMES})=)(?P<value>{VALUE})", re.IGNORECASE)
# What comes new with every signature and is no secret (AWS and GCS version 2, CloudFront, Azure SAS).
SIGNED = re.compile(r"[?&](?:sig|[\w-]*signature)=", re.IGNORECASE)
OF_A_SIGNATURE = re.compile(
    rf"(?P<name>[?&](?:expires|se|st|sp|sv|sr|ss|srt|spr|sip|sdd|sks|skv|ske|skt|skoid|sktid)=)(?:{VALUE})",
    re.IGNORECASE,
)
# Shorter ones also stand in innocent words; within a URL they are hidden whatever their length.
SHORTEST_REMEMBERED = 5

_urls: dict[str, str] = {}  # by what they are when masked
_secrets: set[str] = set()


def masked(url: str) -> str:
    """The URL (or path) with `***` for its password and for the values in its query that authorise or sign.

    Two URLs of one file that differ in these only are the same then, so this is also what names the file, for
    fingerprints and the cache. What was masked is remembered by this process, for `hidden` and `revealed`.
    """
    found: list[str] = []
    result = _mask(url, found)
    if SIGNED.search(result):
        result = OF_A_SIGNATURE.sub(rf"\g<name>{MASK}", result)
    if result != url:
        _urls[result] = url
        _remember(found)
    return result


def has_secret(url: str) -> bool:
    """Whether `masked` hides something of it."""
    return masked(url) != url


def revealed(url: str, known: Iterable[str | None] = ()) -> str | None:
    """A URL as it was before it was masked: one of `known`, or one that this process has masked; else None.

    One that hides nothing is returned as it is.
    """
    if MASK not in url:
        return url
    return next((one for one in known if one and masked(one) == url), _urls.get(url))


def hidden(text: str) -> str:
    """A message without the secrets of URLs: those in it, and those remembered wherever they stand."""
    text = _mask(text, [])
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def masked_in(content):
    """JSON-like content with the secrets of every URL in it hidden; nothing else is changed."""
    if isinstance(content, str):
        return _mask(content, [])
    if isinstance(content, dict):
        return {name: masked_in(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [masked_in(value) for value in content]
    return content


def without_secrets(error: Exception) -> Exception:
    """An error that may be shown with its chain of causes: those that tell a secret are cut off.

    Libraries put whole URLs into their messages. Another error in its place where it tells one itself.
    """
    if _tells(error):
        text = f"{type(error).__name__}: {hidden(str(error))}"
        return RuntimeError(text).with_traceback(error.__traceback__)
    _cut(error)
    return error


class HideSecrets(logging.Filter):
    """Hides them in what is logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if (shown := hidden(message)) != message:
            record.msg, record.args = shown, ()
        return True


def _mask(text: str, found: list[str]) -> str:
    """The text masked; what was hidden is added to `found`."""

    def user(match: re.Match) -> str:
        name, colon, password = match["user"].partition(":")
        if match["scheme"].lower() in ("http://", "https://"):  # a name alone is a token there
            found.append(password or name)
            return f"{match['scheme']}{MASK}@"
        found.append(password)
        return f"{match['scheme']}{name}{colon and colon + MASK}@"

    def value(match: re.Match) -> str:
        found.append(match["value"])
        return match["name"] + MASK

    return SECRET_VALUE.sub(value, USER.sub(user, text))


def _remember(found: Iterable[str]) -> None:
    for secret in found:
        plain = unquote(secret)
        forms = {secret, plain, quote(plain), quote(plain, safe="")}
        _secrets.update(form for form in forms if len(form) >= SHORTEST_REMEMBERED)


def _cut(error: BaseException) -> None:
    for attribute in ("__cause__", "__context__"):
        other = getattr(error, attribute)
        if other is None:
            continue
        if _tells(other):
            setattr(error, attribute, None)
        else:
            _cut(other)


def _tells(error: BaseException) -> bool:
    text = "\n".join([str(error), *getattr(error, "__notes__", ())])
    return hidden(text) != text


logging.getLogger("gan_core").addFilter(HideSecrets())
