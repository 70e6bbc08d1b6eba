"""What a bundle must not tell: where things lie on the machine that exported it, and secrets."""

import re
from typing import Any

from gan_core.secrets import has_secret, masked_in

BEGINNING = r"(?:\w+:///|file://|~?/|[A-Za-z]:[\\/])"
WHOLE = re.compile(BEGINNING + r"[^\n]+")
# Within a text; not the middle of `digits/train` or of a URL, but the end of `zip://a.png::/data/photos.zip`.
WITHIN = re.compile(rf"""(?:(?<=::)|(?<![\w.:/~-])){BEGINNING}[^\s'",;()\[\]]*[^\s'",;()\[\].:]""")
PUBLIC = ("http://", "https://", "s3://", "gs://", "ftp://", "hf://")


def without_places(content: Any) -> Any:
    """JSON-like content in which every local path is only its last part, as `…/photos.zip`, and every URL is
    without its password."""
    if isinstance(content, str):
        return _last_part(content) if WHOLE.fullmatch(content) else _without_paths(masked_in(content))
    if isinstance(content, dict):
        return {_without_paths(name): without_places(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_places(value) for value in content]
    return content


def is_public(location: str | None) -> bool:
    """Whether a location means the same to a stranger: a URL of no file here, without a secret."""
    return (
        bool(location)
        and location.lower().startswith(PUBLIC)
        and "::" not in location
        and not has_secret(location)
    )


def _without_paths(text: str) -> str:
    return WITHIN.sub(lambda match: _last_part(match[0]), text)


def _last_part(path: str) -> str:
    return "…/" + re.split(r"[\\/]", path.rstrip("/\\"))[-1]
