"""What a mistake in a configuration says: the value found, and what would be right."""

import difflib
from collections.abc import Callable, Iterable, Iterator

from pydantic import BaseModel

from gan_core.config.base import Contradiction


def unknown(what: str, given: str, known: Iterable[str]) -> str:
    """`what` begins the sentence, as in "no dataset is named"; then come the nearest of `known`, or all."""
    known = sorted(known)
    near = difflib.get_close_matches(given, known, n=3)
    if near:
        return f"{what} `{given}`; did you mean {_either(near)}?"
    return f"{what} `{given}`; there are: {', '.join(known) or 'none'}"


def explain(item: dict, model: type[BaseModel], at: Callable[..., str]) -> str:
    """One line for one of pydantic's errors about `model`. `at` gives the place of a path of keys."""
    # The alternatives of a union come as parts such as `tuple[str, ...]`, which are in no file.
    location = tuple(part for part in item["loc"] if "[" not in str(part))
    key = ".".join(str(part) for part in location) or "file"
    where = at(*location)
    given = item["input"]
    match item["type"]:
        case "extra_forbidden":
            return f"{where}: {_unknown_key(location, model)}"
        case "missing":
            return f"{where}: `{key}` is missing"
        case "value_error":
            cause = item["ctx"]["error"]
            if isinstance(cause, Contradiction):
                where = at(*location, *cause.key.split("."))
            return f"{where}: {cause}"
        case "model_type":
            keys = _keys_of(_section(model, location))
            return f"{where}: `{key}` is {given!r}: write keys of its own below it: {keys}"
        case "tuple_type":
            return f"{where}: `{key}` is {given!r}: give a list, for example `{key}: [{given}]`"
        case "int_parsing" if _whole_number(given):
            return f"{where}: `{key}` is {given!r}, which YAML reads as text: write {_whole_number(given)}"
    message = item["msg"]
    return f"{where}: `{key}` is {given!r}: {message[0].lower()}{message[1:]}"


def _unknown_key(location: tuple, model: type[BaseModel]) -> str:
    *parents, leaf = map(str, location)
    section = _section(model, location[:-1])
    here = sorted(section.model_fields) if section else []
    meant = [dotted for dotted in _dotted_keys(model) if dotted.split(".")[-1] == leaf]
    meant = meant or [".".join([*parents, name]) for name in difflib.get_close_matches(leaf, here, n=1)]
    hint = f", did you mean {_either(meant)}? The" if meant else "; the"
    return f"unknown key `{'.'.join([*parents, leaf])}`{hint} keys here are: {', '.join(here)}"


def _keys_of(section: type[BaseModel] | None) -> str:
    return ", ".join(section.model_fields) if section else "see docs/training.md"


def _dotted_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        if _is_section(field.annotation):
            yield from _dotted_keys(field.annotation, f"{prefix}{name}.")


def _section(model: type[BaseModel], location: tuple) -> type[BaseModel] | None:
    for part in location:
        field = model.model_fields.get(part)
        if field is None or not _is_section(field.annotation):
            return None
        model = field.annotation
    return model


def _is_section(annotation) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _whole_number(given) -> int | None:
    """1e6 is text in YAML 1.1, which wants 1.0e+6."""
    try:
        number = float(given)
    except (TypeError, ValueError):
        return None
    return int(number) if number.is_integer() else None


def _either(names: list[str]) -> str:
    return " or ".join(f"`{name}`" for name in names)
