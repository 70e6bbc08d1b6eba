"""The analyses, one file each."""

from gan_core.registry import import_modules


def import_kinds() -> None:
    """Register them all."""
    import_modules(__name__, __path__)
