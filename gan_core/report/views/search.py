"""What a page shows of a sweep beside its figures: how its trials ended, which is best, what matters."""

from dataclasses import dataclass

from gan_core.evaluation.figures import FIGURES, percent
from gan_core.remedies import how_to_make
from gan_core.report.families import Family
from gan_core.report.site import Site
from gan_core.report.views.sweeps import key_in_words
from gan_core.store.reading import reading


@dataclass(frozen=True)
class SearchView:
    """`summary`: a sentence. `label`: of the figure that was to be made better. `importances`: of each key in
    words, the share that it explains, the largest first."""

    summary: str
    label: str
    importances: list[tuple[str, str]]


def search_view(site: Site, family: Family) -> SearchView | None:
    """None of a family that no sweep has made, or whose sweep has not ended yet."""
    made = site.artefacts.of("sweep", family.sweep) if family.sweep else None
    if made is None:
        return None
    with reading(f"sweep/{family.sweep}", how_to_make("sweep", family.sweep)):
        figure = FIGURES[made.details["figure"]]
        counts = [f"{made.figures[state]:,} {state}" for state in ("done", "pruned", "unfinished")]
        best = made.details["best"]
        value = made.figures.get(f"best_{made.details['figure']}")
        sampler, trials = made.details["sampler"], made.figures["trials"]
        shares = sorted(made.details["importances"].items(), key=lambda item: -item[1])
    told = f" The best {figure.label} is {figure.write(value)}, of {best}." if best else ""
    return SearchView(
        f"A search ({sampler}) of {trials:,} trials: {', '.join(counts)}.{told}",
        figure.label,
        [(key_in_words(key), percent(share)) for key, share in shares],
    )
