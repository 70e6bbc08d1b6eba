import html
import html.parser
import os
import posixpath
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import numpy
import pytest
from PIL import Image

from gan_core.config import Configs, Dataset, Experiment
from gan_core.leaderboard.leaderboard import build_leaderboard, read_leaderboard
from gan_core.report.artefacts import Artefacts
from gan_core.report.report import build_report
from gan_core.store.provenance import commit_in_words
from tests.gan_core.report.conftest import MODE_COLLAPSE, STAGNATION, parquet
from tests.report_pages import published, whole_report

HOSTILE = "<script>alert('x')</script><img src=http://example.org/x onerror=\"x\">"


class Page(html.parser.HTMLParser):
    """The parts of a page that the tests look at."""

    def __init__(self, text: str):
        super().__init__()
        self.text, self.addresses, self.tags, self.tables, self.words = text, [], [], [], []
        self.inside = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        names = ("src", "href", "srcset", "data", "action", "poster", "background")
        self.addresses += [value for name, value in attributes if name in names]
        self.inside.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        if {"script", "style"} & set(self.inside):
            return
        self.words.append(data)
        if {"td", "th"} & set(self.inside):
            self.tables[-1][-1][-1] += data.strip()

    @property
    def visible(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def experiment(name, **changes) -> Experiment:
    """Each name another configuration: those that differ in their seed only would be one row."""
    values = {
        "name": name,
        "description": f"What {name} is.",
        "dataset": "digits",
        "latent": {"size": 32 + zlib.crc32(name.encode()) % 64},
        "length": {"images": 60000},
    }
    return Experiment.model_validate({**values, **changes})


def configs_of(*experiments, **dataset_changes) -> Configs:
    values = {
        "name": "digits",
        "description": "Handwritten digits.",
        "source": {"kind": "images", "train": "somewhere"},
        "image_size": 16,
        "channels": 1,
        **dataset_changes,
    }
    dataset = Dataset.model_validate(values)
    return Configs(datasets={"digits": dataset}, experiments={item.name: item for item in experiments})


class Bench:
    """Builds a leaderboard and a report of what was published into it."""

    def __init__(self, workshop):
        self.workshop, self.store = workshop, workshop.store
        self.trained, self.samples, self.evaluations = {}, {}, {}
        self.references, self.classifiers = {}, {}

    def whole(self, item, **evaluation):
        made = self.workshop.whole(item, **evaluation)
        self.trained[item.name], self.samples[item.name], self.evaluations[item.name] = made

    def measure(self):
        self.references["digits"] = self.workshop.make("reference_statistics", "digits", config={"a": 1})
        figures, details = {"accuracy_test": 0.981}, {"task": "labels"}
        self.classifiers["digits"] = self.workshop.make(
            "classifier", "digits", figures=figures, details=details
        )

    def leaderboard(self, configs):
        return build_leaderboard(self.store, configs.experiments, self.trained, self.evaluations, emit=print)

    def report(self, configs, leaderboard=None, unreadable=None, **options):
        found = {
            "trained_gan": self.trained,
            "samples": self.samples,
            "evaluation": self.evaluations,
            "reference_statistics": self.references,
            "classifier": self.classifiers,
        }
        configured = {*configs.experiments, *configs.datasets}
        manifests = {
            asset: {name: made for name, made in of.items() if name in configured}
            for asset, of in found.items()
        }
        board = leaderboard or self.leaderboard(configs)
        artefacts = Artefacts(board, manifests, unreadable=unreadable or {})
        manifest = build_report(self.store, configs, artefacts, emit=print, **options)
        return manifest, Page(whole_report(self.store))


@pytest.fixture
def bench(workshop):
    return Bench(workshop)


def demo(bench) -> Configs:
    """Three experiments like the demo's, all evaluated."""
    items = [
        experiment("demo-acgan", conditioning={"name": "acgan"}),
        experiment("demo-dcgan"),
        experiment("demo-wgan-gp", objective={"name": "wasserstein", "gradient_penalty": 10}),
    ]
    for item, fid, accuracy in zip(items, (12.31, 18.92, 25.4), (0.964, None, None), strict=True):
        ends = {"fid_low": fid - 1, "fid_high": fid + 1}
        bench.whole(item, fid=fid, class_accuracy=accuracy, **ends)
    bench.measure()
    return configs_of(*items)


def test_the_page_of_three_experiments_is_whole_and_small(bench):
    manifest, page = bench.report(demo(bench))
    assert set(manifest.files) == {"pages.json"}
    assert all(len(text.encode()) < 1_000_000 for text in published(bench.store).values())
    for text in (
        "12.31",
        "18.92",
        "25.40",
        "1.31",
        "310.00",
        "24.00",
        "8.10 ± 0.12",
        "96.4%",
        "cpu",
        "1,523",
    ):
        assert text in page.visible
    assert "adam · learning rate 0.0002 · betas 0.5, 0.999" in page.visible
    assert "smoothing" not in page.visible  # a setting of RMSProp
    for name, trained in bench.trained.items():
        assert f"What {name} is." in page.visible
        assert trained.fingerprint[:12] in page.visible
        assert trained.inputs["image_shards"][:12] in page.visible
        assert bench.evaluations[name].fingerprint[:12] in page.visible
    assert bench.evaluations["demo-acgan"].details["protocol"] in page.visible
    assert page.visible.count("Lower is better") >= 3
    assert "98.1%" in page.visible
    pictures = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 3 * 2  # samples and progress of each
    charts = [attributes for _, attributes in page.tags if attributes.get("class") == "drawing"]
    assert len(charts) == 1 + 3 * 5  # the FIDs; five curves of each
    assert all(attributes["aria-label"] for attributes in charts)


def test_nothing_is_requested_from_outside_and_links_lead_somewhere(bench):
    bench.report(demo(bench))
    pages = {path: Page(text) for path, text in published(bench.store).items()}
    for path, page in pages.items():
        for address in page.addresses:
            place, _, anchor = address.partition("#")
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), place)) if place else path
            assert address.startswith("data:") or target in pages
            assert not anchor or anchor in {attributes.get("id") for _, attributes in pages[target].tags}
        assert not {tag for tag, _ in page.tags} & {"link", "iframe", "object", "embed", "base"}
        assert not re.search(r"""url\(['"]?(?!#|\$)|@import|[^.\w]fetch\(|XMLHttp""", page.text)


def test_the_same_inputs_give_the_same_bytes(bench):
    configs = demo(bench)
    first, page = bench.report(configs)
    again, _ = bench.report(configs)
    forced, same = bench.report(configs, force=True)
    assert again.reused and again.fingerprint == first.fingerprint
    assert not forced.reused and forced.files["pages.json"].sha256 == first.files["pages.json"].sha256
    assert page.text == same.text


def test_the_best_figure_of_a_table_is_emphasised_once(bench):
    _, page = bench.report(demo(bench))
    best = re.findall(r'<td class="best"[^>]*><span[^>]*>([^<]+)', page.text)
    assert best == ["12.31"]  # the other figures have no interval, so no best


def test_a_shared_first_rank_has_no_best_figure(bench):
    items = [experiment("one"), experiment("two")]
    for item, fid in zip(items, (5.0, 5.1), strict=True):
        bench.whole(item, fid=fid, fid_low=4.0, fid_high=6.0, class_accuracy=None)
    _, page = bench.report(configs_of(*items))
    assert [row[0] for row in page.tables[0][1:3]] == ["1=", "1="]
    assert 'class="best"' not in page.text


def test_a_bar_says_what_puts_it_behind_the_others(bench):
    items = [experiment("one"), experiment("two")]
    bench.whole(items[0], fid=5.0, recall=0.01, coverage=0.02)
    bench.evaluations["one"].details |= {"samples": 2000, "real_images": 1437}
    bench.whole(items[1], fid=50.0)
    _, page = bench.report(configs_of(*items))
    chart = next(a["aria-label"] for _, a in page.tags if a.get("class") == "drawing")
    assert "two 50.00; one: covers too little 5.00" in chart


def test_intervals_of_two_kinds_have_no_best(bench):
    items = [experiment("one"), *(experiment("two", latent={"size": 99}, seed=seed) for seed in (0, 1))]
    items[1:] = [item.model_copy(update={"name": f"two-seed-{item.seed}"}) for item in items[1:]]
    for item, fid in zip(items, (5.0, 40.0, 41.0), strict=True):
        bench.whole(item, fid=fid, fid_low=fid - 1, fid_high=fid + 1)
    _, page = bench.report(configs_of(*items))
    assert page.tables[0][1][0] == "1" and 'class="best"' not in page.text


def test_floor_and_untrained_stand_beside_the_fids(bench):
    _, page = bench.report(demo(bench))
    heading, *rows, floor = page.tables[0]
    fid, untrained = heading.index("FID\u00a0↓"), heading.index("FID, untrained\u00a0↓")
    assert [row[fid].partition("[")[0] for row in rows] == ["12.31", "18.92", "25.40"]
    assert {row[untrained] for row in rows} == {"310.00"}
    assert floor[1] == "Real against real" and floor[fid] == "1.31"


def test_protocols_have_tables_of_their_own(bench):
    items = [experiment("one"), experiment("two")]
    bench.whole(items[0], protocol="classifier-aaa n=2000")
    bench.whole(items[1], protocol="inception-bbb n=2000")
    _, page = bench.report(configs_of(*items))
    boards = [table for table in page.tables if table[0][0] == "Rank"]
    assert [[row[1][:3] for row in board[1:-1]] for board in boards] == [["one"], ["two"]]
    assert page.visible.count("not with published ones") == 1


def test_another_extractor_is_shown_apart_with_its_protocol(bench):
    bench.whole(experiment("one"))
    details = bench.evaluations["one"].details
    details["extractors"]["inception"] = {"fid": 77.5, "kid": None, "protocol": "inception-bbb n=10"}
    _, page = bench.report(configs_of(experiment("one")))
    assert "By the inception extractor" in page.visible and "inception-bbb n=10" in page.visible
    table = next(table for table in page.tables if ["FID ↓", "77.50"] in table)
    assert table == [["FID ↓", "77.50"]]


def test_a_figure_of_another_split_stands_with_its_own_protocol(bench):
    bench.whole(experiment("one"))
    _, page = bench.report(configs_of(experiment("one")))
    protocols = bench.evaluations["one"].details["extractors"]["classifier"]["protocols"]
    labels = {"fid": "FID; FID, untrained", "fid_test": "FID, test", "kid": "KID"}
    for name, label in labels.items():
        assert f"{label}: {protocols[name]}" in page.visible.replace(" :", ":")


def test_hostile_text_is_shown_not_run(bench):
    item = experiment("one", description=HOSTILE)
    bench.whole(item, protocol=f"p {HOSTILE}")
    bench.trained["one"].details["device"] = HOSTILE
    bench.trained["one"].details["verdicts"] = [{**STAGNATION, "text": f"`{HOSTILE}`", "keys": [HOSTILE]}]
    _, page = bench.report(configs_of(item, description=HOSTILE))
    assert page.visible.count("alert('x')") >= 6
    assert all(a["src"].startswith("data:") for tag, a in page.tags if tag == "img")
    assert "onerror" not in {name for _, attributes in page.tags for name in attributes}


def test_missing_figures_are_dashes(bench):
    names = ("fid", "kid", "inception_score", "inception_score_std", "fid_test", "fid_untrained", "fid_floor")
    names = (*names, "recall", "coverage")
    bench.whole(experiment("one"), **dict.fromkeys(names))
    _, page = bench.report(configs_of(experiment("one")))
    heading, row = page.tables[0][:2]
    assert row[heading.index("FID\u00a0↓")] == "—"
    assert not {"Recall\u00a0↑", "FID, test\u00a0↓"} & set(heading)  # no empty column but the one that ranks
    assert not re.search(r"\b(nan|None|NaN|null|<NA>)\b", page.visible)
    assert not any(
        "0.00" in cell for table in page.tables for row in table for cell in row if "FID" in row[0]
    )
    assert "Bar chart" not in page.text


def test_a_trained_but_not_evaluated_experiment_is_shown_as_such(bench):
    item = experiment("one")
    bench.trained["one"] = bench.workshop.train(item)
    _, page = bench.report(configs_of(item, experiment("later")))
    assert "trained, not evaluated" in page.visible
    assert "No samples were drawn yet: draw them." in page.visible
    assert "Not evaluated yet, so not on the leaderboard" in page.visible
    assert "later" not in page.visible  # nothing of it was ever made


def notices(page: Page) -> str:
    """What stands in the boxes on verdicts, without tags."""
    boxes = re.findall(r'<div class="notice verdicts[^>]*>(.*?)</div>', page.text, re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", " ".join(boxes))))


def badges(page: Page) -> list[tuple[str, str]]:
    """(level, text) of every verdict, in the order of the page; sweeps repeat them for each figure."""
    text = re.sub(r'<section class="figure".*?</section>', "", page.text, flags=re.DOTALL)
    return re.findall(r'<span class="verdict (\w+)">([^<]+)</span>', text)


def test_a_finding_is_told_with_its_figure_and_what_helps(bench):
    bench.whole(experiment("one"), training={"found": [MODE_COLLAPSE, STAGNATION]})
    _, page = bench.report(configs_of(experiment("one")))
    in_the_table, in_the_section = badges(page)
    assert in_the_table == ("warned", "mode collapse") and "<summary>and 1 more</summary>" in page.text
    assert in_the_section == ("warned", "mode collapse, stagnation")
    told = notices(page)
    assert f"Mode collapse: {MODE_COLLAPSE['text']}. (Diversity: 0.123, at 25,600 images seen.)" in told
    assert "lowered the FID: 0.00485, at 64,000 images seen.) What usually helps:" in told
    for key in MODE_COLLAPSE["keys"] + STAGNATION["keys"]:
        assert key in told
    assert "The guard" not in told  # neither stopped the run
    assert '<span class="pill plain">evaluated</span>' in page.text


def test_a_stopped_training_does_not_look_like_a_success(bench):
    training = {
        "found": [MODE_COLLAPSE],
        "stopped_by": "mode_collapse",
        "best_at": 12_800,
        "images_seen": 25_600,
    }
    bench.whole(experiment("one"), training=training, fid=1.0)
    _, page = bench.report(configs_of(experiment("one")))
    assert badges(page) == [("stopped", "mode collapse (stopped)")] * 2
    assert page.text.count('<tr class="stopped">') == 1
    assert page.text.count('class="notice verdicts stopped"') == 1
    assert '<span class="pill">evaluated</span>' not in page.text  # the green one
    told = notices(page)
    assert "The guard mode_collapse stopped this training at 25,600 images seen, of 60,000 planned." in told
    assert "is the generator with the best in-training FID, of 12,800 images seen." in told
    chart = next(a["aria-label"] for _, a in page.tags if a.get("class") == "drawing")
    assert "one (stopped)" in chart


def test_a_healthy_training_says_so_quietly(bench):
    bench.whole(experiment("one"))
    bench.whole(experiment("two", publish="best"), training={"best_at": 38_400})
    _, page = bench.report(configs_of(experiment("one"), experiment("two", publish="best")))
    assert badges(page) == [("healthy", "healthy")] * 4
    assert notices(page) == "" and 'class="stopped"' not in page.text
    assert page.visible.count("of 38,400 images seen") == 1


def test_figures_of_the_training_are_told_apart_from_the_leaderboards(bench):
    bench.whole(experiment("one"), training={"fid_in_training": 43.75})
    _, page = bench.report(configs_of(experiment("one")))
    rows = [row for table in page.tables for row in table]
    for row in (
        ["In-training FID", "43.75"],
        ["In-training FID, best", "41.12"],
        ["Images seen at the best", "38,400"],
        ["Diversity", "0.9700"],
    ):
        assert row in rows
    assert "is not comparable with the leaderboard's FID" in page.visible


def test_a_training_from_before_the_guards_has_an_unknown_verdict(bench):
    item = experiment("one")
    trained = bench.workshop.train_before_guards(item)
    samples = bench.workshop.sample(trained)
    bench.trained["one"], bench.samples["one"] = trained, samples
    bench.evaluations["one"] = bench.workshop.evaluate(samples)
    _, page = bench.report(configs_of(item))
    assert badges(page) == [("unknown", "verdict unknown")] * 2
    assert "This training has no verdict" in page.visible
    titles = re.findall("<figcaption>([^<]+)</figcaption>", page.text)
    assert "Losses" in titles and "In-training FID" not in titles and "Gradient norms" not in titles
    assert "not comparable" not in page.visible.partition("What the figures mean")[0]


def test_a_training_made_again_with_force_makes_what_stands_on_it_outdated(bench):
    item = experiment("one")
    bench.whole(item, training={"seed": 0})
    configs = configs_of(item)
    leaderboard = bench.leaderboard(configs)
    _, page = bench.report(configs, leaderboard)
    assert "out of date" not in page.visible

    # The same configuration, so the same fingerprint; other bytes, as from another device.
    again = bench.workshop.train(item, seed=1, force=True, found=[MODE_COLLAPSE])
    assert again.fingerprint == bench.trained["one"].fingerprint
    bench.trained["one"] = again
    second = bench.leaderboard(configs)
    assert second.details["stale"] == {
        "one": "trained or sampled again since: draw its samples and evaluate them again"
    }
    _, page = bench.report(configs, second)
    assert page.tables[0][1][1].startswith("oneout of date")
    assert "The samples come from an earlier training: draw them again." in page.visible
    # The row's FID is of the training that is gone, so it cannot have the new one's verdict.
    assert badges(page) == [("unknown", "verdict unknown"), ("warned", "mode collapse")]

    bench.samples["one"] = bench.workshop.sample(again)
    _, page = bench.report(configs)
    assert "The figures are of earlier samples: evaluate it again." in page.visible
    bench.evaluations["one"] = bench.workshop.evaluate(bench.samples["one"])
    _, page = bench.report(configs)
    assert "out of date" not in page.visible
    assert badges(page) == [("warned", "mode collapse")] * 2


def test_the_same_bytes_made_again_with_force_outdate_nothing(bench):
    item = experiment("one")
    bench.whole(item)
    bench.trained["one"] = bench.workshop.train(item, force=True)
    _, page = bench.report(configs_of(item))
    assert "out of date" not in page.visible


def test_a_leaderboard_from_before_the_verdicts_is_still_read(bench):
    item = experiment("one")
    bench.whole(item)
    manifest = bench.leaderboard(configs_of(item))
    frame = read_leaderboard(bench.store, manifest).drop(columns="verdict")
    old = bench.workshop.make(
        "leaderboard",
        "all",
        config={"old": True},
        inputs={"evaluation/one": bench.evaluations["one"]},
        details=manifest.details,
        files={"leaderboard.parquet": parquet(frame)},
    )
    _, page = bench.report(configs_of(item), old)
    assert badges(page) == [("unknown", "verdict unknown"), ("healthy", "healthy")]


def test_outdated_steps_are_named(bench):
    old, new = experiment("one"), experiment("one", batch_size=128)
    bench.whole(old)
    _, page = bench.report(configs_of(new))
    assert page.tables[0][1][1].startswith("oneout of date")
    assert "Trained with an earlier configuration (batch_size 64 → 128)" in page.visible
    assert ["Batch size", "64"] in [row for table in page.tables for row in table]

    leaderboard = bench.leaderboard(configs_of(new))
    bench.trained["one"] = bench.workshop.train(new)
    _, page = bench.report(configs_of(new), leaderboard)
    assert "The samples come from an earlier training" in page.visible
    bench.samples["one"] = bench.workshop.sample(bench.trained["one"])
    _, page = bench.report(configs_of(new), leaderboard)
    assert "The figures are of earlier samples" in page.visible
    bench.evaluations["one"] = bench.workshop.evaluate(bench.samples["one"], fid=1.0)
    _, page = bench.report(configs_of(new), leaderboard)
    assert "Evaluated after the leaderboard was made" in page.visible
    fid = page.tables[0][0].index("FID\u00a0↓")
    assert page.tables[0][1][fid].startswith("20.00")  # the leaderboard's own evaluation, not the newer one
    _, page = bench.report(configs_of(new))
    assert "out of date" not in page.visible


def test_one_experiment_has_no_best(bench):
    bench.whole(experiment("one"))
    _, page = bench.report(configs_of(experiment("one")))
    assert "1 configuration on 1 dataset " in page.visible
    assert 'class="best"' not in page.text


def test_no_experiment_says_what_to_do(bench):
    manifest, page = bench.report(Configs(datasets={}, experiments={}))
    assert "No experiment is evaluated yet: evaluate at least one" in page.visible
    assert manifest.figures["experiments"] == 0


def test_what_is_no_longer_configured_is_left_out_and_its_page_removed(bench):
    for name in ("one", "gone"):
        bench.whole(experiment(name))
    bench.report(configs_of(*map(experiment, ("one", "gone"))))
    page = Path(bench.store.root, "report", "experiments", "gone.html")
    assert page.exists()
    manifest, shown = bench.report(configs_of(experiment("one")))
    assert "gone" not in shown.visible and not page.exists()
    assert not any(key.endswith("/gone") for key in manifest.inputs)


def test_only_pages_of_what_changed_are_made_again(bench):
    for name in ("one", "two"):
        bench.whole(experiment(name))
    folder = Path(bench.store.root, "report")

    def made_again(*items) -> set[str]:
        for path in folder.rglob("*.html"):
            os.utime(path, (0, 0))
        bench.report(configs_of(*items))
        return {str(path.relative_to(folder)) for path in folder.rglob("*.html") if path.stat().st_mtime > 0}

    one, two = experiment("one"), experiment("two")
    bench.report(configs_of(one, two))
    assert made_again(one, two) == set()
    changed = made_again(one, experiment("two", description="Another text."))
    assert "experiments/two.html" in changed
    assert not changed & {"experiments/one.html", "datasets/digits.html"}
    (folder / "experiments" / "one.html").write_text("edited")
    (folder / "datasets" / "digits.html").unlink()
    changed = made_again(one, experiment("two", description="Another text."))
    assert changed == {"experiments/one.html", "datasets/digits.html"}


def test_a_changed_description_makes_a_new_page(bench):
    bench.whole(experiment("one"))
    first, _ = bench.report(configs_of(experiment("one")))
    second, page = bench.report(configs_of(experiment("one", description="Another text.")))
    assert first.fingerprint != second.fingerprint and "Another text." in page.visible


def test_small_pictures_are_enlarged_by_whole_factors_and_large_ones_shrunk(bench):
    item = experiment("one")
    bench.whole(item)
    noise = numpy.random.default_rng(0).integers(0, 256, (2048, 2048, 3), dtype="uint8")
    path = Path(bench.store.root, "noise.png")
    Image.fromarray(noise).save(path)
    bench.samples["one"] = bench.workshop.make(
        "samples", "one", inputs={"trained_gan": bench.trained["one"]}, files={"grid.png": path.read_bytes()}
    )
    manifest, page = bench.report(configs_of(item))
    images = {a["alt"]: a for tag, a in page.tags if tag == "img"}
    assert images["Grid of samples drawn by one"]["src"].startswith("data:image/jpeg")
    assert manifest.figures["bytes"] < 3_000_000
    progress = images["Samples from fixed latents from the first step to the last"]
    assert (progress["width"], progress["class"]) == ("480", "pixels")  # 160 pixels, three times


@pytest.mark.parametrize("name", ["grid.png", "progress.png", "history.parquet"])
def test_a_damaged_or_missing_file_is_named_in_its_experiment_alone(bench, name):
    for item in ("one", "two"):
        bench.whole(experiment(item))
    of = bench.samples if name == "grid.png" else bench.trained
    Path(bench.store.file_path(of["one"], name)).write_bytes(b"damaged")
    Path(bench.store.file_path(of["two"], name)).unlink()
    bench.whole(experiment("three"))
    _, page = bench.report(configs_of(*map(experiment, ("one", "two", "three"))))
    text = " ".join(page.text.split())
    assert f"{name} does not match its manifest (sha256): run" in text
    assert f"{name} is missing: run" in text
    assert text.count(">damaged<") == 2 and text.count(">evaluated<") == 1
    pictures = [a["alt"] for tag, a in page.tags if tag == "img"]
    assert "Grid of samples drawn by three" in pictures


@pytest.mark.browser
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium on the PATH")
def test_a_click_sorts_the_table_and_keeps_missing_figures_last(bench, tmp_path):
    items = [experiment(name) for name in ("one", "two", "three")]
    for item, fid in zip(items, (9.5, 100.25, None), strict=True):
        bench.whole(item, fid=fid)
    _, page = bench.report(configs_of(*items))
    # A second click on the FID: descending. As text, 9.5 would come before 100.25.
    click = "document.querySelector('th[data-key=fid] button').click();"
    test_page = tmp_path / "clicked.html"
    test_page.write_text(page.text.replace("</body>", f"<script>{click}{click}</script></body>"))
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += ["--no-first-run", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", test_page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    rows = Page(done.stdout).tables[0]
    assert [re.match("one|two|three", row[1])[0] for row in rows[1:4]] == ["two", "one", "three"]


@pytest.mark.browser
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium on the PATH")
def test_no_value_of_an_experiment_is_off_the_page(bench, tmp_path):
    """The list of packages is the longest of them."""
    bench.whole(experiment("one"))
    _, page = bench.report(configs_of(experiment("one")))
    outside = (
        "td => td.getBoundingClientRect().right > td.closest('.columns').getBoundingClientRect().right + 1"
    )
    count = f"document.title = [...document.querySelectorAll('.columns td')].filter({outside}).length"
    test_page = tmp_path / "measured.html"
    test_page.write_text(page.text.replace("</body>", f"<script>{count}</script></body>"))
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += ["--window-size=1760,3000", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    done = subprocess.run(
        [*command, test_page.as_uri()], capture_output=True, text=True, timeout=60, check=True
    )
    assert "<title>0</title>" in done.stdout


def test_many_protocols_are_folded(bench):
    bench.whole(experiment("one"))
    _, page = bench.report(configs_of(experiment("one")))
    count = len(set(bench.evaluations["one"].details["extractors"]["classifier"]["protocols"].values()))
    assert count > 1 and f"{count} protocols, by figure" in page.visible


# --- what the guards could not see ------------------------------------------------------------------------


def test_a_training_that_learned_nothing_is_not_called_healthy(bench):
    bench.whole(experiment("one"), fid=300.0)  # the untrained generator has 310
    bench.whole(experiment("two"))
    configs = configs_of(experiment("one"), experiment("two"))
    frame = read_leaderboard(bench.store, bench.leaderboard(configs))
    assert dict(zip(frame["experiment"], frame["verdict"], strict=True)) == {
        "one": "no better than untrained",
        "two": "healthy",
    }
    _, page = bench.report(configs)
    assert badges(page).count(("warned", "no better than untrained")) == 2
    assert badges(page).count(("healthy", "healthy")) == 2
    told = notices(page)
    assert (
        "No better than untrained: the FID of the samples is 300, that of the untrained generator 310" in told
    )
    assert "(FID over that of the untrained generator: 0.968, at 60,000 images seen.)" in told


def test_a_training_too_short_to_judge_is_not_called_healthy(bench):
    bench.whole(experiment("one"), training={"images_seen": 64 * 499})
    bench.whole(experiment("two"), training={"images_seen": 64 * 500})
    _, page = bench.report(configs_of(experiment("one"), experiment("two")))
    assert badges(page).count(("warned", "too short to judge")) == 2
    assert badges(page).count(("healthy", "healthy")) == 2
    assert "the guards judge 500 steps of D, and this training had 499." in notices(page)


def test_a_finding_of_the_guards_stays_beside_the_final_one(bench):
    training = {"found": [MODE_COLLAPSE], "stopped_by": "mode_collapse", "images_seen": 640}
    bench.whole(experiment("one"), training=training, fid=400.0)
    _, page = bench.report(configs_of(experiment("one")))
    in_the_table, in_the_section = badges(page)
    assert in_the_table == ("stopped", "mode collapse (stopped)")
    assert in_the_section == ("stopped", "mode collapse (stopped), no better than untrained")
    assert "too short" not in page.visible.partition("What the figures mean")[0]


# --- manifests that were edited ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "edit",
    [
        lambda trained, evaluation: trained.details.update(verdicts="none"),
        lambda trained, evaluation: trained.details.update(verdicts=[{"verdict": "stagnation"}]),
        lambda trained, evaluation: trained.details.update(published={"which": "best"}),
        lambda trained, evaluation: trained.config.pop("length") and trained.details.update(stopped_by="x"),
        lambda trained, evaluation: trained.config.update(optimizers=None),
        lambda trained, evaluation: evaluation.details.update(extractors=["classifier"]),
        lambda trained, evaluation: evaluation.figures.update(fid="good"),
        lambda trained, evaluation: trained.figures.update(images_seen="many"),
    ],
)
def test_an_edited_manifest_costs_its_section_and_no_other(bench, edit):
    items = [experiment("one"), experiment("two")]
    for item in items:
        bench.whole(item)
    leaderboard = bench.leaderboard(configs_of(*items))
    edit(bench.trained["one"], bench.evaluations["one"])
    _, page = bench.report(configs_of(*items), leaderboard)
    assert '<span class="pill warn">damaged</span>' in page.text
    assert page.visible.count("experiment one cannot be read, because a manifest was edited") == 1
    assert "What two is." in page.visible and "Settings" in page.visible


def test_what_is_left_out_of_the_leaderboard_is_named_below_it(bench):
    items = [experiment("one"), experiment("two")]
    for item in items:
        bench.whole(item)
    bench.evaluations["one"].figures["kid"] = "low"
    _, page = bench.report(configs_of(*items))
    assert [row[1][:3] for row in page.tables[0][1:-1]] == ["two"]
    assert "Left out, because their figures cannot be trusted: one: experiment one cannot" in page.visible
    assert "kid of evaluation/one is `low`, not a number" in page.visible


def test_settings_name_every_seed_and_every_number(bench):
    rows = []
    for name, changes in {
        "one": {"seed": 0, "conditioning": {"name": "acgan", "d_scale": 0}},
        "two": {"seed": 3},
    }.items():
        bench.whole(experiment(name, **changes))
        _, page = bench.report(configs_of(experiment(name, **changes)))
        rows.append([row for table in page.tables for row in table])
    assert ["Seed", "0"] in rows[0] and ["Seed", "3"] in rows[1]
    assert ["Conditioning", "acgan · d scale 0 · g scale 1"] in rows[0]
    assert ["Conditioning", "none"] in rows[1]
    assert not any("gradient penalty" in cell for row in rows[0] for cell in row)  # off


def test_how_a_training_was_made_is_shown_where_it_was_recorded(bench):
    bench.whole(experiment("one"))
    _, page = bench.report(configs_of(experiment("one")))
    rows = dict(row for table in page.tables for row in table if len(row) == 2)
    made_with = bench.trained["one"].provenance
    assert f"torch {made_with['packages']['torch']}" in rows["Packages"]
    assert f"{made_with['machine']['cores']} cores" in rows["Machine"]
    assert rows["Commit"] == (commit_in_words(made_with) or "—")
    bench.trained["one"].provenance.clear()  # as an earlier version left it
    _, page = bench.report(configs_of(experiment("one", description="Changed.")))
    assert "Packages" not in {row[0] for table in page.tables for row in table}


def test_old_versions_are_pruned_when_a_new_one_is_published(bench):
    bench.whole(experiment("one"))
    for number in range(6):
        manifest, _ = bench.report(configs_of(experiment("one", description=f"Text {number}.")))
    versions = {name for name in bench.store.list_names("report/all") if name != "current.json"}
    assert len(versions) == 4 and manifest.fingerprint in versions
