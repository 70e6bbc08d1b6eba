"""`new`: write a commented configuration to begin with."""

import argparse

from gan_core.cli.options import configs_option, say
from gan_core.config import default_config_folder


def add(commands) -> None:
    new = commands.add_parser("new", help="write a commented configuration to begin with")
    kinds = new.add_subparsers(dest="kind", required=True)
    for kind in ("dataset", "experiment"):
        starter = kinds.add_parser(kind, help=f"write configs/{kind}s/NAME.yaml")
        starter.add_argument("name")
        if kind == "experiment":
            starter.add_argument("--dataset", default="digits", help="what it trains on (default: digits)")
        configs_option(starter)
        starter.set_defaults(run=_new)


def _new(options: argparse.Namespace) -> None:
    from gan_core.config.starters import write_starter

    folder = options.configs or default_config_folder()
    dataset = {"dataset": options.dataset} if options.kind == "experiment" else {}
    path = write_starter(options.kind, options.name, folder, **dataset)
    say(f"{path} is written: read it, change what is different, and run the next command")
