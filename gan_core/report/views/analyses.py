"""The section of the report that shows what the analyses of an experiment found."""

import io
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from gan_core.analysis import ANALYSES
from gan_core.errors import DamagedError, StoreError
from gan_core.evaluation.figures import FIGURES, MISSING, is_missing
from gan_core.report.views.pictures import MAX_PICTURE_BYTES, Picture, inline_picture, stored_picture
from gan_core.store import Manifest, Store
from gan_core.store.reading import reading


@dataclass(frozen=True)
class AnalysisView:
    """One analysis: what it asks, what was measured and how, its pictures (title, picture)."""

    label: str
    question: str
    protocol: str
    headings: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    figures: list[tuple[str, str]] = field(default_factory=list)
    pictures: list[tuple[str, Picture]] = field(default_factory=list)


@dataclass(frozen=True)
class AnalysesView:
    """All analyses of an experiment; `notes`: what was left out, is out of date, or cannot be read."""

    analyses: list[AnalysisView] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def analyses_view(store: Store, manifest: Manifest | None, trained: Manifest | None) -> AnalysesView | None:
    """The section of one experiment; None where nothing was analysed. `trained` is its training today."""
    if manifest is None:
        return None
    try:
        with reading(f"analysis/{manifest.partition}"):
            views = [
                _view(store, manifest, name, found) for name, found in manifest.details["analyses"].items()
            ]
            notes = [
                f"{ANALYSES[name].label if name in ANALYSES else name}: {why}."
                for name, why in manifest.details["left_out"].items()
            ]
    except (DamagedError, StoreError) as error:
        return AnalysesView(notes=[str(error)])
    if trained and not store.is_made_from(manifest, trained_gan=trained):
        notes.insert(0, "These analyses are of an earlier training: analyse it again.")
    return AnalysesView(views, notes)


def _view(store: Store, manifest: Manifest, name: str, found: dict[str, Any]) -> AnalysisView:
    analysis = ANALYSES.get(name)
    rows = found["table"]
    figures = {} if analysis is None else {key: manifest.figures.get(key) for key in analysis.figures}
    return AnalysisView(
        label=analysis.label if analysis else name,
        question=analysis.question if analysis else "",
        protocol=found["protocol"],
        headings=list(rows[0]) if rows else [],
        rows=[[MISSING if cell is None else _text(cell) for cell in row.values()] for row in rows],
        # A table says the same and more.
        figures=[]
        if rows
        else [
            (FIGURES[key].heading, FIGURES[key].write(value))
            for key, value in figures.items()
            if not is_missing(value)
        ],
        pictures=[(_title(file), _picture(store, manifest, file)) for file in found["pictures"]],
    )


def _text(cell: Any) -> str:
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def _title(file: str) -> str:
    words = file.rpartition(".")[0].replace("_", " ")
    return words[0].upper() + words[1:]


def _picture(store: Store, manifest: Manifest, file: str) -> Picture:
    """A PNG as everywhere in the report; of an animation that is too large, the first frame."""
    if file.endswith(".png"):
        return stored_picture(store, manifest, file)
    path = store.local(manifest, file)
    content, first = path.read_bytes(), io.BytesIO()
    with Image.open(path, formats=("GIF",)) as image:
        width = image.width
        image.convert("RGB").save(first, "PNG", optimize=True)
    still = inline_picture(first.getvalue(), "image/png")
    if len(content) > MAX_PICTURE_BYTES:
        return Picture(still, width)
    return Picture(inline_picture(content, "image/gif"), width, still=still)
