import html.parser
import re
import shutil
import subprocess
from pathlib import Path

import numpy
import pytest
from PIL import Image

from gan_core.config import Configs, Dataset, Experiment
from gan_core.errors import StoreError
from gan_core.report.leaderboard import build_leaderboard
from gan_core.report.report import build_report

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
    values = {
        "name": name,
        "description": f"What {name} is.",
        "dataset": "digits",
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

    def report(self, configs, leaderboard=None, **options):
        manifest = build_report(
            self.store,
            configs,
            leaderboard or self.leaderboard(configs),
            self.trained,
            self.samples,
            self.evaluations,
            self.references,
            self.classifiers,
            emit=print,
            **options,
        )
        return manifest, Page(Path(self.store.root, "report", "index.html").read_text(encoding="utf-8"))


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
        bench.whole(item, fid=fid, class_accuracy=accuracy)
    bench.measure()
    return configs_of(*items)


def test_the_page_of_three_experiments_is_whole_and_small(bench):
    manifest, page = bench.report(demo(bench))
    assert set(manifest.files) == {"index.html"}
    assert manifest.files["index.html"].size == len(page.text.encode()) < 3_000_000
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
    for name, trained in bench.trained.items():
        assert f"What {name} is." in page.visible
        assert trained.fingerprint[:12] in page.visible
        assert trained.inputs["image_shards"][:12] in page.visible
        assert bench.evaluations[name].fingerprint[:12] in page.visible
    assert bench.evaluations["demo-acgan"].details["protocol"] in page.visible
    assert page.visible.count("Lower is better") >= 3
    assert "98.1%" in page.visible
    pictures = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 1 + 3 * 3  # the chart; samples, progress and losses of each


def test_nothing_is_requested_from_outside(bench):
    _, page = bench.report(demo(bench))
    assert page.addresses
    anchors = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    for address in page.addresses:
        assert address.startswith("data:") or address[0] == "#" and address[1:] in anchors
    assert not {tag for tag, _ in page.tags} & {"link", "iframe", "object", "embed", "base", "form"}
    assert not re.search(r"url\(|@import|fetch\(|XMLHttp", page.text)


def test_the_same_inputs_give_the_same_bytes(bench):
    configs = demo(bench)
    first, page = bench.report(configs)
    again, _ = bench.report(configs)
    forced, same = bench.report(configs, force=True)
    assert again.reused and again.fingerprint == first.fingerprint
    assert not forced.reused and forced.files["index.html"].sha256 == first.files["index.html"].sha256
    assert page.text == same.text


def test_the_best_figure_of_a_table_is_emphasised_once(bench):
    _, page = bench.report(demo(bench))
    best = re.findall(r'class="number best"[^>]*><span[^>]*>([^<]+)', page.text)
    assert best == ["12.31"]  # the other figures are equal, and equal figures have no best


def test_floor_and_untrained_stand_beside_the_fids(bench):
    _, page = bench.report(demo(bench))
    heading, *rows, floor = page.tables[0]
    fid, untrained = heading.index("FID\u00a0↓"), heading.index("FID, untrained\u00a0↓")
    assert [row[fid] for row in rows] == ["12.31", "18.92", "25.40"]
    assert {row[untrained] for row in rows} == {"310.00"}
    assert floor[0] == "Real against real" and floor[fid] == "1.31"


def test_protocols_have_tables_of_their_own(bench):
    items = [experiment("one"), experiment("two")]
    bench.whole(items[0], protocol="classifier-aaa n=2000")
    bench.whole(items[1], protocol="inception-bbb n=2000")
    _, page = bench.report(configs_of(*items))
    boards = [table for table in page.tables if table[0][0] == "Experiment"]
    assert [[row[0] for row in board[1:-1]] for board in boards] == [["one"], ["two"]]
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
    _, page = bench.report(configs_of(item, description=HOSTILE))
    assert page.visible.count("alert('x')") >= 4
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert all(a["src"].startswith("data:") for tag, a in page.tags if tag == "img")
    assert "onerror" not in {name for _, attributes in page.tags for name in attributes}


def test_missing_figures_are_dashes(bench):
    names = ("fid", "kid", "inception_score", "inception_score_std", "fid_test", "fid_untrained", "fid_floor")
    bench.whole(experiment("one"), **dict.fromkeys(names))
    _, page = bench.report(configs_of(experiment("one")))
    assert page.tables[0][1][3:6] == ["—", "—", "—"]
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
    assert "No samples were drawn yet: materialise samples." in page.visible
    assert "Not evaluated yet, so not on the leaderboard" in page.visible
    assert "Not trained yet" in page.visible and "What later is." in page.visible
    assert 'id="experiment-later"' not in page.text


def test_outdated_steps_are_named(bench):
    old, new = experiment("one"), experiment("one", batch_size=128)
    bench.whole(old)
    _, page = bench.report(configs_of(new))
    assert page.tables[0][1][0] == "oneout of date"
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
    assert page.tables[0][1][3] == "20.00"  # the leaderboard's own evaluation, not the newer one
    _, page = bench.report(configs_of(new))
    assert "out of date" not in page.visible


def test_one_experiment_has_no_best(bench):
    bench.whole(experiment("one"))
    _, page = bench.report(configs_of(experiment("one")))
    assert "1 experiment on 1 dataset " in page.visible
    assert 'class="number best"' not in page.text


def test_no_experiment_says_what_to_do(bench):
    manifest, page = bench.report(Configs(datasets={}, experiments={}))
    assert "No experiment is evaluated yet: materialise evaluation for at least one" in page.visible
    assert manifest.figures["experiments"] == 0


def test_what_is_no_longer_configured_is_left_out(bench):
    bench.whole(experiment("one"))
    bench.whole(experiment("gone"))
    manifest, page = bench.report(configs_of(experiment("one")))
    assert "gone" not in page.visible
    assert not any(key.endswith("/gone") for key in manifest.inputs)


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
    assert images["Grid of samples drawn by one"]["src"].startswith("data:image/webp")
    assert manifest.files["index.html"].size < 3_000_000
    progress = images["Samples from fixed latents from the first step to the last"]
    assert (progress["width"], progress["class"]) == ("480", "pixels")  # 160 pixels, three times


def test_a_damaged_picture_is_an_error_that_names_it(bench):
    bench.whole(experiment("one"))
    Path(bench.store.file_path(bench.samples["one"], "grid.png")).write_bytes(b"damaged")
    with pytest.raises(StoreError, match="grid.png does not match its manifest.*force"):
        bench.report(configs_of(experiment("one")))
    assert not Path(bench.store.root, "report", "index.html").exists()


@pytest.mark.browser
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium on the PATH")
def test_a_click_sorts_the_table_and_keeps_missing_figures_last(bench, tmp_path):
    items = [experiment(name) for name in ("one", "two", "three")]
    for item, fid in zip(items, (9.5, 100.25, None), strict=True):
        bench.whole(item, fid=fid)
    _, page = bench.report(configs_of(*items))
    # A second click on the FID: descending. As text, 9.5 would come before 100.25.
    click = "document.querySelectorAll('th button')[3].click();"
    test_page = tmp_path / "clicked.html"
    test_page.write_text(page.text.replace("</body>", f"<script>{click}{click}</script></body>"))
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += ["--no-first-run", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", test_page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    rows = Page(done.stdout).tables[0]
    assert [row[0] for row in rows[1:4]] == ["two", "one", "three"]
