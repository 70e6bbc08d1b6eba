"""Sums of latents: mean of A - mean of B + mean of C, three samples each (Radford et al. 2016, section
6.3.2).

What the paper shows with faces is asked of the dataset's classes, many times: `bright a - dark a + dark b`
should be a b, and a bright one. How bright an image is, is the mean of its pixels: of light digits on black,
how thick. The samples of A, B and C are of the brightest and of the darkest quarter of their class; a result
is called bright where it is brighter than half of the samples of its class.

The class alone says little: the mean of C is a b already. What the sum adds is seen beside C alone.

A mean of three latents has 1/sqrt(3) of the norm that latents have, and the sum of three such means has it
again. Where what A and B share cancels, less is left: everything is measured twice, as it is and rescaled to
the typical norm."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gan_core.analysis.base import Analysis, Findings, add_analysis
from gan_core.errors import ConfigError
from gan_core.evaluation.figures import Figure, percent

if TYPE_CHECKING:
    import numpy
    from PIL import Image
    from torch import Tensor

    from gan_core.analysis.subject import Subject

EXEMPLARS = 3
# Samples that exemplars are chosen among, and sums that are tried.
POOL, SUMS = 3_000, 500
# How probable the classifier finds the class of a clear image, at least.
CLEAR = 0.9
SHOWN = 4
NEIGHBOURS, NEIGHBOUR_NOISE = 8, 0.25
MOST_NUMBERED = 100


# --- what is chosen ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pool:
    """Samples of the generator: latents (n, z_dim), classes they were asked for (one-hot, or None), images,
    and what is seen in them: the class int64 (n,), whether it is clear, and the brightness (n,), 0 to 1."""

    latents: "Tensor"
    asked: "Tensor | None"
    images: "Tensor"
    found: "numpy.ndarray"
    clear: "numpy.ndarray"
    brightness: "numpy.ndarray"

    def quarter(self, label: int, bright: bool) -> "numpy.ndarray":
        """The numbers of the brightest or darkest quarter of the clear samples of a class."""
        import numpy as np

        members = self._members(label)
        ordered = members[np.argsort(self.brightness[members], kind="stable")]
        size = len(members) // 4
        return ordered[len(ordered) - size :] if bright else ordered[:size]

    def is_bright(self, brightness: "numpy.ndarray", labels: "numpy.ndarray") -> "numpy.ndarray":
        """Which images are brighter than half of the clear samples of the class they should be of, (n,)."""
        import numpy as np

        middle = {label: np.median(self.brightness[self._members(label)]) for label in set(labels.tolist())}
        return brightness > np.array([middle[label] for label in labels.tolist()])

    def _members(self, label: int) -> "numpy.ndarray":
        import numpy as np

        return np.flatnonzero(self.clear & (self.found == label))


def draw_pool(subject: "Subject") -> Pool:
    import torch

    latents = subject.latents(POOL, "arithmetic pool")
    asked = subject.one_hot(torch.arange(POOL) % max(len(subject.classes), 1))
    images = subject.draw(latents, asked)
    found, probability = subject.recognised(images)
    clear = probability >= CLEAR
    if asked is not None:
        clear &= found == asked.argmax(1)
    return Pool(latents, asked, images, found.numpy(), clear.numpy(), brightness_of(images))


def brightness_of(images: "Tensor") -> "numpy.ndarray":
    """uint8 (n, C, H, W) -> the mean of the pixels, 0 to 1, (n,)."""
    return images.float().mean(dim=(1, 2, 3)).div(255).numpy()


@dataclass(frozen=True)
class Sums:
    """Numbers of the pool, int64 (sums, 3), for each of the three terms, and the classes a and b, (sums,)."""

    terms: "dict[str, numpy.ndarray]"
    first: "numpy.ndarray"
    second: "numpy.ndarray"


def choose(pool: Pool, n_classes: int, seed: int, count: int = SUMS) -> Sums | None:
    """bright a - dark a + dark b, for every ordered pair of classes by turns; None where fewer than two
    classes have enough clear samples."""
    import numpy as np

    known = [label for label in range(n_classes) if len(pool.quarter(label, True)) >= EXEMPLARS]
    pairs = [(a, b) for a in known for b in known if a != b]
    if not pairs:
        return None
    numbers = np.random.default_rng(seed)
    pairs = [pairs[i] for i in numbers.permutation(len(pairs))]
    chosen = [pairs[i % len(pairs)] for i in range(count)]
    members = {(label, bright): pool.quarter(label, bright) for label in known for bright in (True, False)}

    def pick(keys: list[tuple[int, bool]]) -> "numpy.ndarray":
        return np.stack([numbers.choice(members[key], EXEMPLARS, replace=False) for key in keys])

    return Sums(
        {
            "A": pick([(a, True) for a, _ in chosen]),
            "B": pick([(a, False) for a, _ in chosen]),
            "C": pick([(b, False) for _, b in chosen]),
        },
        np.array([a for a, _ in chosen]),
        np.array([b for _, b in chosen]),
    )


def means(values: "Tensor", terms: "dict[str, numpy.ndarray]") -> "dict[str, Tensor]":
    """The mean over its three exemplars of each term: (sums, d)."""
    return {name: values[numbers].mean(dim=1) for name, numbers in terms.items()}


def total(of: "dict[str, Tensor]") -> "Tensor":
    return of["A"] - of["B"] + of["C"]


# --- what comes of it -------------------------------------------------------------------------------------


def look(subject: "Subject") -> Findings:
    given = subject.settings.get("arithmetic")
    return _of_numbers(subject, given) if given else _of_classes(subject)


def _of_classes(subject: "Subject") -> Findings:
    from gan_core.analysis.latents import rescaled

    pool = draw_pool(subject)
    subject.emit(f"arithmetic: {int(pool.clear.sum()):,} of {POOL:,} samples are clearly of a class")
    sums = choose(pool, len(subject.classes), subject.seed)
    if sums is None:
        return Findings(
            figures=dict.fromkeys(FIGURES),
            protocol=f"of {POOL:,} samples fewer than two classes have enough that are clearly of them",
            pictures={"samples_by_number.png": numbered(subject)},
        )
    of, latent = means(pool.latents, sums.terms), subject.generator.latent
    result = total(of)
    asked = None if pool.asked is None else total(means(pool.asked, sums.terms))
    random = subject.latents(len(result), "arithmetic chance")
    tried = {
        "A - B + C": result,
        "A - B + C, rescaled": rescaled(result, latent),
        "C alone": of["C"],
        "C alone, rescaled": rescaled(of["C"], latent),
        "any latent": random,
    }
    rows = {name: _judged(subject, pool, sums, z, asked) for name, z in tried.items()}
    first = rows["A - B + C"]
    return Findings(
        figures={
            "arithmetic": first["intended"].share,
            "arithmetic_low": first["intended"].low,
            "arithmetic_high": first["intended"].high,
            "arithmetic_class": first["class"].share,
            "arithmetic_bright": first["bright"].share,
            "arithmetic_rescaled": rows["A - B + C, rescaled"]["intended"].share,
            "arithmetic_without": rows["C alone"]["intended"].share,
            "arithmetic_chance": rows["any latent"]["intended"].share,
            "arithmetic_class_chance": rows["any latent"]["class"].share,
        },
        protocol=f"{len(result):,} sums of three means of {EXEMPLARS} of {POOL:,} samples, "
        f"{int(pool.clear.sum()):,} of which are clearly of a class; bright is above the median of its "
        "class, by the dataset's classifier; "
        + ("the class is given to the generator" if asked is not None else "the generator knows no classes"),
        pictures={
            "arithmetic.png": _picture(subject, pool, sums, result, asked),
            "samples_by_number.png": numbered(subject),
        },
        table=[
            {
                "latent": name,
                "mean norm": f"{float(tried[name].norm(dim=1).mean()):.2f}",
                "class b": row["class"].text,
                "bright": row["bright"].text,
                "a bright b": row["intended"].text,
            }
            for name, row in rows.items()
        ],
    )


@dataclass(frozen=True)
class Share:
    """A share of the sums, with its 95% interval (Wilson)."""

    share: float
    low: float
    high: float

    @property
    def text(self) -> str:
        return f"{self.share:.1%} ({self.low:.1%} to {self.high:.1%})"


def share_of(right: "numpy.ndarray") -> Share:
    from gan_core.evaluation.statistics.intervals import share_interval

    return Share(float(right.mean()), *share_interval(int(right.sum()), len(right)))


def _judged(
    subject: "Subject", pool: Pool, sums: Sums, z: "Tensor", asked: "Tensor | None"
) -> dict[str, Share]:
    images = subject.draw(z, asked)
    of_class = subject.recognised(images)[0].numpy() == sums.second
    bright = pool.is_bright(brightness_of(images), sums.second)
    return {"class": share_of(of_class), "bright": share_of(bright), "intended": share_of(of_class & bright)}


# --- by sample number -------------------------------------------------------------------------------------


def numbered_inputs(subject: "Subject", count: int) -> "tuple[Tensor, Tensor | None]":
    """Latents and one-hot classes of the samples 0 to `count` - 1 as `samples` draws them. Of a conditional
    generator they are those of its grid, row by row, a class each."""
    import torch

    from gan_core.sampling import sample_latents
    from gan_core.steps import GRID_COLUMNS

    latents = sample_latents(subject.generator, count, subject.seed)
    return latents, subject.one_hot(torch.arange(count) // GRID_COLUMNS)


def numbers_there(subject: "Subject") -> int:
    """How many sample numbers there are to choose from."""
    from gan_core import steps

    if subject.conditional:
        return min(len(subject.classes), steps.GRID_ROWS) * steps.GRID_COLUMNS
    return steps.sample_count(subject.dataset, subject.shards)


def check_numbers(subject: "Subject", given: dict[str, Any]) -> None:
    """Raise `ConfigError` for a number that no sample has, and where one of the three terms has none."""
    most = numbers_there(subject)
    for term in ("a", "b", "c"):
        if not given.get(term):
            raise ConfigError(f"arithmetic needs samples for each of --a, --b and --c; --{term} has none")
        wrong = [number for number in given[term] if not 0 <= number < most]
        if wrong:
            raise ConfigError(
                f"--{term} names sample {wrong[0]}, but the samples of {subject.trained.partition} have the "
                f"numbers 0 to {most - 1:,}, as grid.png shows them row by row"
            )


def _of_numbers(subject: "Subject", given: dict[str, Any]) -> Findings:
    """One sum of the samples that somebody has chosen: a picture, and what the classifier sees in it."""
    from gan_core.analysis.latents import rescaled

    latents, asked = numbered_inputs(subject, 1 + max(max(given[term]) for term in ("a", "b", "c")))
    of = {term.upper(): latents[given[term]].mean(0, keepdim=True) for term in ("a", "b", "c")}
    of_asked = (
        None
        if asked is None
        else {term.upper(): asked[given[term]].mean(0, keepdim=True) for term in ("a", "b", "c")}
    )
    z, classes = total(of), None if of_asked is None else total(of_asked)
    tried = {"A - B + C": z, "A - B + C, rescaled": rescaled(z, subject.generator.latent)}
    table = [_seen(subject, name, one, classes) for name, one in tried.items()]
    columns = {
        term.upper(): (
            subject.draw(latents[given[term]], None if asked is None else asked[given[term]]),
            subject.draw(of[term.upper()], None if of_asked is None else of_asked[term.upper()]),
        )
        for term in ("a", "b", "c")
    }
    title = " ".join(
        f"{sign}{','.join(map(str, given[term]))}" for sign, term in (("", "a"), ("- ", "b"), ("+ ", "c"))
    )
    example = _example(columns, _neighbourhood(subject, z, classes), title)
    from gan_core.images import encode_picture

    return Findings(
        figures=dict.fromkeys(FIGURES),
        protocol="one sum of chosen samples: a share can only be measured over many",
        pictures={"arithmetic.png": encode_picture(example), "samples_by_number.png": numbered(subject)},
        table=table,
        choices={term: list(given[term]) for term in ("a", "b", "c")},
    )


def _seen(subject: "Subject", name: str, z: "Tensor", classes: "Tensor | None") -> dict[str, Any]:
    image = subject.draw(z, classes)
    row: dict[str, Any] = {"latent": name, "norm": f"{float(z.norm()):.2f}"}
    if subject.recognises_classes:
        found, probability = subject.recognised(image)
        row |= {"class seen": subject.classes[int(found)], "probability": f"{float(probability):.1%}"}
    return {**row, "brightness": f"{float(brightness_of(image)[0]):.1%}"}


# --- pictures ---------------------------------------------------------------------------------------------


def numbered(subject: "Subject") -> bytes:
    """The first samples with their numbers, to choose from."""
    from gan_core.analysis.pictures import numbered_png
    from gan_core.steps import GRID_COLUMNS

    latents, asked = numbered_inputs(subject, min(numbers_there(subject), MOST_NUMBERED))
    return numbered_png(subject.draw(latents, asked), GRID_COLUMNS)


def _picture(subject: "Subject", pool: Pool, sums: Sums, z: "Tensor", asked: "Tensor | None") -> bytes:
    """The first few sums as the paper shows them: nobody has chosen among them."""
    from gan_core.analysis.pictures import canvas
    from gan_core.images import encode_picture

    of, names = means(pool.latents, sums.terms), subject.classes
    of_asked = None if pool.asked is None else means(pool.asked, sums.terms)
    examples = []
    for i in range(min(SHOWN, len(z))):
        columns = {
            term: (
                pool.images[numbers[i]],
                subject.draw(of[term][i : i + 1], None if of_asked is None else of_asked[term][i : i + 1]),
            )
            for term, numbers in sums.terms.items()
        }
        a, b = names[sums.first[i]], names[sums.second[i]]
        classes = None if asked is None else asked[i : i + 1]
        square = _neighbourhood(subject, z[i : i + 1], classes)
        examples.append(_example(columns, square, f"bright {a} - dark {a} + dark {b}"))
    width = max(one.width for one in examples)
    drawn = canvas(examples[0].mode, 2 * width + 24, -(-len(examples) // 2) * (examples[0].height + 16))
    for i, one in enumerate(examples):
        drawn.paste(one, (i % 2 * (width + 24), i // 2 * (one.height + 16)))
    return encode_picture(drawn)


def _neighbourhood(subject: "Subject", z: "Tensor", classes: "Tensor | None") -> "Tensor":
    """The image of a latent (1, z_dim) amid eight of latents with a little noise: (9, C, H, W)."""
    import torch

    noise = torch.randn(NEIGHBOURS, z.shape[1], generator=torch.Generator().manual_seed(subject.seed))
    around = z + NEIGHBOUR_NOISE * noise
    latents = torch.cat([around[: NEIGHBOURS // 2], z, around[NEIGHBOURS // 2 :]])
    return subject.draw(latents, None if classes is None else classes.expand(len(latents), -1))


def _example(columns: "dict[str, tuple[Tensor, Tensor]]", square: "Tensor", title: str) -> "Image.Image":
    """A column for each term, its samples and below them the image of their mean; then the result, amid its
    neighbours."""
    import torch

    from gan_core.analysis.pictures import LINE, canvas, scale_of, write
    from gan_core.images import GAP, grid_array, picture

    scale, side = scale_of(square), square.shape[-1]
    step = (side + GAP) * scale
    apart = 26
    strips = [picture(grid_array(torch.cat([samples, mean]), 1), scale) for samples, mean in columns.values()]
    right = picture(grid_array(square, 3), scale)
    height = max(strip.height for strip in strips)
    drawn = canvas(right.mode, 3 * (step + apart) + right.width, 2 * LINE + height)
    write(drawn, (0, LINE // 2), title, anchor="lm")
    for i, (term, strip) in enumerate(zip(columns, strips, strict=True)):
        left = i * (step + apart)
        write(drawn, (left + step // 2, LINE + LINE // 2), term, anchor="mm")
        drawn.paste(strip, (left, 2 * LINE))
        bottom = 2 * LINE + strip.height - side * scale // 2
        write(drawn, (left + step + apart // 2 - GAP, bottom), "-+="[i], anchor="mm")
    drawn.paste(right, (3 * (step + apart), 2 * LINE + height - right.height))
    return drawn


# --- what it is called ------------------------------------------------------------------------------------


def _lacks(subject: "Subject") -> str | None:
    given = subject.settings.get("arithmetic")
    if given:
        check_numbers(subject, given)
        return None
    if not subject.recognises_classes:
        return (
            "the dataset's classifier knows no classes, so that nobody can say what was drawn: choose "
            "samples by number (--a, --b, --c)"
        )
    return None


def _share(label: str, better: str | None, explanation: str) -> Figure:
    return Figure(label, better, explanation, percent)


FIGURES = {
    "arithmetic": _share(
        "Latent arithmetic",
        "higher",
        "The share of sums `bright a - dark a + dark b` that give a bright b: recognised as b, and "
        "brighter than half of the clear samples of b.",
    ),
    "arithmetic_low": _share(
        "Latent arithmetic, lower end", None, "The lower end of its 95% interval (Wilson)."
    ),
    "arithmetic_high": _share(
        "Latent arithmetic, upper end", None, "The upper end of its 95% interval (Wilson)."
    ),
    "arithmetic_class": _share(
        "Latent arithmetic, class",
        "higher",
        "The share of sums that are recognised as b, whatever their brightness.",
    ),
    "arithmetic_bright": _share(
        "Latent arithmetic, bright",
        "higher",
        "The share of sums that are brighter than half of the clear samples of b.",
    ),
    "arithmetic_rescaled": _share(
        "Latent arithmetic, rescaled",
        "higher",
        "The same of sums that are rescaled to the norm that latents have.",
    ),
    "arithmetic_without": _share(
        "Latent arithmetic, C alone",
        None,
        "The share that the mean of the three dark b alone has, with nothing added.",
    ),
    "arithmetic_chance": _share(
        "Latent arithmetic, by chance", None, "The share that drawn latents have, of whatever class they are."
    ),
    "arithmetic_class_chance": _share(
        "Latent arithmetic, class by chance", None, "The share of drawn latents that are recognised as b."
    ),
}

add_analysis(
    "arithmetic",
    Analysis(
        label="Latent arithmetic",
        question="Is brightness (of digits: how thick they are) a direction in latent space that is the "
        "same for every class? What is bright of one class, less what is dark of it, is added to what is "
        "dark of another. The share that comes out as intended has to be read beside that of chance and of "
        "C alone.",
        figures=FIGURES,
        look=look,
        lacks=_lacks,
        settings=("a", "b", "c"),
        position=50,
    ),
)
