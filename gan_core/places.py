"""Where things are by default: beside the packages in a clone, in the current folder otherwise."""

from pathlib import Path


def checkout() -> Path | None:
    """The clone that this package runs from; None where it is installed."""
    folder = Path(__file__).resolve().parents[1]
    return folder if (folder / "pyproject.toml").exists() else None


def default_folder(name: str) -> Path:
    """The folder `name` of the clone, or of the current folder where the package is installed."""
    return (checkout() or Path.cwd()) / name
