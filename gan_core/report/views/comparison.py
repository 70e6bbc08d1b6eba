"""What the page that compares experiments reads: of each configuration its settings, curves and pictures, and
of each table its figures with the tests between its rows."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy
import pandas

from gan_core.config import foreign_settings
from gan_core.errors import StoreError
from gan_core.evaluation.figures import FIGURES, is_missing, write_figure
from gan_core.evaluation.metrics import metric_of_figure
from gan_core.evaluation.statistics.comparing import TESTS, Candidate, PairTests, pair_tests
from gan_core.leaderboard.candidates import candidate_of
from gan_core.leaderboard.folding import RANKED_BY, TESTED_BY
from gan_core.leaderboard.tables import interval_text
from gan_core.report.artefacts import Artefacts
from gan_core.report.curves import PANELS, panel_chart, panels_of, read_curves
from gan_core.report.site import Group
from gan_core.report.views.pictures import stored_picture
from gan_core.report.views.table import WORDS, table_columns
from gan_core.store import Manifest, Store

# A p-value is told by so many digits.
DIGITS = 2
# By what letter each test is told in a table's data.
LETTERS = dict(zip(TESTS, "abcdefgh", strict=False))
NO_TEST = "-"
OPTIMIZERS = "optimizers."


def script(kind: str, name: str, content: dict[str, Any]) -> bytes:
    """A file that hands the page its content: a page that was opened from a disk may load scripts, and may
    fetch nothing."""
    text = json.dumps([kind, name, content], separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f"ganData(...{text});\n".encode()


def curve_titles() -> list[dict[str, Any]]:
    """Every curve that a training may have, one chart each: those of two networks do not share one here."""
    return [
        {
            "panel": panel.title,
            "line": label,
            "title": panel.title if len(panel.lines) == 1 else f"{panel.title}: {label}",
            "unit": panel.unit,
            "scale": panel.scale,
            "from_zero": panel.from_zero,
        }
        for panel in PANELS
        for _, label in panel.lines.values()
    ]


def configuration_data(store: Store, artefacts: Artefacts, group: Group) -> dict[str, Any]:
    """One configuration: what it was trained with, the curves of every seed, the pictures of the first."""
    trained = {name: artefacts.of("trained_gan", name) for name in group.members}
    first = group.members[0]
    problems: list[str] = []

    def tolerant(read, *of: Any) -> Any:
        try:
            return read(store, *of)
        except StoreError as error:
            problems.append(str(error))
            return None

    samples = artefacts.of("samples", first)
    grid = tolerant(stored_picture, samples, "grid.png")
    strip = tolerant(stored_picture, trained[first], "progress.png")
    return {
        "config": _settings(trained[first].config) if trained[first] else {},
        "seeds": [
            {"name": name, "curves": tolerant(_curves, manifest) or {}}
            for name, manifest in trained.items()
            if manifest
        ],
        "grid": grid and {**asdict(grid), "latents": _grid_latents(trained[first], samples)},
        "strip": strip and {**asdict(strip), **_strip(trained[first])},
        "drawn_by": first,
        "problems": problems,
    }


def _settings(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """By dotted key, without the seed, in which configurations never differ."""
    flat: dict[str, Any] = {}
    foreign = foreign_settings(config["name"]) if prefix.startswith(OPTIMIZERS) and "name" in config else ()
    for key, value in config.items():
        if key in foreign:  # only another optimiser reads it
            continue
        if isinstance(value, dict):
            flat |= _settings(value, f"{prefix}{key}.")
        elif key != "seed":
            flat[f"{prefix}{key}"] = value
    return flat


def _curves(store: Store, trained: Manifest) -> dict[str, Any]:
    """By the title of a panel: the images seen, the seconds until then if they are known, and its lines."""
    history, evaluations = read_curves(store, trained)
    clock = _clock(store, trained, history)
    found = {}
    for panel in panels_of(history, evaluations):
        chart = panel_chart(panel, history if panel.source == "history" else evaluations).data()
        images = chart["series"][0]["x"]
        found[panel.title] = {
            "images": images,
            "seconds": None if clock is None else [round(float(s), 1) for s in numpy.interp(images, *clock)],
            "lines": {series["label"]: series["y"] for series in chart["series"]},
        }
    return found


def _clock(store: Store, trained: Manifest, history: pandas.DataFrame):
    """(images seen, seconds of training) of a run; earlier versions kept them in its history."""
    times = history
    if "times.parquet" in trained.files:
        times = pandas.read_parquet(store.local(trained, "times.parquet"))
    if "seconds" not in times:
        return None
    return [0.0, *times["images_seen"].astype(float)], [0.0, *times["seconds"].astype(float)]


def _grid_latents(trained: Manifest | None, samples: Manifest) -> str:
    """What the latents and classes of the grid follow from: grids with the same are drawn from the same."""
    latent = trained.config.get("latent") if trained else None
    return json.dumps([samples.config.get("seed"), latent, samples.details.get("grid_classes")])


def _strip(trained: Manifest) -> dict[str, Any]:
    """Where the moments are in the strip (none are told of a training of an earlier version), and what its
    latents follow from."""
    config = trained.config
    return {
        "moments": trained.details.get("progress"),
        "latents": json.dumps(
            [config.get("seed"), config.get("latent"), trained.details.get("n_classes")], sort_keys=True
        ),
    }


# --- tables -----------------------------------------------------------------------------------------------


def table_name(dataset: str, protocol: str) -> str:
    """What the data of a table is called: a protocol is no file name."""
    return f"{dataset}-{hashlib.sha256(protocol.encode()).hexdigest()[:8]}"


def table_data(
    dataset: str,
    protocol: str,
    frame: pandas.DataFrame,
    seeds: pandas.DataFrame,
    tests: pandas.DataFrame,
    evidence: Callable[[str], dict[str, numpy.ndarray] | None],
) -> dict[str, Any]:
    """The rows of one table with their figures, and the tests between every two of them.

    `seeds`: the rows of the table of seeds; `tests`: those that the ranks stand on. `evidence`: of an
    experiment, the arrays of KID, by which it is tested between configurations of one seed.
    """
    rows = frame.to_dict("records")
    names = [row["experiment"] for row in rows]
    columns = [column for column in table_columns(frame) if _is_main(column.name)]
    seeds_of: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for seed in seeds.to_dict("records"):
        seeds_of.setdefault(seed["group"], []).append(seed)
    found = {
        column.name: pair_tests([_candidate(column.name, seeds_of[name], evidence) for name in names])
        for column in columns
        if column.name != RANKED_BY and _is_tested(column.name)
    }
    return {
        "dataset": dataset,
        "protocol": protocol,
        "names": names,
        "rows": [
            {
                "rank": None if is_missing(row["rank"]) else int(row["rank"]),
                "seeds": int(row["seeds"]),
                "demotion": int(row["demotion"]),
                **{key: row[key] for key in (*WORDS, "verdict", "note", "stale", "demoted_for")},
            }
            for row in rows
        ],
        "figures": [
            {
                "name": column.name,
                "heading": column.heading,
                "values": [
                    None if is_missing(row[column.name]) else _short(row[column.name]) for row in rows
                ],
                "texts": [[write_figure(column.name, row), interval_text(column.name, row)] for row in rows],
            }
            for column in columns
        ],
        "tests": {RANKED_BY: _ranked_by(names, tests)} | {name: _encoded(of) for name, of in found.items()},
    }


def _is_main(name: str) -> bool:
    metric = metric_of_figure(name)
    return metric is None or name == metric.main


def _is_tested(name: str) -> bool:
    """Times depend on the machine, weights and images seen are chosen: nothing to test."""
    return metric_of_figure(name) is not None and FIGURES[name].better is not None


def _candidate(
    figure: str,
    seeds: list[dict[str, Any]],
    evidence: Callable[[str], dict[str, numpy.ndarray] | None],
) -> Candidate:
    alone = figure == TESTED_BY and len({row["seed"] for row in seeds}) == 1
    return candidate_of(figure, seeds, evidence=evidence(seeds[0]["experiment"]) if alone else None)


def _encoded(tests: PairTests) -> dict[str, Any]:
    """The tests of the pairs (0, 1), (0, 2), … (1, 2), …: their p-values, and a letter for each."""
    pairs = numpy.triu_indices(len(tests.p), k=1)
    return {
        "p": [_short(p, DIGITS) for p in tests.p[pairs]],
        "by": "".join(LETTERS.get(name, NO_TEST) for name in tests.by[pairs]),
    }


def _ranked_by(names: list[str], tests: pandas.DataFrame) -> dict[str, Any]:
    """The same of the tests that the ranks stand on, with the p-values that were corrected for all pairs."""
    size, number = len(names), {name: i for i, name in enumerate(names)}
    p, corrected = (numpy.full((size, size), numpy.nan) for _ in range(2))
    by = numpy.full((size, size), "", dtype=object)
    columns = [tests[name].tolist() for name in ("experiment", "other", "p", "p_corrected", "test")]
    for one, other, *test in zip(*columns, strict=True):
        i, j = sorted((number[one], number[other]))
        p[i, j], corrected[i, j], by[i, j] = test
    pairs = numpy.triu_indices(size, k=1)
    return {**_encoded(PairTests(p, by)), "corrected": [_short(value, DIGITS) for value in corrected[pairs]]}


def _short(value: float, digits: int = 6) -> float | None:
    return None if is_missing(value) else float(f"{value:.{digits}g}")
