"""`export`: an experiment's generator, figures and all that verifies them, in one folder for a stranger."""

from pathlib import Path
from typing import Annotated

import typer

from gan_core.cli.options import ConfigsFolder, ExperimentName, Force, StorePlace, add_command, existing_store
from gan_core.cli.output import say_json


def add(app: typer.Typer) -> None:
    add_command(app, "export", export)


def export(
    experiment: ExperimentName,
    out: Annotated[
        Path | None, typer.Option(help="The folder to write (default: EXPERIMENT-bundle).")
    ] = None,
    store: StorePlace = None,
    configs: ConfigsFolder = None,
    force: Force = False,
) -> None:
    """Write a bundle of an evaluated experiment: generator, model card, ONNX, and what `verify` needs."""
    from gan_core.bundles.export import export_bundle
    from gan_core.config import load_configs

    known = load_configs(configs)
    chosen, place = known.experiment(experiment), existing_store(store)
    dataset = known.datasets[chosen.dataset]
    target = out or Path(f"{chosen.name}-bundle")
    bundle, reused = export_bundle(place, chosen, dataset, target, force=force)
    files = bundle.listed.files.values()
    told = {
        "path": str(target),
        "reused": reused,
        "files": len(files),
        "bytes": sum(one.size for one in files),
    }
    say_json({**told, "list_sha256": bundle.sha256})
