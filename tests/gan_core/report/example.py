"""A small store and the report of it: artefacts made by hand that look like those of real experiments.

A plain DCGAN, one with three seeds, one that collapsed, a grid of two keys of which a point is missing, and a
question that is answered. Worn, it also has what time does to a store: a picture that is damaged, files that
are gone, a name as long as names may be, samples from elsewhere; and a generator that was really trained.
"""

from collections.abc import Mapping
from pathlib import Path

from gan_core.comparing.answers import answer_all, current_answers
from gan_core.config import Configs, load_configs
from gan_core.data.raw import collect_raw_images
from gan_core.data.shards import write_image_shards
from gan_core.leaderboard.leaderboard import NO_MANIFESTS, build_leaderboard
from gan_core.report.artefacts import Artefacts, stored
from gan_core.report.report import build_report
from gan_core.store import Manifest, Store
from gan_core.training.task import TrainingTask
from gan_core.training.train import run_training
from tests.gan_core.report.conftest import MODE_COLLAPSE, PROTOCOL, STAGNATION, Workshop
from tests.small_project import DATASET as FEW_DIGITS
from tests.small_project import EXPERIMENT as REALLY_TRAINED
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
DAMAGED, GONE, LONG = "damaged-picture", "missing-files", f"long-{'x' * 91}-end"
WORN = (
    {"name": DAMAGED, "latent": {"size": 11}},
    {"name": GONE, "latent": {"size": 12}},
    {"name": LONG, "latent": {"size": 13}},
)
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


def make_example(folder: Path, *, worn: bool = False) -> Path:
    """Make the store and its report below `folder`; gives the folder of the report."""
    configs = _configs(folder / "configs", worn)
    store = Store(folder / "store")
    _publish(Workshop(store), configs)
    external = _wear(Workshop(store), configs) if worn else {}
    report(store, configs, external)
    return folder / "store" / "report"


def report(store: Store, configs: Configs, external: Mapping[str, Manifest] = NO_MANIFESTS) -> Manifest:
    """Build the leaderboard, the answers and the report of what a store holds and of `external` samples."""
    unreadable: dict[str, str] = {}
    manifests = stored(store, configs, unreadable)
    leaderboard = build_leaderboard(
        store,
        configs.experiments,
        manifests["trained_gan"],
        manifests["evaluation"],
        external,
        unreadable=unreadable,
    )
    answer_all(store, configs)
    answers = current_answers(store, configs, unreadable)
    return build_report(store, configs, Artefacts(leaderboard, manifests, answers, external, unreadable))


def _configs(folder: Path, worn: bool) -> Configs:
    common = {"dataset": "digits", "length": {"images": 60_000}}
    experiments = (*EXPERIMENTS, *(WORN if worn else ()))
    really = (FEW_DIGITS, {**REALLY_TRAINED, "name": "really-trained"}) if worn else ()
    for content in (DATASET, QUESTION, *({**common, **item} for item in experiments), *really):
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


def _wear(workshop: Workshop, configs: Configs) -> dict[str, Manifest]:
    """What a worn store has besides; gives the evaluations of samples from elsewhere."""
    made = {item["name"]: workshop.whole(configs.experiments[item["name"]], fid=50.0) for item in WORN}
    _, samples, _ = made[DAMAGED]
    workshop.store.local(samples, "grid.png").write_bytes(b"no picture")
    for manifest, file in zip(made[GONE], ("progress.png", "grid.png"), strict=False):
        workshop.store.local(manifest, file).unlink()
    trained = _really_trained(workshop.store, configs)
    workshop.evaluate(
        workshop.sample(trained), protocol=PROTOCOL.replace("digits", trained.config["dataset"])
    )
    own = made[LONG][-1]
    return {
        "published": workshop.make(
            "external_evaluation",
            "published",
            config={"dataset": "digits", "source": f"{'folder/' * 12}samples.zip", "samples": 2000},
            figures=own.figures,
            details=own.details,
        )
    }


def _really_trained(store: Store, configs: Configs) -> Manifest:
    experiment = configs.experiment("really-trained")
    dataset = configs.dataset(experiment.dataset)
    shards = write_image_shards(store, dataset, collect_raw_images(store, dataset))
    return run_training(store, TrainingTask(experiment=experiment, dataset=dataset, shards=shards))
