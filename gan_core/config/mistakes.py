"""What a mistake in a configuration says: the value found, and what would be right."""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from gan_core.config.base import Config, Contradiction, NotRegistered, UnknownKey, section_of
from gan_core.config.yaml_files import Document
from gan_core.errors import ConfigError
from gan_core.secrets import hidden

Section = TypeVar("Section", bound=Config)

LONGEST_VALUE = 80
MOST_NAMES = 10
MOST_LINES = 20  # about one file
# The alternatives of a union come as parts such as `tuple[str, ...]`, which are in no file.
ALTERNATIVE = re.compile(r"(tuple|literal)\[.*\]")


def validated(model: type[Section], data: dict, document: Document) -> Section:
    """`data` of a file as `model`. Raises `ConfigError` with a line per mistake."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = [explain(item, model, document.at) for item in error.errors()]
        raise ConfigError(few_lines(lines)) from error


def few_lines(lines: list[str]) -> str:
    """The first of the lines about one file, and how many more there are."""
    more = len(lines) - MOST_LINES
    return "\n".join(lines[:MOST_LINES] + ([f"… and {more:,} more mistakes"] if more > 0 else []))


def unknown(what: str, given: str, known: Iterable[str]) -> str:
    """`what` begins the sentence, as in "no dataset is named"; then come the nearest of `known`, or the first
    of them."""
    known = sorted(known)
    near = difflib.get_close_matches(given, known, n=3)
    if near:
        return f"{what} `{given}`; did you mean {_either(near)}?"
    more = f" and {len(known) - MOST_NAMES:,} more" if len(known) > MOST_NAMES else ""
    return f"{what} `{given}`; there are: {', '.join(known[:MOST_NAMES]) or 'none'}{more}"


def explain(item: dict, model: type[Config], at: Callable[..., str]) -> str:
    """One line for one of pydantic's errors about `model`. `at` gives the place of a path of keys."""
    location = item["loc"]
    if item["type"] != "extra_forbidden":  # a key that no one knows may look like anything
        location = tuple(part for part in location if not ALTERNATIVE.fullmatch(str(part)))
    key = ".".join(str(part) for part in location) or "file"
    where, given = at(*location), item["input"]
    found = f"`{key}` is {_shown(given)}"
    field = _field(model, location)
    match item["type"]:
        case "extra_forbidden":
            return f"{where}: {_unknown_key(location, model)}"
        case "missing" if location and isinstance(location[-1], int):  # too few of a list of fixed length
            return explain({**item, "type": "tuple_type", "loc": location[:-1]}, model, at)
        case "missing":
            return f"{where}: `{key}` is missing"
        case "value_error":
            return _value_error(item["ctx"]["error"], location, found, model, at)
        case "model_type":
            return f"{where}: {found}: write keys of its own below it: {_keys_of(_section(model, location))}"
        case "tuple_type" | "too_long" if field and _fixed_length(field):
            example = f"{location[-1]}: {list(field.get_default())}"
            return f"{where}: {found}: give {_fixed_length(field)} values, for example `{example}`"
        case "tuple_type":
            return f"{where}: {found}: give a list, for example `{key}: [{_cut(str(given))}]`"
        case "bool_type" if str(given).lower() in WORDS:
            return f"{where}: {found}, which YAML reads as text: write {WORDS[str(given).lower()]}"
        case "int_parsing_size" if field and (bound := _upper_bound(field)):
            return f"{where}: {found}: input should be less than or equal to {bound}"
        case "string_pattern_mismatch":
            return f"{where}: {found}: a name has small letters, digits, `.` and `-` only, as in `my-gan-2`"
        case "int_parsing" if _whole_number(given):
            return f"{where}: {found}, which YAML reads as text: write {_whole_number(given)}"
    message = item["msg"]
    return f"{where}: {found}: {message[0].lower()}{message[1:]}"


# What YAML 1.1 took for true and false.
WORDS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def _value_error(
    cause: Exception, location: tuple, found: str, model: type[Config], at: Callable[..., str]
) -> str:
    if isinstance(cause, Contradiction):
        return f"{at(*location, *cause.key.split('.'))}: {cause}"
    if isinstance(cause, UnknownKey):
        location = (*location, cause.key)
        return f"{at(*location)}: {_unknown_key(location, model)}"
    if isinstance(cause, NotRegistered):
        return f"{at(*location)}: {found}: it is one of {', '.join(cause.known)}"
    return f"{at(*location)}: {cause}"


def _unknown_key(location: tuple, model: type[Config]) -> str:
    *parents, leaf = map(str, location)
    section = _section(model, location[:-1])
    here = sorted(section.keys()) if section else []
    meant = [dotted for dotted in _dotted_keys(model) if dotted.split(".")[-1] == leaf]
    meant = meant or [".".join([*parents, name]) for name in difflib.get_close_matches(leaf, here, n=1)]
    hint = f", did you mean {_either(meant)}? The" if meant else "; the"
    return f"unknown key `{_cut('.'.join([*parents, leaf]))}`{hint} keys here are: {', '.join(here)}"


def _keys_of(section: type[Config] | None) -> str:
    return ", ".join(section.keys()) if section else "see docs/"


def _dotted_keys(model: type[Config], prefix: str = "") -> Iterator[str]:
    for name in model.keys():  # noqa: SIM118
        yield f"{prefix}{name}"
        field = model.model_fields.get(name)
        section = _section_in(field) if field else None
        if section and not section.names_other_keys:
            yield from _dotted_keys(section, f"{prefix}{name}.")


def _section_in(field: FieldInfo) -> type[Config] | None:
    """The section that a field may hold, also one beside null."""
    alternatives = [part for part in get_args(field.annotation) if part is not NoneType]
    if len(alternatives) == 1 and isinstance(field.annotation, UnionType):
        return section_of(FieldInfo(annotation=alternatives[0]))
    return section_of(field)


def _section(model: type[Config], location: tuple) -> type[Config] | None:
    parts = iter(location)
    for part in parts:
        field = model.model_fields.get(part)
        section = (_section_in(field) or _named_section(field, next(parts, None))) if field else None
        if section is None:
            return None
        model = section
    return model


def _named_section(field: FieldInfo, name: str | None) -> type[Config] | None:
    """One of the sections of a field that holds them by name."""
    if name is None or get_origin(field.annotation) is not dict:
        return None
    return section_of(FieldInfo(annotation=get_args(field.annotation)[1]))


def _field(model: type[Config], location: tuple) -> FieldInfo | None:
    section = _section(model, location[:-1])
    return section.model_fields.get(location[-1]) if section and location else None


def _fixed_length(field: FieldInfo) -> int | None:
    """How many values a list has that must have so many."""
    parts = get_args(field.annotation)
    return len(parts) if get_origin(field.annotation) is tuple and Ellipsis not in parts else None


def _upper_bound(field: FieldInfo) -> int | None:
    return next((item.le for item in field.metadata if hasattr(item, "le")), None)


def _whole_number(given: Any) -> int | None:
    """A number that is written as text."""
    try:
        number = float(given)
    except (TypeError, ValueError):
        return None
    return int(number) if number.is_integer() else None


def _shown(given: Any) -> str:
    return _cut(hidden(repr(given)))  # what is cut off may be what shows that it is a URL with a password


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def _either(names: list[str]) -> str:
    return " or ".join(f"`{name}`" for name in names)
