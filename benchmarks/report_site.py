"""How long the report of 500 experiments takes, how large its first page is, and how soon that can be used.

    python benchmarks/report_site.py --store report-500

Makes a store of synthetic experiments where there is none (minutes: nothing is trained, but every file is
of its real size), then in one run: the leaderboard alone; the whole report; the report again, with nothing
changed; with one experiment changed; and the first page in headless Chromium. Prints JSON.
"""

import argparse
import functools
import io
import json
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pandas
from PIL import Image

from gan_core.comparing.answers import current_answers
from gan_core.config import Configs, Experiment, load_configs
from gan_core.evaluation.metrics import METRICS, interval_names
from gan_core.leaderboard.leaderboard import build_leaderboard
from gan_core.report.artefacts import Artefacts, stored
from gan_core.report.report import build_report
from gan_core.store import Build, Manifest, Store

SEEDS = [0, 1, 2]
# Of each dataset: 18 + 18 + 6 + 58 experiments, in 72 rows.
FILES: tuple[dict[str, Any], ...] = (
    {"name": "dcgan", "grid": {"batch_size": [32, 64], "latent.size": [32, 64, 128], "seed": SEEDS}},
    {
        "name": "wgan-gp",
        "objective": {"name": "wasserstein", "gradient_penalty": 10},
        "grid": {"n_critic": [1, 5], "architecture.width": [16, 32, 64], "seed": SEEDS},
        "tags": ["baseline"],
    },
    {
        "name": "acgan",
        "conditioning": {"name": "acgan"},
        "grid": {"objective.label_smoothing": [0.0, 0.1], "seed": SEEDS},
    },
    {
        "name": "rates",
        "objective": {"name": "hinge"},
        "tags": ["sweep", "draft"],
        "grid": {
            "optimizers.generator.learning_rate": [round(1e-4 * (1 + n / 7), 7) for n in range(29)],
            "ema_decay": [0.99, 0.999],
        },
    },
)
SAMPLES, REAL = 2_000, 1_437
IMAGES = 60_000
PICTURES = 8


def say(line: str) -> None:
    print(line, file=sys.stderr)


def write_configs(folder: Path, experiments: int) -> Configs:
    """As many experiments as asked for, on a dataset for each hundred."""
    for name in ("datasets", "experiments"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(-(-experiments // 100)):
        dataset = f"data-{number}"
        _write(folder / "datasets" / f"{dataset}.yaml", {**DATASET, "name": dataset})
        for file in FILES:
            name = f"{file['name']}-{number}"
            values = {**file, "name": name, "dataset": dataset, "length": {"images": IMAGES}}
            _write(folder / "experiments" / f"{name}.yaml", values)
    configs = load_configs(folder)
    kept = dict(list(configs.experiments.items())[:experiments])
    return configs.model_copy(update={"experiments": kept})


DATASET = {
    "source": {"kind": "digits"},
    "image_size": 32,
    "channels": 3,
    "classes": [str(digit) for digit in range(10)],
}


def fill(store: Store, configs: Configs, emit: Callable[[str], None] = say) -> None:
    """Publish every artefact that the report reads of an experiment."""
    shards = {name: _shards(store, name) for name in configs.datasets}
    for number, experiment in enumerate(configs.experiments.values()):
        publish(store, experiment, shards[experiment.dataset], number)
        if number % 50 == 49:
            emit(f"{number + 1:,} of {len(configs.experiments)} experiments are in the store")


def publish(
    store: Store, experiment: Experiment, shards: Manifest, number: int, *, force: bool = False
) -> None:
    """One experiment from its training to its evaluation; every 20th collapsed."""
    chance = numpy.random.default_rng([number, force])
    collapsed = number % 20 == 7
    trained = _produce(
        store,
        "trained_gan",
        experiment,
        {"image_shards": shards},
        lambda work: _training(work, chance, collapsed),
        force=force,
    )
    samples = _produce(
        store, "samples", experiment, {"trained_gan": trained}, lambda work: _drawn(work, chance), force=force
    )
    _produce(
        store,
        "evaluation",
        experiment,
        {"samples": samples},
        lambda work: _measured(work, chance, experiment, collapsed),
        force=force,
    )


def build(store: Store, configs: Configs, emit: Callable[[str], None] = say) -> dict[str, list[float]]:
    """The leaderboard and the report of a store; of each step the seconds that passed, and those of a
    processor, which do not depend on what else the machine does."""
    times: dict[str, list[float]] = {}
    began = _clocks()

    def lap(name: str) -> None:
        nonlocal began
        now = _clocks()
        times[name] = [round(after - before, 2) for before, after in zip(began, now, strict=True)]
        began = now

    unreadable: dict[str, str] = {}
    manifests = stored(store, configs, unreadable)
    lap("manifests")
    leaderboard = build_leaderboard(
        store,
        configs.experiments,
        manifests["trained_gan"],
        manifests["evaluation"],
        unreadable=unreadable,
        emit=emit,
    )
    lap("leaderboard")
    answers = current_answers(store, configs, unreadable)
    build_report(store, configs, Artefacts(leaderboard, manifests, answers, {}, unreadable), emit=emit)
    lap("report")
    return {**times, "all": [round(sum(column), 2) for column in zip(*times.values(), strict=True)]}


def _clocks() -> tuple[float, float]:
    return time.monotonic(), time.process_time()


def pages_of(store: Store) -> dict[str, int]:
    """Every page of the report, by when it was written."""
    folder = Path(store.root, "report")
    written = json.loads(store.local(store.current("report", "all"), "pages.json").read_text())
    return {path: (folder / path).stat().st_mtime_ns for path in written}


def change_one(store: Store, configs: Configs) -> str:
    """Train, draw and measure the last experiment again, with other results."""
    experiment = list(configs.experiments.values())[-1]
    shards = store.require("image_shards", experiment.dataset)
    publish(store, experiment, shards, len(configs.experiments) - 1, force=True)
    return experiment.name


MEASURE = """async () => {
  const drawn = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  await drawn();
  const { domInteractive, loadEventEnd } = performance.getEntriesByType("navigation")[0];
  const timed = async (act) => {
    const began = performance.now();
    act();
    await drawn();
    return Math.round(performance.now() - began);
  };
  const form = document.querySelector("form.filters");
  const changed = (field) => field.dispatchEvent(new Event("input", { bubbles: true }));
  return {
    first_paint_ms: Math.round(performance.getEntriesByName("first-contentful-paint")[0]?.startTime),
    parsed_ms: Math.round(domInteractive),
    ready_ms: Math.round(loadEventEnd),
    sort_ms: await timed(() => document.querySelector("[data-key=fid] button").click()),
    filter_ms: await timed(() => {
      form.elements.text.value = "wgan";
      changed(form.elements.text);
    }),
    all_columns_ms: await timed(() => {
      form.elements.column.forEach((box) => (box.checked = true));
      changed(form.elements.column[0]);
    }),
  };
}"""


def open_page(path: Path) -> dict[str, float]:
    """Milliseconds until the first page is there and can be used, and for sorting and filtering it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(path.as_uri(), wait_until="load")
        found = page.evaluate(MEASURE)
        browser.close()
    return found


# --- what is published ------------------------------------------------------------------------------------


def _produce(
    store: Store,
    asset: str,
    experiment: Experiment,
    inputs: dict[str, Manifest],
    build: Callable[[Build], None],
    *,
    force: bool,
) -> Manifest:
    config = experiment.training_config() if asset == "trained_gan" else {"count": SAMPLES, "seed": 0}
    return store.produce(
        asset, experiment.name, config=config, inputs=inputs, code_version="1", build=build, force=force
    )


def _shards(store: Store, dataset: str) -> Manifest:
    def make(work: Build) -> None:
        work.details = {"classes": DATASET["classes"], "image_size": 32, "channels": 3}

    return store.produce(
        "image_shards", dataset, config={"image_size": 32}, inputs={}, code_version="1", build=make
    )


def _training(work: Build, chance: numpy.random.Generator, collapsed: bool) -> None:
    seen = numpy.linspace(200, IMAGES, 300).round().astype(int)
    noise = chance.normal(scale=0.1, size=(6, len(seen)))
    columns = ("d_loss", "g_loss", "d_real_accuracy", "d_fake_accuracy", "d_gradient_norm", "g_gradient_norm")
    history = {name: (0.6 + of).clip(0.01, None) for name, of in zip(columns, noise, strict=True)}
    moments = numpy.linspace(0, IMAGES, 12).round().astype(int)
    fids = 40 + 300 * numpy.exp(-moments[1:] / 9_000) + chance.normal(size=11)
    tables = {
        "history": {"images_seen": seen, "step": seen // 64, **history},
        "times": {"images_seen": seen, "images_per_second": 900.0, "seconds": seen / 900},
        "evaluations": {"images_seen": moments[1:], "fid": fids, "diversity": 0.1 if collapsed else 0.97},
    }
    for name, table in tables.items():
        pandas.DataFrame(table).to_parquet(work.folder / f"{name}.parquet")
    side, pitch, left, columns_of_strip = 64, 68, 96, 8
    size = (left + columns_of_strip * pitch, len(moments) * pitch)
    (work.folder / "progress.png").write_bytes(_picture(chance, size))
    findings = [COLLAPSE] if collapsed else []
    work.figures = {
        "images_seen": IMAGES,
        "images_per_second": 900.0,
        "seconds_training": 66.7,
        "parameters_generator": 412_000,
        "verdict": "mode collapse" if collapsed else "healthy",
        "fid_in_training": float(fids[-1]),
        "fid_best": float(fids.min()),
        "images_seen_best": int(moments[1:][fids.argmin()]),
        "diversity": 0.1 if collapsed else 0.97,
    }
    work.details = {
        "device": "cpu",
        "verdicts": findings,
        "stopped_by": None,
        "published": {"images_seen": IMAGES, "which": "last"},
        "n_classes": 0,
        "progress": {
            "images_seen": moments.tolist(),
            "columns": columns_of_strip,
            "left": left,
            "side": side,
            "pitch": pitch,
        },
    }


COLLAPSE = {
    "verdict": "mode_collapse",
    "text": "the samples are 10% as far from their nearest neighbour as real images are",
    "figure": 0.1,
    "images_seen": 30_000,
    "keys": ["a lower rate"],
}


def _drawn(work: Build, chance: numpy.random.Generator) -> None:
    (work.folder / "grid.png").write_bytes(_picture(chance, (678, 678)))
    work.details = {"grid_classes": []}


def _picture(chance: numpy.random.Generator, size: tuple[int, int]) -> bytes:
    """One of a few, since to draw each anew would take most of the time."""
    return _drawn_picture(int(chance.integers(PICTURES)), size)


@functools.cache
def _drawn_picture(number: int, size: tuple[int, int]) -> bytes:
    """As large as a picture of that many pixels that was enlarged twice, and as hard to compress."""
    chance = numpy.random.default_rng(number)
    small = chance.integers(0, 255, (size[1] // 16, size[0] // 16, 3), dtype=numpy.uint8)
    smooth = Image.fromarray(small).resize((size[0] // 2, size[1] // 2), Image.Resampling.BICUBIC)
    output = io.BytesIO()
    smooth.resize(size, Image.Resampling.NEAREST).save(output, "PNG")
    return output.getvalue()


def _measured(work: Build, chance: numpy.random.Generator, experiment: Experiment, collapsed: bool) -> None:
    quality = 20 + 10 * (len(experiment.name) % 7) + float(chance.normal(scale=2))
    cross = chance.normal(quality / 10, 0.4, SAMPLES)
    numpy.savez(
        work.folder / "evidence-classifier.npz",
        **{
            "kid.own": chance.normal(quality / 10, 0.4, SAMPLES),
            "kid.cross": cross,
            "kid.real": chance.normal(quality / 10, 0.4, REAL),
        },
    )
    figures = dict(_figures(quality, chance, collapsed))
    protocol = f"classifier-1a2b3c4d5e6f n={SAMPLES} vs {experiment.dataset}/train({REAL}) seed=0"
    protocols = dict.fromkeys(figures, protocol)
    work.figures = figures
    work.details = {
        "protocol": protocol,
        "extractors": {"classifier": {**figures, "protocol": protocol, "protocols": protocols}},
    }


def _figures(quality: float, chance: numpy.random.Generator, collapsed: bool) -> Iterator[tuple[str, float]]:
    """A value of every metric that is measured by default, with its interval and variants."""
    for metric in METRICS.values():
        if not metric.by_default:
            continue
        share = metric.is_share
        main = (0.1 if collapsed else 0.8) * (1 - quality / 200) if share else quality
        if metric.main == "copying":
            main = 0.001
        yield metric.main, main
        for end, factor in zip(interval_names(metric.main), (0.95, 1.05), strict=True):
            if metric.interval:
                yield end, main * factor
        for variant in metric.variants:
            yield f"{metric.main}_{variant}", main * {"untrained": 9.0, "test": 1.1, "floor": 0.1}[variant]
        for name in list(metric.figures)[1:]:
            yield name, float(chance.uniform(0.1, 0.9))


def _write(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values), encoding="utf-8")  # JSON is YAML


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", type=Path, required=True, help="where the store is made, and kept")
    parser.add_argument("--experiments", type=int, default=500)
    options = parser.parse_args()
    configs = write_configs(options.store.with_name(options.store.name + "-configs"), options.experiments)
    store = Store(options.store)
    fill(store, configs)
    shutil.rmtree(options.store / "report", ignore_errors=True)
    shutil.rmtree(options.store / "leaderboard", ignore_errors=True)
    found: dict[str, Any] = {"experiments": len(configs.experiments)}
    found["seconds_first"] = build(store, configs)
    before = pages_of(store)
    found["seconds_nothing_changed"] = build(store, configs)
    assert pages_of(store) == before
    changed = change_one(store, configs)
    found["seconds_one_changed"] = build(store, configs)
    after = pages_of(store)
    report = options.store / "report"
    found |= {
        "changed": changed,
        "made_again": sorted(path for path, when in after.items() if before.get(path) != when),
        "pages": len(after),
        "index_bytes": (report / "index.html").stat().st_size,
        "report_bytes": sum((report / path).stat().st_size for path in after),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "first_page": open_page(report / "index.html"),
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
