"""Trials of one kind of damage: each is tried, and either holds or says what broke."""

import argparse
import fnmatch
import time
import traceback
from collections.abc import Callable

Case = Callable[[], None]
"""Does the damage and looks at what came of it; raises `AssertionError` where that is wrong."""


def run_trials(title: str, cases: dict[str, Case]) -> int:
    """Try every case (or those whose names match the patterns on the command line), one line each.

    Prints at the end the row for the table in `docs/operation.md`: what was tried, and how many held. Returns
    the exit status: 1 if one did not hold.
    """
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("pattern", nargs="*", default=["*"], help="shell-style patterns of the cases' names")
    patterns = parser.parse_args().pattern
    chosen = [name for name in cases if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    held = sum(_holds(name, cases[name]) for name in chosen)
    print(f"\n| {title} | {len(chosen)} | {held} |")
    return 0 if held == len(chosen) else 1


def _holds(name: str, case: Case) -> bool:
    began = time.monotonic()
    broke = None
    try:
        case()
    except AssertionError as error:
        broke = str(error) or traceback.format_exc()
    except Exception:  # of the script's own, as well: a case that could not be tried did not hold
        broke = traceback.format_exc()
    print(f"{'BROKE' if broke else 'held '} {time.monotonic() - began:6.1f} s  {name}", flush=True)
    if broke:
        print("    " + "\n    ".join(broke.splitlines()), flush=True)
    return not broke
