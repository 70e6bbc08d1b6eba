"""A page of the report: what its bytes follow from, and how they are written."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from gan_core.evaluation.figures import MISSING
from gan_core.leaderboard.verdicts import NOT_RECORDED
from gan_core.report.vendored import plot_script
from gan_core.store import sha256_of
from gan_core.store.manifest import sha256_of_json
from gan_core.versions import CODE_VERSIONS

CODE_VERSION = CODE_VERSIONS["report"]
PLACE = Path(__file__).parent
TEMPLATES, VENDORED = PLACE / "templates", PLACE / "vendor"
Navigation = tuple[tuple[str, str], ...]
"""(title, path) of the pages that every page links to."""


@dataclass(frozen=True)
class Page:
    """One file of the report.

    `path`: below `STORE/report`. `made_from`: JSON of everything that decides its bytes, without reading what
    is large: versions of manifests, configurations, words. `render`: the bytes. `alone`: no other page may be
    made meanwhile, because it is made by what serves one thread of a process at a time.
    """

    path: str
    made_from: dict[str, Any]
    render: Callable[[], bytes]
    alone: bool = False

    @property
    def fingerprint(self) -> str:
        made_by = {"version": CODE_VERSION, "look": _look()}
        return sha256_of_json({"path": self.path, **made_by, **self.made_from})


@functools.cache
def _look() -> str:
    """Of the templates, styles and scripts: a page that they changed is made again."""
    files = sorted(path for path in [*TEMPLATES.rglob("*"), *VENDORED.glob("*.js")] if path.is_file())
    return sha256_of_json({str(path.relative_to(PLACE)): sha256_of(path) for path in files})


def render_page(template: str, title: str, navigation: Navigation, *, path: str, **context: Any) -> bytes:
    """A page as UTF-8 HTML with its style, scripts and pictures inside.

    `path` decides how it links to the others: `root` is what stands before their paths.
    """
    text = (
        environment()
        .get_template(template)
        .render(
            title=title,
            navigation=navigation,
            path=path,
            root="../" * path.count("/"),
            missing=MISSING,
            not_recorded=NOT_RECORDED,
            plot_script=plot_script,
            **context,
        )
    )
    return text.encode()


@functools.cache
def environment() -> jinja2.Environment:
    """Where the templates are found; all text that they are given is escaped."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["code"] = functools.partial(_marked, "`", "code")
    found.filters["bold"] = functools.partial(_marked, "**", "b")
    return found


def _marked(mark: str, tag: str, text: str) -> Markup:
    """Escaped text with what stands between two marks inside a tag: backticks are code."""
    inside = Markup(f"<{tag}>{{}}</{tag}>")
    parts = [(inside if i % 2 else Markup("{}")).format(part) for i, part in enumerate(text.split(mark))]
    return Markup("").join(parts)
