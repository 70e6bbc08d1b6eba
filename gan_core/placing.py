"""Files and folders at a place that the user names: there whole or not at all, and in place of nothing that
is somebody else's."""

import contextlib
import glob
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from gan_core.disks import telling_of_disks
from gan_core.durable import make_folder, replace_durably, sync_folder, sync_tree
from gan_core.errors import GanError
from gan_core.store import attempts


@contextlib.contextmanager
def new_folder(target: Path, marker: str, *, force: bool = False) -> Iterator[Path]:
    """A folder to fill, which becomes `target` when the work inside ends well.

    `marker` is the file by which a folder of this kind is known: with `force` one that has it is replaced.
    Raises `GanError` for any other thing at `target` but an empty folder, and where there can be no folder,
    before anything is done, and `StoreError` where the disk takes nothing more. Of an attempt that was killed
    nothing is at `target`; the next one removes what it left beside it.
    """
    target = Path(target).absolute()
    check_free(target, marker, force=force)
    new = _beside(target)
    with telling_of_disks({"--out": target.parent}):
        with _possible(target):
            make_folder(target.parent)
            remove_abandoned(target)
            new.mkdir()
        try:
            yield new
            sync_tree(new)
            check_free(target, marker, force=force)  # another may have been quicker
            _replace(target, new)
        finally:
            shutil.rmtree(new, ignore_errors=True)


@contextlib.contextmanager
def new_file(target: Path, *, force: bool = False) -> Iterator[Path]:
    """A path to write to, whose file becomes `target`; with `force` in place of one that is there."""
    target = Path(target).absolute()
    with _possible(target):
        _check_parents(target)
        taken = target.is_dir() or (target.exists() and not force)
    if taken:
        raise GanError(f"{target} is there already: name another place{'' if force else ', or say --force'}")
    new = _beside(target)
    with telling_of_disks({"--out": target.parent}):
        with _possible(target):
            make_folder(target.parent)
            remove_abandoned(target)
            new.touch()  # where that cannot be, neither can what is drawn for it
        try:
            yield new
            replace_durably(new, target)
        finally:
            new.unlink(missing_ok=True)


def check_free(target: Path, marker: str, *, force: bool = False) -> None:
    """Raise `GanError` where `new_folder` would not take this target."""
    with _possible(target):
        if target.is_symlink() or (target.exists() and not target.is_dir()):
            raise GanError(f"{target} is there already and no folder of this command's: name another place")
        _check_parents(target)
        if not target.exists() or not any(target.iterdir()):
            return
    if not (target / marker).is_file():
        raise GanError(
            f"{target} holds other files (and no {marker}), which are not written over: name another place"
        )
    if not force:
        raise GanError(f"{target} is there already: name another place, or replace it with --force")


def remove_abandoned(target: Path) -> None:
    """Remove what attempts at this target that were killed left beside it."""
    for path in target.parent.glob(f".{glob.escape(target.name)}.*"):
        match = re.fullmatch(rf"\.{re.escape(target.name)}\.({attempts.NAME})", path.name)
        if match is None:
            continue
        with contextlib.suppress(FileNotFoundError):
            changed = path.lstat().st_mtime
            if attempts.is_abandoned(match[1], lambda changed=changed: changed):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextlib.contextmanager
def _possible(target: Path) -> Iterator[None]:
    """Around what is first done at a place: that nothing can be there is one `GanError`."""
    try:
        with telling_of_disks({"--out": target.parent}):
            yield
    except OSError as error:
        raise GanError(f"{target} cannot be made: {error.strerror or error}; name another place") from error


def _check_parents(target: Path) -> None:
    above = next(path for path in target.parents if path.exists())
    if not above.is_dir():
        raise GanError(f"{target} cannot be made: {above} is a file; name another place")


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{attempts.attempt_name()}")


def _replace(target: Path, new: Path) -> None:
    """One rename where nothing is at `target`; an older folder is moved aside first and then removed."""
    old = None
    if target.exists():
        old = _beside(target)
        target.rename(old)
    new.rename(target)
    sync_folder(target.parent)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
