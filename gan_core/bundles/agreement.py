"""Whether two measurements of one figure agree, and what may be behind it where they do not.

Imports no torch.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gan_core.evaluation.figures import FIGURES, count, percent
from gan_core.evaluation.protocol import IN_WORDS, fields_of
from gan_core.store import Manifest
from gan_core.versions import CODE_VERSIONS

Agreement = Literal["exact", "rounding", "as recorded", "differs", "not measured"]
AGREES: tuple[Agreement, ...] = ("exact", "rounding", "as recorded")


@dataclass(frozen=True)
class Rounding:
    """What other processors, numbers of threads and batch sizes may change, because they add the same numbers
    in another order: `relative` to a figure, or `absolute` for one near 0, which is a difference of larger
    numbers; of a share or a number of images so many `images`."""

    relative: float
    absolute: float
    images: int


# Some ten times what was measured (docs/proof.md): of images that are the same bytes, and of those of which
# some values are one level beside.
SAME_IMAGES = Rounding(relative=1e-6, absolute=1e-7, images=1)
OTHER_IMAGES = Rounding(relative=1e-4, absolute=1e-5, images=2)
# Where something else is known to differ, nothing is put down to rounding.
NO_ROUNDING = Rounding(relative=0.0, absolute=0.0, images=0)

# The packages that a figure stands on.
PACKAGES = ("python", "torch", "torchvision", "numpy", "scipy", "scikit-learn", "Pillow", "torch-fidelity")
Value = float | int | None


@dataclass(frozen=True)
class Row:
    """One figure of one extractor, as recorded and as measured again. `why` says what is behind a difference
    or what kept it from being measured."""

    extractor: str
    figure: str
    recorded: Value
    measured: Value
    agreement: Agreement
    why: tuple[str, ...] = field(default=())

    @property
    def agrees(self) -> bool:
        return self.agreement in AGREES


def compared(
    extractor: str,
    figure: str,
    recorded: Value,
    measured: Value,
    *,
    images: int,
    rounding: Rounding = SAME_IMAGES,
    again: bool = True,
    why: tuple[str, ...] = (),
) -> Row:
    """`images`: how many there were of the smaller side. `again`: whether it was measured again, or only read
    again."""
    if _same(recorded, measured):
        return Row(extractor, figure, recorded, measured, "exact" if again else "as recorded")
    if recorded is None or measured is None:
        return Row(extractor, figure, recorded, measured, "differs", why)
    within = abs(recorded - measured) <= tolerance(figure, recorded, images, rounding)
    return Row(extractor, figure, recorded, measured, "rounding" if within else "differs", why)


def tolerance(figure: str, recorded: float, images: int, rounding: Rounding) -> float:
    """How far a figure may be from the recorded value by rounding alone."""
    write = FIGURES[figure].write if figure in FIGURES else None
    of_images = {percent: rounding.images / max(images, 1), count: float(rounding.images)}
    return max(rounding.relative * abs(recorded), rounding.absolute, of_images.get(write, 0.0))


def _same(recorded: Value, measured: Value) -> bool:
    if recorded is None or measured is None:
        return recorded is measured
    return recorded == measured or (math.isnan(recorded) and math.isnan(measured))


# --- causes -----------------------------------------------------------------------------------------------


def other_versions(evaluation: Manifest, now: Mapping[str, Any]) -> list[str]:
    """`torch 2.14.0 was recorded, here it is 2.15.0`, of every package that figures stand on and of this
    project's own code."""
    before, here = evaluation.provenance.get("packages", {}), now.get("packages", {})
    found = [
        f"{name} {_release(before[name])} was recorded, here it is "
        f"{_release(here.get(name, 'not installed'))}"
        for name in PACKAGES
        if name in before and _release(before[name]) != _release(here.get(name, ""))
    ]
    if evaluation.code_version != CODE_VERSIONS["evaluation"]:
        found.append(
            f"the evaluation's code was of version {evaluation.code_version}, here it is "
            f"{CODE_VERSIONS['evaluation']}"
        )
    return found


def other_machine(evaluation: Manifest, now: Mapping[str, Any]) -> list[str]:
    """What else changes the order in which numbers are added."""
    before, here = evaluation.provenance.get("machine", {}), now.get("machine", {})
    return [
        f"{what}: {_words(before[key])} was recorded, here it is {_words(here.get(key))}"
        for key, what in (("processor", "processor"), ("gpus", "GPUs"), ("cores", "number of cores"))
        if key in before and before[key] != here.get(key)
    ]


def other_protocol(recorded: str | None, measured: str | None) -> list[str]:
    """In what two protocols differ, field by field: in the same words for all figures that it holds of."""
    if not recorded or not measured or recorded == measured:
        return []
    before, here = fields_of(recorded), fields_of(measured)
    return [
        f"protocol: {IN_WORDS.get(name, name)} {before.get(name) or 'none'} was recorded, here it is "
        f"{here.get(name) or 'none'}"
        for name in dict.fromkeys([*before, *here])
        if before.get(name) != here.get(name)
    ]


def _release(version: str) -> str:
    """Without what tells apart builds, such as `+cpu`."""
    return version.partition("+")[0]


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value or "not known")
