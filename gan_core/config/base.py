"""What all sections of a configuration share, and what of a configuration a fingerprint is made of."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

# Dagster forbids | , [ ] in partition keys; slashes and spaces would not survive as folder names.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=100)]
Description = Annotated[str, Field(max_length=10_000)]
# A word to find experiments by; tables list several of them with spaces between.
Tag = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=40)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Flag = StrictBool
# Bounds beyond which a number is a slip of the pen: the largest data sets have some 10^10 images.
Images = Annotated[int, Field(ge=1, le=10**12)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


def _no_truth(value: Any) -> Any:
    """Pydantic takes `true` for 1 where a number is wanted."""
    if isinstance(value, bool):
        raise PydanticCustomError("number_type", "input should be a number, not true or false")
    return value


Weight = Annotated[float, BeforeValidator(_no_truth), Field(ge=0, le=1e6)]


def _types_in(annotation: Any) -> Iterator[Any]:
    """The types that an annotation is made of, such as int and NoneType of `int | None`."""
    yield annotation
    for part in get_args(annotation):
        yield from _types_in(part)


def registered_in(registry: Mapping[str, Any]) -> AfterValidator:
    """Of a field that names an entry of a registry, as it is filled when a file is read."""

    def check(name: str) -> str:
        if name not in registry:
            raise NotRegistered(name, registry)
        return name

    return AfterValidator(check)


@dataclass(frozen=True)
class AbsentMeans:
    """Annotates a field whose default was changed on purpose: the value that its absence had meant before.

    Without it, a key's absence means its default, so that a new key whose default changes nothing leaves
    every fingerprint as it was. With it, whoever wrote the old or the new value keeps the fingerprint, and
    whoever relied on the default gets a new one: `Annotated[int, AbsentMeans(64)] = 128`.
    """

    value: Any


class AlwaysCounts:
    """Annotates a field that is part of every fingerprint: its default follows from other keys."""


class Config(BaseModel):
    """Base of all sections: unknown keys are errors, values cannot be changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # Whether its keys are the names of keys elsewhere, which a wrong key then means instead.
    names_other_keys: ClassVar[bool] = False

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """In all fields that hold numbers, also in lists of them."""
        if {int, float} & set(_types_in(cls.model_fields[info.field_name].annotation)):
            for item in value if isinstance(value, list | tuple) else [value]:
                _no_truth(item)
        return value

    @classmethod
    def keys(cls) -> list[str]:
        """The keys that a file may give."""
        return list(cls.model_fields)

    def identity(
        self, *, include: Collection[str] | None = None, exclude: Collection[str] = ()
    ) -> dict[str, Any]:
        """What a fingerprint is made of, as JSON: the values that differ from what their absence means.

        `include` and `exclude` choose among the keys of this section. A section without such a value is left
        out whole.
        """
        written = self.model_dump(mode="json")
        values = {}
        for key, field in type(self).model_fields.items():
            if key in exclude or (include is not None and key not in include):
                continue
            value, absent = getattr(self, key), _absence(field)
            if isinstance(value, Config):
                inner = value.identity()
                if inner or not (field.is_required() or isinstance(absent, Config)):
                    values[key] = inner
            elif absent is NEVER or value != absent:
                values[key] = written[key]
        return values

    @classmethod
    def recorded(cls, values: Mapping[str, Any]) -> Self:
        """The section that a manifest holds: what it does not have yet has the value that absence meant.

        Raises pydantic's `ValidationError` where this version cannot read it.
        """
        return cls.model_validate(cls._filled(values))

    @classmethod
    def _filled(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        filled = dict(values)
        for key, field in cls.model_fields.items():
            section, marker = section_of(field), _marker(field)
            if section and isinstance(values.get(key, {}), Mapping):
                inner = section._filled(values.get(key, {}))
                filled |= {key: inner} if inner or key in values else {}
            elif marker and key not in values:
                filled[key] = marker.value
        return filled

    @classmethod
    def absences(cls, prefix: str = "") -> dict[str, Any]:
        """What the absence of each key means, by dotted key; keys that are in every fingerprint are not."""
        found: dict[str, Any] = {}
        for key, field in cls.model_fields.items():
            section, absent = section_of(field), _absence(field)
            if section:
                found |= section.absences(f"{prefix}{key}.")
            elif absent is not NEVER:
                found[f"{prefix}{key}"] = absent
        return found


class Contradiction(ValueError):
    """Values that do not go together. `key` is the dotted key, below the section that raises it, whose line
    the user should look at."""

    def __init__(self, key: str, message: str):
        super().__init__(message)
        self.key = key


class UnknownKey(ValueError):
    """A key of a section that also takes keys from a registry."""

    def __init__(self, key: str):
        super().__init__(f"unknown key `{key}`")
        self.key = key


def refuse_unknown_keys(values: Any, known: Collection[str]) -> None:
    """Raise `UnknownKey` for the first key of a section that is not among the known ones."""
    unknown = [key for key in values if key not in known] if isinstance(values, dict) else []
    if unknown:
        raise UnknownKey(str(unknown[0]))


class NotRegistered(ValueError):
    """A name that is in no registry. `known` are those that are."""

    def __init__(self, name: str, known: Collection[str]):
        super().__init__(f"there is no `{name}`")
        self.known = sorted(known)


def section_of(field: FieldInfo) -> type[Config] | None:
    """The section that a field holds, if it is one."""
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, Config) else None


NEVER = object()  # of a key that cannot be absent


def _absence(field: FieldInfo) -> Any:
    marker = _marker(field)
    if marker:
        return marker.value
    if AlwaysCounts in field.metadata or field.is_required():
        return NEVER
    return field.get_default(call_default_factory=True)


def _marker(field: FieldInfo) -> AbsentMeans | None:
    return next((item for item in field.metadata if isinstance(item, AbsentMeans)), None)
