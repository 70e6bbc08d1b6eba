"""What the commands have in common: their options, the store that they name, what they print."""

import argparse
import json
import os
import sys
from pathlib import Path

from gan_core.errors import StoreError
from gan_core.store import Manifest, Store, default_store
from gan_core.versions import CODE_VERSIONS


def command(commands, name: str, run, description: str) -> argparse.ArgumentParser:
    """A command that works on a store: `run(options)` carries it out, and gives None or the exit status."""
    command = commands.add_parser(name, help=description, description=description)
    store = "GAN_STORE, else `store` in the clone, else in the current folder"
    command.add_argument("--store", help=f"the artefact store (default: {store})")
    configs_option(command)
    command.add_argument("--force", action="store_true", help="make it again even if it is there")
    command.set_defaults(run=run)
    return command


def configs_option(command: argparse.ArgumentParser) -> None:
    """`--configs`, of a command that reads or writes configurations."""
    configs = "GAN_CONFIGS, else `configs` in the clone, else in the current folder"
    command.add_argument("--configs", type=Path, help=f"the folder of YAML files (default: {configs})")


def store_of(options: argparse.Namespace) -> Store:
    """The store that the options, else the environment, name; it may not be there yet."""
    return Store(options.store) if options.store else default_store()


def existing_store(options: argparse.Namespace) -> Store:
    """The store, where there is one: a command that reads it would make an empty one of a wrong name."""
    store = store_of(options)
    if not any(store.reading.exists(f"{store.root}/{asset}") for asset in CODE_VERSIONS):
        raise StoreError(
            f"there is no store at {store.url}: name another place with --store or GAN_STORE, "
            "or make one with `python -m gan_core shard DATASET`"
        )
    return store


def print_manifest(store: Store, manifest: Manifest) -> None:
    """What was made and where, as JSON on standard output."""
    folder = store.address(store.folder(manifest.asset, manifest.partition, manifest.fingerprint))
    figures = {**manifest.figures, **_verdict(store, manifest)}
    say(json.dumps({"path": folder, "reused": manifest.reused, "figures": figures}, indent=1))


def say(text: str) -> None:
    """Print it on standard output, which may be a file on a full disk, or closed."""
    try:
        print(text, flush=True)
    except OSError as error:
        # What is left of it would fail once more, at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise StoreError(
            f"standard output cannot be written: {error.strerror}; what was made is in its place: send the "
            "output of the same command elsewhere to read it"
        ) from error


def _verdict(store: Store, manifest: Manifest) -> dict[str, str]:
    """The verdict on a training as all tables show it: the guards' own does not see that it was too short."""
    from gan_core.leaderboard.verdicts import verdict_text

    if manifest.asset == "trained_gan":
        return {"verdict": verdict_text(manifest)}
    if manifest.asset == "evaluation":
        return {"verdict": verdict_text(store.current("trained_gan", manifest.partition), manifest)}
    return {}
