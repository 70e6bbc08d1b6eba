"""Questions over artefacts that are made by hand: nothing is trained here."""

import numpy
import pandas
import pytest

from gan_core.config import Configs, Dataset, Experiment, Question
from gan_core.store import Store
from tests.gan_core.report.conftest import MODE_COLLAPSE, Workshop, digits_png, evaluations, parquet

DATASETS = {
    name: Dataset(
        name=name, source={"kind": "digits"}, image_size=16, channels=1, classes=["0", "1"], test_fraction=0.2
    )
    for name in ("digits", "digits-32")
}


def experiments(name: str, *, seeds=3, dataset="digits", **settings) -> list[Experiment]:
    return [
        Experiment(
            name=f"{name}-seed-{seed}", dataset=dataset, length={"images": 60000}, seed=seed, **settings
        )
        for seed in range(seeds)
    ]


class Laboratory(Workshop):
    """Experiments that are trained and evaluated with the figures that a test gives."""

    def __init__(self, store: Store):
        super().__init__(store)
        self.experiments: dict[str, Experiment] = {}
        self.questions: dict[str, Question] = {}

    def add(
        self,
        name: str,
        *,
        dataset="digits",
        protocol=None,
        device="cpu",
        failing=(),
        seconds=None,
        fids=None,
        **figures,
    ):
        """A configuration; each figure is a list of values, one a seed. `fids`: the course of each seed's
        in-training FID; `settings` of the configuration are in a figure's place as one dictionary."""
        settings = figures.pop("settings", {})
        count = len(next(iter(figures.values())))
        for seed, item in enumerate(experiments(name, seeds=count, dataset=dataset, **settings)):
            self.experiments[item.name] = item
            spent = (seconds or [40.0] * count)[seed]
            trained = self._train(item, seed in failing, spent, fids and fids[seed], device)
            own = {key: values[seed] for key, values in figures.items()}
            how = {"protocol": protocol} if protocol else {}
            self.evaluate(self.sample(trained), **how, **own)

    def ask(self, **keys) -> Question:
        question = Question(**{"name": "why", "question": "Why?", "experiments": ["*"], **keys})
        self.questions[question.name] = question
        return question

    @property
    def configs(self) -> Configs:
        return Configs(datasets=DATASETS, experiments=self.experiments, questions=self.questions)

    def _train(self, experiment: Experiment, failing: bool, seconds: float, fids, device: str):
        course = evaluations() if fids is None else course_of(fids)
        clock = pandas.DataFrame({"images_seen": [0, 60000], "seconds": [0.0, seconds]})
        return self.make(
            "trained_gan",
            experiment.name,
            config=experiment.training_config(),
            inputs={"image_shards": self.shards(experiment.dataset)},
            figures={
                "images_seen": 60000,
                "images_per_second": 60000 / seconds,
                "seconds_training": seconds,
                "verdict": "mode collapse" if failing else "healthy",
            },
            details={
                "verdicts": [MODE_COLLAPSE] if failing else [],
                "in_training_classifier": "c",
                "device": device,
            },
            files={
                "evaluations.parquet": parquet(course),
                "times.parquet": parquet(clock),
                "progress.png": digits_png(10, 6),
            },
        )


def course_of(fids) -> pandas.DataFrame:
    """One FID every 10,000 images."""
    seen = numpy.arange(1, len(fids) + 1) * 10_000
    return pandas.DataFrame({"images_seen": seen, "fid": fids, "diversity": 0.9})


@pytest.fixture
def laboratory(tmp_path) -> Laboratory:
    return Laboratory(Store(tmp_path / "store"))
