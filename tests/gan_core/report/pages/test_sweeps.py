"""Sweeps: what is measured of a family, which configuration is best, what is missing."""

import json

import pytest

from gan_core.config import load_configs
from gan_core.leaderboard.leaderboard import build_leaderboard
from gan_core.report.artefacts import Artefacts, stored
from gan_core.report.charts import Chart, HeatMap, Parallel
from gan_core.report.families import families
from gan_core.report.pages.sweeps import pages
from gan_core.report.site import Site
from gan_core.report.views.sweeps import sweep_view
from tests.gan_core.report.conftest import PROTOCOL
from tests.gan_core.report.example import DATASET
from tests.small_project import write_config

COMMON = {"dataset": "digits", "length": {"images": 60_000}}


class Sweep:
    """One grid, whose points are evaluated with the figures that a test gives."""

    def __init__(self, folder, workshop, grid, **keys):
        self.folder, self.workshop, self.store = folder / "configs", workshop, workshop.store
        write_config(self.folder, DATASET)
        write_config(self.folder, {"name": "swept", **COMMON, **keys, "grid": grid})

        self.configs = load_configs(self.folder)

    def change(self, content):
        write_config(self.folder, {**COMMON, **content})
        self.configs = load_configs(self.folder)

    def train(self, name):
        experiment = self.configs.experiments[name]
        return self.workshop.make(
            "trained_gan",
            name,
            config=experiment.training_config(),
            inputs={"image_shards": self.workshop.shards()},
            figures={"images_seen": 60_000, "verdict": "healthy"},
            details={"verdicts": []},
        )

    def measure(self, name, fid, **figures):
        samples = self.workshop.make("samples", name, inputs={"trained_gan": self.train(name)})
        ends = {"fid_low": 0.97 * fid, "fid_high": 1.03 * fid}
        self.workshop.evaluate(samples, fid=fid, **{**ends, **figures})

    @property
    def site(self) -> Site:
        configs, unreadable = self.configs, {}
        manifests = stored(self.store, configs, unreadable)
        leaderboard = build_leaderboard(
            self.store, configs.experiments, manifests["trained_gan"], manifests["evaluation"]
        )
        return Site(self.store, configs, Artefacts(leaderboard, manifests, {}, {}, unreadable))

    def view(self):
        site = self.site
        (family,) = families(site.configs)
        return sweep_view(site, family)


@pytest.fixture
def sweep(tmp_path, workshop):
    return lambda grid, **keys: Sweep(tmp_path, workshop, grid, **keys)


def figure_of(view, name):
    return next(figure for figure in view.figures if figure.name == name)


def test_one_key_is_a_line_with_intervals_over_its_values(sweep):
    made = sweep({"latent.size": [8, 64, 512], "seed": [0, 1, 2]})
    for size, fid in ((8, 44.0), (64, 20.0), (512, 20.5)):
        for seed, more in enumerate((0.0, 1.0, 2.5)):
            made.measure(f"swept-size-{size}-seed-{seed}", fid + more + 0.01 * size * seed)
    view = made.view()
    fid = figure_of(view, "fid")
    assert isinstance(fid.chart, Chart)
    assert fid.chart.x_scale == "log" and fid.chart.x_ticks == (8, 64, 512)
    (series,) = fid.chart.series
    assert list(series.x) == [8, 64, 512]
    assert all(low < value < high for low, value, high in zip(series.low, series.y, series.high, strict=True))
    assert [(row.cells, row.seeds, row.standing) for row in fid.rows] == [
        (["64"], "3", "best"),
        (["512"], "3", "not told apart"),
        (["8"], "3", "worse"),
    ]
    assert "best is **latent size 64** with 21.81" in fid.best
    assert "No test tells **latent size 512** apart from it; the others are shown to be worse." in fid.best
    assert not view.missing and not view.command


def test_of_a_share_the_highest_is_best(sweep):
    made = sweep({"learning_rate_decay": ["none", "linear"], "seed": [0, 1, 2]})
    for decay, recall in (("none", 0.5), ("linear", 0.8)):
        for seed, more in enumerate((0.0, 0.01, 0.02)):
            made.measure(f"swept-learning-rate-decay-{decay}-seed-{seed}", 20.0 + seed, recall=recall + more)
    recall = figure_of(made.view(), "recall")
    assert [(row.cells, row.standing) for row in recall.rows] == [(["linear"], "best"), (["none"], "worse")]
    assert recall.chart.x_scale == "point" and not recall.chart.series[0].connected
    assert recall.chart.y_format == "share"


def test_where_none_is_shown_to_be_worse_none_is_best_and_a_failure_is_called_so(sweep):
    made = sweep({"latent.size": [32, 64, 128, 256]})
    for size in (32, 64, 128, 256):
        ends = {"fid_low": 200.0, "fid_high": 320.0}  # of one seed each, and no evidence to test by
        made.measure(f"swept-size-{size}", 250.0 + size / 10, **ends)
    fid = figure_of(made.view(), "fid")
    assert fid.best == (
        "FID: none is shown to be better; lowest is **latent size 32** with 253.20 [200.00, 320.00] "
        "(one seed), and it failed: no better than untrained."
    )
    assert fid.first == "lowest" and [row.standing for row in fid.rows] == ["lowest", *["not told apart"] * 3]
    assert all(row.of_one_seed and row.verdict.main == "no better than untrained" for row in fid.rows)
    assert fid.chart.x_scale == "log"


def test_no_cell_is_marked_where_none_is_shown_to_be_worse(sweep):
    made = sweep({"latent.size": [8, 64], "batch_size": [32, 64]})
    for size in (8, 64):
        made.measure(f"swept-size-{size}-batch-size-32", 20.0, fid_low=10.0, fid_high=30.0)
    assert not any(cell.best for cell in figure_of(made.view(), "fid").chart.cells)


def test_what_was_not_judged_is_not_best_however_low_its_fid(sweep):
    made = sweep({"batch_size": [32, 64]})
    made.measure("swept-batch-size-32", 5.0, distinct=None)
    made.measure("swept-batch-size-64", 30.0)
    standings = {row.cells[0]: row.standing for row in figure_of(made.view(), "fid").rows}
    assert standings == {"32": "worse", "64": "best"}


def test_two_keys_are_a_heat_map_and_what_is_missing_says_how_it_is_made(sweep):
    made = sweep({"latent.size": [8, 64], "batch_size": [32, 64, 128]})
    made.measure("swept-size-8-batch-size-32", 44.0)
    made.measure("swept-size-64-batch-size-64", 20.0)
    made.measure("swept-size-64-batch-size-128", 30.0, protocol=PROTOCOL.replace("2000", "500"))
    made.train("swept-size-8-batch-size-64")
    view = made.view()
    chart = figure_of(view, "fid").chart
    assert isinstance(chart, HeatMap)
    assert (chart.columns, chart.rows, chart.x_label) == (("32", "64", "128"), ("8", "64"), "batch size")
    cells = {(cell.x, cell.y): cell for cell in chart.cells}
    assert cells["64", "64"].best and cells["64", "64"].value == 20.0
    assert not cells["32", "8"].best and cells["32", "8"].value == 44.0
    assert cells["32", "64"].missing == "not trained"
    assert cells["64", "8"].missing == "trained, not evaluated"
    assert cells["128", "64"].missing == "measured by another protocol"
    assert len(view.missing) == 4
    assert view.command == (
        "python -m pipelines backfill swept-size-8-batch-size-64 swept-size-8-batch-size-128 "
        "swept-size-64-batch-size-32 swept-size-64-batch-size-128"
    )


def test_a_result_of_an_earlier_configuration_is_missing(sweep):
    made = sweep({"latent.size": [8, 64, 512]}, batch_size=32)
    for size in (8, 64, 512):
        made.measure(f"swept-size-{size}", 20.0 + size)
    made.change({"name": "swept", "batch_size": 128, "grid": {"latent.size": [8, 64, 512]}})
    made.measure("swept-size-8", 28.0)
    view = made.view()
    assert [row.cells for row in figure_of(view, "fid").rows] == [["8"]]
    assert {label for label, _, _ in view.missing} == {"64", "512"}
    assert all("batch_size 32 → 128" in reason for _, _, reason in view.missing)


def test_more_keys_are_parallel_coordinates(sweep):
    made = sweep({"latent.size": [8, 64], "batch_size": [32, 64], "learning_rate_decay": ["none", "linear"]})
    for number, name in enumerate(item.name for item in made.configs.experiments.values()):
        made.measure(name, 20.0 + 10 * number)
    chart = figure_of(made.view(), "fid").chart
    assert isinstance(chart, Parallel)
    assert [axis.label for axis in chart.axes] == ["latent size", "batch size", "learning rate decay", "FID"]
    assert len(chart.tracks) == 8 and sum(track.best for track in chart.tracks) == 1
    assert all(0 <= place <= 1 for track in chart.tracks for place in track.places)
    assert chart.tracks[0].texts[:3] == ("8", "32", "linear")


def test_a_page_changes_with_its_own_experiments_alone(sweep):
    made = sweep({"batch_size": [32, 64, 128]})
    made.measure("swept-batch-size-32", 44.0)
    assert [page.path for page in pages(made.site)] == ["sweeps.html"]  # one point is no sweep
    made.measure("swept-batch-size-64", 30.0)
    before = {page.path: page.fingerprint for page in pages(made.site)}
    assert list(before) == ["sweeps.html", "sweeps/swept.html"]
    made.change({"name": "beside", "n_critic": 2, "batch_size": 20})
    made.measure("beside", 1.0)
    assert {page.path: page.fingerprint for page in pages(made.site)} == before
    made.measure("swept-batch-size-128", 50.0)
    after = {page.path: page.fingerprint for page in pages(made.site)}
    assert all(after[path] != before[path] for path in before)


def test_the_pages_show_what_is_measured_and_missing(sweep):
    made = sweep({"batch_size": [32, 64, 128]})
    made.measure("swept-batch-size-32", 44.0)
    made.measure("swept-batch-size-64", 30.0)
    listed, swept = (page.render().decode() for page in pages(made.site))
    assert "2 of 3" in listed and 'href="sweeps/swept.html"' in listed
    assert "backfill swept-batch-size-128" in swept
    assert "<b>batch size 64</b>" in swept
    chart = json.loads(swept.split('<script type="application/json">')[1].split("</script>")[0])
    assert chart["series"][0]["y"] == [44.0, 30.0, None]
