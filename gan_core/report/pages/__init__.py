"""The kinds of pages, one module each: what it registers here is in the report and in its navigation."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gan_core.registry import import_modules, sort_by_position
from gan_core.report.page import Navigation, Page
from gan_core.report.site import Site


@dataclass(frozen=True)
class PageKind:
    """`pages`: all pages of this kind. `title` in the navigation, of the page `<name>.html`; None where it is
    not there. `position` orders the navigation."""

    pages: Callable[[Site], Iterable[Page]]
    title: str | None
    position: int


PAGES: dict[str, PageKind] = {}


def page_kind(name: str, *, title: str | None = None, position: int = 100):
    """Register what gives the pages of a kind."""

    def enter(pages: Callable[[Site], Iterable[Page]]):
        PAGES[name] = PageKind(pages, title, position)
        return pages

    return enter


def navigation() -> Navigation:
    """(title, path) of the kinds that have a page of their own."""
    return tuple((kind.title, f"{name}.html") for name, kind in PAGES.items() if kind.title)


import_modules(__name__, __path__)
sort_by_position(PAGES)
