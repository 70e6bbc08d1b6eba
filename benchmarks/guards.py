"""What the guards say of trainings that are known to be good or bad.

    GAN_STORE=STORE python -m benchmarks.guards [--datasets digits digits-32 stacked] [--bedrooms PATH]
                                                [--seeds 3] [--minutes 60] [--out CSV]

Trains small GANs on digits of 16x16 pixels, of which the thresholds were chosen on the first seed; they are
tested on the other seeds and on the other data: digits of 32x32, stacked digits, and the photographs of
bedrooms at PATH, an archive or folder that the source kind `lsun` takes. What a run is called beforehand,
good or bad, follows from how it is configured. Writes a line a run and prints two Markdown tables: how many
of the bad runs have an alarm (recall) and how many of the alarms are bad runs (precision), and what is found
of each kind of run.

A training that STORE holds is not made again; the guards look at its records anew. After `--minutes` no
further one is begun, and the tables say how many there are.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pandas

from gan_core.config import Dataset, Experiment
from gan_core.data.raw import collect_raw_images
from gan_core.data.shards import write_image_shards
from gan_core.evaluation.classifier import train_classifier
from gan_core.evaluation.judging.verdicts import HEALTHY, in_words
from gan_core.store import Manifest, Store, default_store
from gan_core.training import train_gan
from gan_core.training.guards import run_guards, verdict_names

CHOSEN, TESTED = "chosen on", "tested on"
DATASETS = {
    "digits": {
        "source": {"kind": "digits"},
        "image_size": 16,
        "channels": 1,
        "classes": [str(digit) for digit in range(10)],
        "test_fraction": 0.2,
    },
    "digits-32": {
        "source": {"kind": "digits"},
        "image_size": 32,
        "channels": 1,
        "classes": [str(digit) for digit in range(10)],
        "test_fraction": 0.2,
    },
    "stacked": {
        "source": {"kind": "stacked", "stack": {"of": "digits", "images": 20000, "test_images": 5000}},
        "image_size": 16,
        "channels": 3,
        "test_fraction": 0.2,
    },
    "bedrooms": {
        "source": {"kind": "lsun", "category": "bedroom"},
        "image_size": 64,
        "channels": 3,
        "test_fraction": 0.1,
    },
}
PLAIN = {
    "architecture": {"name": "dcgan", "width": 16},
    "latent": {"size": 100},
    "objective": {"name": "non_saturating"},
    "optimizers": {"generator": {"learning_rate": 1e-3}, "discriminator": {"learning_rate": 2.5e-4}},
    "learning_rate_decay": "linear",
    "ema_decay": 0.98,
    "batch_size": 32,
    "length": {"images": 20_000},
    "log_every": 50,
    "checkpoint_every": 1_000_000,
    "evaluation_samples": 500,
}


def critic(rate: float = 2e-3, **objective) -> dict:
    """A Wasserstein critic at the rates of the shipped `digits-wgan*`."""
    each = {"learning_rate": rate, "betas": [0.0, 0.9]}
    return {
        "objective": {"name": "wasserstein", **objective},
        "optimizers": {"generator": each, "discriminator": each},
    }


NO_NORMS = {"generator_norm": "none", "discriminator_norm": "none"}
FAST = {"generator": {"learning_rate": 0.05}, "discriminator": {"learning_rate": 0.0125}}
GOOD = {
    "DCGAN": {},
    "DCGAN, no average, no decay": {"ema_decay": None, "learning_rate_decay": "none"},
    "WGAN-GP": critic(gradient_penalty=10),
    "ACGAN": {"conditioning": {"name": "acgan"}},
}
BAD = {
    "no norms": {"architecture": {"name": "dcgan", "width": 16, **NO_NORMS}},
    "instance noise 20": {"objective": {"name": "non_saturating", "instance_noise": 20}},
    "WGAN, clipped at 1": {
        **critic(weight_clip=1),
        "architecture": {"name": "dcgan", "width": 16, "discriminator_norm": "none"},
    },
    "rates times 50": {"optimizers": FAST},
    "latent of 1": {"latent": {"size": 1}},
    "too short": {"length": {"images": 2_000}},
    "MLP at rates of a tenth": {
        "architecture": {"name": "mlp", "width": 128},
        "optimizers": {"generator": {"learning_rate": 1e-4}, "discriminator": {"learning_rate": 2.5e-5}},
    },
}
OF_BEDROOMS = {"batch_size": 32, "length": {"images": 20_000}, "log_every": 100, "ema_decay": None}
CLASSROOM = {
    **OF_BEDROOMS,
    "architecture": {"name": "dense_dcgan", "width": 32},
    "optimizers": {
        "generator": {"learning_rate": 1e-4, "betas": [0.9, 0.999]},
        "discriminator": {"learning_rate": 1e-4, "betas": [0.9, 0.999]},
    },
    "learning_rate_decay": "none",
}
# Which kinds are tested on the other data, of which the larger take longer; and with what other settings.
TESTS = {
    "digits-32": ([name for name in (*GOOD, *BAD) if name != "latent of 1"], {}),
    "stacked": (["DCGAN", "WGAN-GP", "no norms", "rates times 50"], {"length": {"images": 60_000}}),
}


@dataclass(frozen=True)
class Run:
    """One training, and what is known of it beforehand."""

    dataset: str
    name: str
    seed: int
    bad: bool
    settings: dict

    @property
    def split(self) -> str:
        return CHOSEN if self.dataset == "digits" and self.seed == 0 else TESTED

    def experiment(self) -> Experiment:
        key = "-".join("".join(c if c.isalnum() else " " for c in self.name.lower()).split())
        return Experiment.model_validate(
            {
                **PLAIN,
                **self.settings,
                "name": f"{self.dataset}-{key}-{self.seed}",
                "dataset": self.dataset,
                "seed": self.seed,
            }
        )


def runs(seeds: int, bedrooms: bool) -> Iterator[Run]:
    """The first seed of everything, then the second: whoever has too little time has some of each."""
    for seed in range(seeds):
        for name, settings in {**GOOD, **BAD}.items():
            yield Run("digits", name, seed, name in BAD, settings)
            for dataset, (kinds, others) in TESTS.items():
                if name in kinds:
                    yield Run(dataset, name, seed, name in BAD, {**others, **settings})
        if bedrooms:
            yield Run("bedrooms", "the classroom's network", seed, True, CLASSROOM)


class Bench:
    """The store, and what every training on one of the datasets is given."""

    def __init__(self, store: Store, bedrooms: str | None):
        self.store, self.bedrooms = store, bedrooms
        self._given: dict[str, tuple[Dataset, Manifest, Manifest]] = {}

    def given(self, name: str) -> tuple[Dataset, Manifest, Manifest]:
        """Dataset, shards and classifier."""
        if name not in self._given:
            values = DATASETS[name]
            if name == "bedrooms":
                values = {**values, "source": {**values["source"], "train": self.bedrooms}}
            evaluation = {"extractors": ["classifier"], "samples": 2000}
            dataset = Dataset.model_validate({"name": name, "evaluation": evaluation, **values})
            shards = write_image_shards(self.store, dataset, collect_raw_images(self.store, dataset))
            self._given[name] = dataset, shards, train_classifier(self.store, dataset, shards)
        return self._given[name]

    def line(self, run: Run) -> dict:
        """The table's line of a run, trained where it is not there."""
        experiment = run.experiment()
        trained = train_gan(self.store, experiment, *self.given(run.dataset))
        history, evaluations = self._rows(trained, "history"), self._rows(trained, "evaluations")
        found = run_guards(experiment, history, evaluations)
        verdicts = [finding.verdict for finding in found]
        if trained.details["stopped_by"] == "not_finite":
            verdicts.insert(0, "not_finite")
        fids = [row["fid"] for row in evaluations]
        last = evaluations[-1] if evaluations else {}
        figures = {
            "fid": last.get("fid"),
            "fid_untrained": last.get("fid_untrained"),
            "far_from_real": fids[-1] / last["fid_untrained"] if fids else None,
            "got_worse": fids[-1] / min(fids) if fids else None,
            "few_classes": share(last.get("class_perplexity"), last.get("real_class_perplexity")),
            "diversity": last.get("diversity"),
        }
        return {
            "split": run.split,
            "dataset": run.dataset,
            "run": run.name,
            "seed": run.seed,
            "known": "bad" if run.bad else "good",
            "verdict": ", ".join(map(in_words, verdicts)) if verdicts else verdict_names(found),
            "evaluations": len(evaluations),
            **{name: value if value is None else round(value, 4) for name, value in figures.items()},
            "fids": " ".join(f"{fid:.1f}" for fid in fids),
            "seconds": trained.figures["seconds_training"],
        }

    def _rows(self, trained: Manifest, name: str) -> list[dict]:
        if f"{name}.parquet" not in trained.files:
            return []
        table = pandas.read_parquet(self.store.local(trained, f"{name}.parquet"))
        return [{k: v for k, v in row.items() if pandas.notna(v)} for row in table.to_dict("records")]


def share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def alarmed(lines: pandas.DataFrame) -> pandas.Series:
    """Which runs are called something else than healthy; stagnation alone is no alarm."""
    return lines["verdict"].map(lambda text: bool(set(text.split(", ")) - {HEALTHY, "stagnation"}))


def heading(*names: str) -> str:
    return f"| {' | '.join(names)} |\n|{'---|' * len(names)}"


def summary(lines: pandas.DataFrame) -> str:
    """Precision and recall of the alarm by split, as Markdown."""
    rows = [heading("split", "datasets", "good", "bad", "alarms", "precision", "recall")]
    for split, part in lines.groupby("split", sort=True):
        bad, alarm = part["known"] == "bad", alarmed(part)
        hit = int((bad & alarm).sum())
        precision = f"{hit / alarm.sum():.3f}" if alarm.any() else ""
        recall = f"{hit / bad.sum():.3f}" if bad.any() else ""
        names = ", ".join(sorted(part["dataset"].unique()))
        rows.append(
            f"| {split} | {names} | {(~bad).sum()} | {bad.sum()} | {alarm.sum()} | {precision} | {recall} |"
        )
    return "\n".join(rows)


def by_kind(lines: pandas.DataFrame) -> str:
    """Each kind of run with its median figures and its verdicts, as Markdown."""
    columns = ("far_from_real", "got_worse", "few_classes", "diversity")
    shown = ("FID / untrained", "last / best", "classes", "diversity", "verdicts")
    rows = [heading("dataset", "run", "known", "runs", "alarms", *shown)]
    for (dataset, known, name), part in lines.groupby(["dataset", "known", "run"], sort=True):
        middles = [
            f"{median(values):.2f}" if len(values := part[column].dropna()) else "" for column in columns
        ]
        counts: dict[str, int] = {}
        for text in part["verdict"]:
            for verdict in text.split(", "):
                counts[verdict] = counts.get(verdict, 0) + 1
        said = ", ".join(f"{verdict} ({count})" for verdict, count in counts.items())
        cells = [dataset, name, known, len(part), int(alarmed(part).sum()), *middles, said]
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--bedrooms", help="photographs of bedrooms, as LSUN stores its own")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/guards-digits.csv"))
    arguments = parser.parse_args()
    bench = Bench(default_store(), arguments.bedrooms)
    planned = [
        run for run in runs(arguments.seeds, bool(arguments.bedrooms)) if run.dataset in arguments.datasets
    ]
    end, lines = time.monotonic() + 60 * arguments.minutes, []
    for run in planned:
        if time.monotonic() > end:
            break
        lines.append(bench.line(run))
        print(
            *(lines[-1][key] for key in ("dataset", "run", "seed", "known", "verdict", "fids")),
            sep=" | ",
            flush=True,
        )
        pandas.DataFrame(lines).to_csv(arguments.out, index=False)
    table = pandas.DataFrame(lines)
    print(f"\n{len(lines)} of {len(planned)} runs\n\n{summary(table)}\n\n{by_kind(table)}")


if __name__ == "__main__":
    main()
