"""A small store and the report of it: artefacts made by hand that look like those of real experiments.

A plain DCGAN, one with three seeds, one that collapsed, a grid of two keys of which a point is missing, and a
question that is answered.
"""

from pathlib import Path

from gan_core.comparing.answers import answer_all, current_answers
from gan_core.config import Configs, load_configs
from gan_core.leaderboard.leaderboard import build_leaderboard
from gan_core.report.artefacts import Artefacts, stored
from gan_core.report.report import build_report
from gan_core.store import Manifest, Store
from tests.gan_core.report.conftest import MODE_COLLAPSE, STAGNATION, Workshop
from tests.small_project import write_config

DATASET = {
    "name": "digits",
    "description": "Handwritten digits of 16x16 pixels.",
    "source": {"kind": "digits"},
    "image_size": 16,
    "channels": 1,
    "classes": [str(digit) for digit in range(10)],
    "test_fraction": 0.2,
}
EXPERIMENTS = (
    {"name": "plain", "description": "A DCGAN as its paper describes it."},
    {"name": "acgan", "conditioning": {"name": "acgan"}, "grid": {"seed": [0, 1, 2]}},
    {
        "name": "collapsed",
        "description": "Far too high a rate.",
        "optimizers": {
            "generator": {"name": "adam", "learning_rate": 0.01},
            "discriminator": {"name": "adam", "learning_rate": 0.01},
        },
    },
    {"name": "size", "grid": {"latent.size": [8, 64, 512], "batch_size": [32, 128]}},
)
QUESTION = {
    "name": "conditional",
    "question": "Does an ACGAN draw better digits than a DCGAN of the same size?",
    "description": "Both see as many images.",
    "experiments": ["plain", "acgan-*"],
    "labels": {"DCGAN": "plain", "ACGAN": "acgan-*"},
    "figures": ["fid", "recall", "seconds_training"],
}
FIDS = {
    "plain": 18.92,
    "acgan-seed-0": 12.31,
    "acgan-seed-1": 13.4,
    "acgan-seed-2": 11.8,
    "collapsed": 214.0,
    "size-size-8-batch-size-32": 44.0,
    "size-size-64-batch-size-32": 21.5,
    "size-size-512-batch-size-32": 23.0,
    "size-size-8-batch-size-128": 61.2,
    "size-size-64-batch-size-128": 30.8,
}


def make_example(folder: Path) -> Path:
    """Make the store and its report below `folder`; gives the folder of the report."""
    configs = _configs(folder / "configs")
    store = Store(folder / "store")
    _publish(Workshop(store), configs)
    report(store, configs)
    return folder / "store" / "report"


def report(store: Store, configs: Configs) -> Manifest:
    """Build the leaderboard, the answers and the report of what a store holds."""
    unreadable: dict[str, str] = {}
    manifests = stored(store, configs, unreadable)
    leaderboard = build_leaderboard(
        store, configs.experiments, manifests["trained_gan"], manifests["evaluation"], unreadable=unreadable
    )
    answer_all(store, configs)
    answers = current_answers(store, configs, unreadable)
    return build_report(store, configs, Artefacts(leaderboard, manifests, answers, {}, unreadable))


def _configs(folder: Path) -> Configs:
    common = {"dataset": "digits", "length": {"images": 60_000}}
    for content in (DATASET, QUESTION, *({**common, **item} for item in EXPERIMENTS)):
        write_config(folder, content)
    configs = load_configs(folder)
    assert not configs.mistakes, configs.mistakes
    return configs


def _publish(workshop: Workshop, configs: Configs) -> None:
    for asset in ("raw_images", "reference_statistics"):
        workshop.make(asset, "digits")
    workshop.make("classifier", "digits", figures={"accuracy_test": 0.981}, details={"task": "labels"})
    for number, (name, fid) in enumerate(FIDS.items()):
        experiment = configs.experiments[name]
        training = {"seed": number}
        if name == "collapsed":
            training |= {"found": (MODE_COLLAPSE, STAGNATION), "stopped_by": "mode_collapse"}
        workshop.whole(
            experiment,
            training=training,
            fid=fid,
            fid_low=0.95 * fid,
            fid_high=1.04 * fid,
            recall=max(0.05, 0.9 - fid / 100),
            class_accuracy=0.964 if experiment.conditional else None,
        )
