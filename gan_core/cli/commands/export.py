"""`export`: an experiment's generator, figures and all that verifies them, in one folder for a stranger."""

import argparse
import json
from pathlib import Path

from gan_core.cli.options import command, existing_store, say
from gan_core.config import load_configs


def add(commands) -> None:
    export = command(
        commands,
        "export",
        _export,
        "write a bundle of an evaluated experiment: generator, model card, ONNX, and what `verify` needs",
    )
    export.add_argument("experiment", help="a name in configs/experiments")
    export.add_argument("--out", type=Path, help="the folder to write (default: EXPERIMENT-bundle)")


def _export(options: argparse.Namespace) -> None:
    from gan_core.bundles.export import export_bundle

    configs = load_configs(options.configs)
    experiment, store = configs.experiment(options.experiment), existing_store(options)
    dataset = configs.datasets[experiment.dataset]
    target = options.out or Path(f"{experiment.name}-bundle")
    bundle, reused = export_bundle(store, experiment, dataset, target, force=options.force)
    files = bundle.listed.files.values()
    told = {
        "path": str(target),
        "reused": reused,
        "files": len(files),
        "bytes": sum(one.size for one in files),
    }
    say(json.dumps({**told, "list_sha256": bundle.sha256}, indent=1))
