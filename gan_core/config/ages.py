"""Ages such as `30d`: how long ago something may lie."""

import datetime
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

UNITS = {"h": "hours", "d": "days", "w": "weeks"}
LONGEST_DAYS = 36_500


def parse_age(text: Any) -> datetime.timedelta:
    """`12h`, `30d` or `8w`. Raises `ValueError` for anything else, and for more than a century."""
    if isinstance(text, datetime.timedelta):
        return text
    found = re.fullmatch(r"(\d{1,6})([hdw])", str(text))
    age = None if found is None else datetime.timedelta(**{UNITS[found[2]]: int(found[1])})
    if age is None or age.days > LONGEST_DAYS:
        raise ValueError(f"`{text}` is not an age: write hours, days or weeks, such as 12h, 30d or 8w")
    return age


def shown_age(age: datetime.timedelta) -> str:
    """`30d`; as it is written in a file."""
    hours = int(age.total_seconds() // 3600)
    return f"{hours}h" if hours % 24 else f"{hours // 24}d"


Age = Annotated[datetime.timedelta, BeforeValidator(parse_age), PlainSerializer(shown_age, when_used="json")]
