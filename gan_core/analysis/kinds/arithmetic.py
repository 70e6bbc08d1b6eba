"""Sums of latents: mean of A - mean of B + mean of C, three samples each (Radford et al. 2016, section
6.3.2).

What the paper shows with faces is asked of the dataset's classes, many times: `bright a - dark a + dark b`
should be a b, and a bright one. How bright an image is, is the mean of its pixels: of light digits on black,
how thick. The samples of A, B and C are of the brightest and of the darkest quarter of their class; a result
is called bright where it is brighter than half of the samples of its class.

The class alone says little: the mean of C is a b already. Nor does the brightness: any difference of latents
that is added to a dark b brings it back to where most images are. So the same is done with A and B of any
brightness: what the direction adds is what lies above that control.

A mean of three latents has 1/sqrt(3) of the norm that latents have, and the sum of three such means has it
again. Where what A and B share cancels, less is left: everything is measured twice, as it is and rescaled to
the typical norm."""

from typing import TYPE_CHECKING, Any

from gan_core.analysis.base import Analysis, Findings, add_analysis
from gan_core.errors import ConfigError
from gan_core.evaluation.figures import Figure, percent

if TYPE_CHECKING:
    from torch import Tensor

    from gan_core.analysis.subject import Subject

# Samples that exemplars are chosen among, and sums that are tried.
POOL, SUMS = 3_000, 1_000
MOST_NUMBERED = 100
CONTROL = "the same, A and B of any brightness"


# --- what comes of it -------------------------------------------------------------------------------------


def look(subject: "Subject") -> Findings:
    given = subject.settings.get("arithmetic")
    return _of_numbers(subject, given) if given else _of_classes(subject)


def _of_classes(subject: "Subject") -> Findings:
    from gan_core.analysis.latent_sums import EXEMPLARS, choose, draw_pool, judged, means, total
    from gan_core.analysis.latents import rescaled
    from gan_core.analysis.sum_pictures import sums_png

    pool = draw_pool(subject, POOL)
    subject.emit(f"arithmetic: {int(pool.clear.sum()):,} of {POOL:,} samples are clearly of a class")
    sums = choose(pool, len(subject.classes), subject.seed, SUMS)
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
        CONTROL: total(means(pool.latents, sums.control)),
        "C alone": of["C"],
        "any latent": random,
    }
    rows = {name: judged(subject, pool, sums, z, asked) for name, z in tried.items()}
    first = rows["A - B + C"]
    return Findings(
        figures={
            "arithmetic": first["intended"].share,
            "arithmetic_low": first["intended"].low,
            "arithmetic_high": first["intended"].high,
            "arithmetic_class": first["class"].share,
            "arithmetic_bright": first["bright"].share,
            "arithmetic_rescaled": rows["A - B + C, rescaled"]["intended"].share,
            "arithmetic_control": rows[CONTROL]["intended"].share,
            "arithmetic_bright_control": rows[CONTROL]["bright"].share,
            "arithmetic_without": rows["C alone"]["intended"].share,
            "arithmetic_chance": rows["any latent"]["intended"].share,
            "arithmetic_class_chance": rows["any latent"]["class"].share,
        },
        protocol=f"{len(result):,} sums of three means of {EXEMPLARS} of {POOL:,} samples, "
        f"{int(pool.clear.sum()):,} of which are clearly of a class; bright is above the median of its "
        "class, by the dataset's classifier; "
        + ("the class is given to the generator" if asked is not None else "the generator knows no classes"),
        pictures={
            "arithmetic.png": sums_png(subject, pool, sums, result, asked),
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
                f"numbers 0 to {most - 1:,}: samples_by_number.png shows the first {min(most, MOST_NUMBERED)}"
            )


def _of_numbers(subject: "Subject", given: dict[str, Any]) -> Findings:
    """One sum of the samples that somebody has chosen: a picture, and what the classifier sees in it."""
    from gan_core.analysis.latent_sums import total
    from gan_core.analysis.latents import rescaled
    from gan_core.analysis.sum_pictures import example, neighbourhood
    from gan_core.images import encode_picture

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
    drawn = example(columns, neighbourhood(subject, z, classes), title)
    return Findings(
        figures=dict.fromkeys(FIGURES),
        protocol="one sum of chosen samples: a share can only be measured over many",
        pictures={"arithmetic.png": encode_picture(drawn), "samples_by_number.png": numbered(subject)},
        table=table,
        choices={term: list(given[term]) for term in ("a", "b", "c")},
    )


def _seen(subject: "Subject", name: str, z: "Tensor", classes: "Tensor | None") -> dict[str, Any]:
    from gan_core.analysis.latent_sums import brightness_of

    image = subject.draw(z, classes)
    row: dict[str, Any] = {"latent": name, "norm": f"{float(z.norm()):.2f}"}
    if subject.recognises_classes:
        found, probability = subject.recognised(image)
        row |= {"class seen": subject.classes[int(found)], "probability": f"{float(probability):.1%}"}
    return {**row, "brightness": f"{float(brightness_of(image)[0]):.1%}"}


def numbered(subject: "Subject") -> bytes:
    """The first samples with their numbers, to choose from."""
    from gan_core.analysis.pictures import numbered_png
    from gan_core.steps import GRID_COLUMNS

    latents, asked = numbered_inputs(subject, min(numbers_there(subject), MOST_NUMBERED))
    return numbered_png(subject.draw(latents, asked), GRID_COLUMNS)


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
    "arithmetic_control": _share(
        "Latent arithmetic, control",
        None,
        "The same share where A and B are of class a and of any brightness: what a difference without "
        "meaning gives.",
    ),
    "arithmetic_bright_control": _share(
        "Latent arithmetic, bright, control",
        None,
        "The share that is bright where A and B are of any brightness.",
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
        "dark of another. The share that comes out as intended has to be read beside that of the same with "
        "A and B of any brightness, of C alone, and of chance.",
        figures=FIGURES,
        look=look,
        lacks=_lacks,
        settings=("a", "b", "c"),
        version="2",
        position=50,
    ),
)
