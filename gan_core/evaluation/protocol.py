"""How a number was measured. Numbers with different protocols never compare."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from gan_core.errors import EvaluationError


@dataclass(frozen=True)
class Protocol:
    """Everything that decides what a metric's number means.

    `weights` is the first 12 hex digits of the sha256 of the extractor's weights, `samples` the number of
    generated images (None where statistics of them are given). `real` names the real images (`digits/train`),
    `real_images` counts them (None where only their statistics are known), and `real_hash` (8 hex digits)
    tells apart contents of one name; these and `real_shape` are None for a metric without real images.
    `seed` is that of the evaluation, `labels` how conditional generators are asked for classes (None for
    images that are just there).

    `shape` and `real_shape`: the images' own size and channels as they came, as `16x16x1`, or `mixed`.
    `channels` says how they came to the extractor's channels (`grey-to-rgb`, `rgb-to-grey`) and `resize` how
    to its size; empty and `none` where nothing was done. `dtype` is that of the extractor's arithmetic, with
    `+tf32` where its products were rounded to TensorFloat-32. `versions` are those of the libraries and the
    evaluation's own code (`code`). `settings` is what else decides the metric, such as `kid=100x1000`.
    """

    extractor: str
    weights: str
    samples: int | None
    real: str | None = None
    real_images: int | None = None
    real_hash: str | None = None
    resize: str = "none"
    seed: int = 0
    settings: str = ""
    labels: str | None = None
    shape: str | None = None
    real_shape: str | None = None
    channels: str = ""
    dtype: str = "float32"
    versions: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """One line, such as `classifier-1a2b3c4d5e6f n=2000 vs digits/train(1437)@9f8e7d6c seed=0 labels=data
        images=16x16x1 dtype=float32 torch=2.11.0 numpy=2.3.0 code=3`."""
        text = f"{self.extractor}-{self.weights} n={_known(self.samples)}"
        if self.real is not None:
            text += f" vs {self.real}({_known(self.real_images)})@{self.real_hash}"
        shapes = [shape for shape in (self.shape, self.real_shape) if shape is not None]
        words = {
            "seed": str(self.seed),
            "labels": self.labels,
            "images": "/".join(dict.fromkeys(shapes)),
            "channels": self.channels,
            "resize": self.resize if self.resize != "none" else "",
            "dtype": self.dtype,
            **dict(self.versions),
        }
        text = " ".join([text, *(f"{name}={value}" for name, value in words.items() if value)])
        return f"{text} {self.settings}" if self.settings else text

    def with_settings(self, settings: str) -> "Protocol":
        """The same for a metric with settings of its own."""
        return replace(self, settings=settings)

    def without_real(self) -> "Protocol":
        """The same for a metric that looks at the generated images only."""
        return replace(self, real=None, real_images=None, real_hash=None, real_shape=None)


def _known(count: int | None) -> str:
    return "?" if count is None else str(count)


# `real` may hold spaces and parentheses: it is the name of a folder.
BEGINNING = re.compile(
    r"(?P<extractor>\S+)-(?P<weights>\S+) n=(?P<samples>\S+)"
    r"(?: vs (?P<real>.+)\((?P<real_images>\d+|\?)\)@(?P<real_hash>\S+))?(?P<rest>(?: \S+)*)"
)
LAST_OF_VERSIONS = "code"  # settings come after it
IN_WORDS = {"real_images": "number of real images", "real_hash": "content of the real images"}


def fields_of(protocol: Protocol | str) -> dict[str, str]:
    """What a protocol says, by name; an `EvaluationError` for a text that is none.

    A metric's settings may have several words, as in `k=5 of 2000/1412` and `distinct of 2000`: they are one
    value.
    """
    found = BEGINNING.fullmatch(str(protocol))
    if not found:
        raise EvaluationError(f"`{protocol}` is no protocol: evaluate again, so that one is recorded")
    fields = {name: value for name, value in found.groupdict(default="").items() if name != "rest"}
    last = LAST_OF_VERSIONS
    for word in found["rest"].split():
        name, equals, value = word.partition("=")
        if equals or last == LAST_OF_VERSIONS:
            fields[name], last = value, name
        else:
            fields[last] = f"{fields[last]} {word}".lstrip()
    return fields


def require_comparable(protocols: Mapping[str, Protocol | str] | Iterable[Protocol | str]) -> None:
    """An `EvaluationError` that names, field by field, in what these protocols differ.

    A mapping gives each a name for the message, such as that of its experiment.
    """
    named = protocols if isinstance(protocols, Mapping) else dict(enumerate(protocols))
    fields = {name: fields_of(protocol) for name, protocol in named.items()}
    differences = []
    for field in dict.fromkeys(field for one in fields.values() for field in one):
        values = list(dict.fromkeys(one.get(field) or "none" for one in fields.values()))
        if len(values) > 1:
            differences.append(f"{IN_WORDS.get(field, field)} ({', '.join(values)})")
    if differences:
        whose = f" of {', '.join(named)}" if isinstance(protocols, Mapping) else ""
        raise EvaluationError(
            f"the numbers{whose} do not compare, because they were measured with different "
            f"{'; '.join(differences)}: measure them in one way"
        )
