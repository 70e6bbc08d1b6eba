"""`compare`: what measured figures say to a question."""

import argparse

from gan_core.cli.options import command, existing_store, say
from gan_core.config import load_configs


def add(commands) -> None:
    compare = command(
        commands,
        "compare",
        _compare,
        "answer a question by the experiments in the store, with tests, a table and pictures",
    )
    compare.add_argument(
        "names", nargs="+", help="a name in configs/questions; or names or patterns of experiments"
    )
    compare.add_argument(
        "--figures", help="of experiments that no question names: such as fid,recall,seconds_training"
    )
    compare.add_argument(
        "--fid-to-reach", type=float, help="the in-training FID for seconds_to_fid and images_to_fid"
    )


def _compare(options: argparse.Namespace) -> None:
    from gan_core.comparing.answer import ASSET, asked, find_answer, publish_answer

    configs = load_configs(options.configs)
    given = {}
    if options.figures:
        given["figures"] = tuple(name.strip() for name in options.figures.split(",") if name.strip())
    if options.fid_to_reach is not None:
        given["fid_to_reach"] = options.fid_to_reach
    question = asked(configs, options.names, **given)
    store = existing_store(options)
    answer = find_answer(store, configs, question)
    manifest = publish_answer(store, answer, force=options.force)
    say(answer.text)
    say("")
    for name in manifest.files:
        say(store.address(f"{store.root}/{ASSET}/{question.name}/{name}"))
