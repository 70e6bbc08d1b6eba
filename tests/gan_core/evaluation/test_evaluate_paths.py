"""Any images against any others, statistics, and the splits of datasets."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from gan_core.config import Configs
from gan_core.data.loading import load_resident
from gan_core.data.pixels import encode_png
from gan_core.errors import EvaluationError
from gan_core.evaluation import evaluate_paths as module
from gan_core.evaluation.evaluate import evaluate_samples
from gan_core.evaluation.evaluate_paths import evaluate_paths, save_statistics
from gan_core.evaluation.extractors.classifier import CLASSIFIER_FILE
from gan_core.evaluation.inputs.splits import StoredSplit, stored_split
from gan_core.evaluation.metrics import METRICS, chosen_metrics
from tests.gan_core.evaluation.conftest import draw


@pytest.fixture(scope="module")
def classifier(trained):
    """The path of the classifier's file."""
    return str(trained.store.local(trained.classifier, CLASSIFIER_FILE))


@pytest.fixture
def measure(trained, classifier):
    def run(real, fake, **options):
        fixed = {"extractor": "classifier", "classifier": classifier, "store": trained.store}
        return evaluate_paths(str(real), str(fake), **(fixed | options))

    return run


@pytest.fixture
def folder(tmp_path):
    """Writes images, uint8 (N, C, H, W), as PNG files into a new folder."""

    def write(name, images, channels=None):
        place = tmp_path / name
        place.mkdir()
        for index, image in enumerate(images):
            content = encode_png(image)
            if channels:
                buffer = io.BytesIO()
                Image.open(io.BytesIO(content)).convert(channels).save(buffer, "PNG")
                content = buffer.getvalue()
            (place / f"{index:04d}.png").write_bytes(content)
        return place

    return write


@pytest.fixture(scope="module")
def images():
    return {"real": draw(90, seed=1)[0], "fake": draw(60, noise=40, seed=7)[0]}


# --- a split of a dataset ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tar", "npy"])
@pytest.mark.parametrize("conditional", [True, False])
def test_a_split_gives_the_figures_and_the_protocol_of_the_asset(
    trained, make_samples, tmp_path, kind, conditional
):
    samples = make_samples(trained.store, f"outside-{conditional}".lower(), conditional=conditional)
    made = evaluate_samples(trained.store, trained.dataset, samples, trained.reference, trained.classifier)
    fake = str(trained.store.local(samples, "samples-000000.tar"))
    if kind == "npy":
        np.save(tmp_path / "fake.npy", draw(60, noise=40, seed=7)[0])
        fake = str(tmp_path / "fake.npy")
    train = StoredSplit(trained.dataset, "train", trained.reference, trained.classifier)
    result = evaluate_paths(train, fake, store=trained.store)
    asset = made.details["extractors"]["classifier"]
    assert result["protocol"] == asset["protocol"]
    for name, metric in chosen_metrics(None).items():
        if not metric.needs_labels:
            expected = asset[metric.main]  # None where there are too few samples for a figure
            assert result[name] == result[metric.main]
            assert result[name] == (expected and pytest.approx(expected, rel=1e-9)), name
            assert result["protocols"].get(metric.main) == asset["protocols"].get(metric.main)
    assert result["fid_test"] == pytest.approx(asset["fid_test"], rel=1e-9)
    assert (result["real"], result["real_images"], result["fake_images"]) == ("halves/train", 240, 60)
    test = StoredSplit(trained.dataset, "test", trained.reference, trained.classifier)
    against_test = evaluate_paths(test, fake, metrics=["fid"], store=trained.store)
    assert against_test["fid"] == pytest.approx(asset["fid_test"], rel=1e-9)
    assert against_test["protocols"]["fid"] == asset["protocols"]["fid_test"]


def test_real_against_real_is_told_of_the_metrics_asked_for_where_there_is_any(trained, folder, images):
    split = StoredSplit(trained.dataset, "train", trained.reference, trained.classifier)
    place = str(folder("fake", images["fake"]))
    result = evaluate_paths(split, place, metrics=["kid", "vendi"], store=trained.store)
    assert [name for name in result if name.endswith("_floor")] == ["kid_floor"]
    few = str(folder("few", images["fake"][:50]))  # of which no floor was measured
    result = evaluate_paths(split, few, metrics=["kid", "vendi"], store=trained.store)
    assert not [name for name in result if name.endswith("_floor")]


def test_no_real_image_is_extracted_for_a_split(trained, folder, images, monkeypatch):
    seen = []
    extract_into = module.gather.__globals__["extract_into"]

    def counted(parts, extractor, batches, progress):
        seen.append(parts[0].accumulator.count)
        return extract_into(parts, extractor, batches, progress)

    monkeypatch.setitem(module.gather.__globals__, "extract_into", counted)
    split = StoredSplit(trained.dataset, "train", trained.reference, trained.classifier)
    evaluate_paths(split, str(folder("fake", images["fake"])), metrics=["fid"], store=trained.store)
    assert seen == [60]


def test_images_of_another_size_are_told_apart_in_a_splits_protocol(trained, folder):
    large = folder("large", draw(60, size=24, channels=3, seed=3)[0])
    split = StoredSplit(trained.dataset, "train", trained.reference, trained.classifier)
    result = evaluate_paths(split, str(large), metrics=["fid"], image_size=16, store=trained.store)
    arrived = "images=24x24x3/16x16x1 channels=rgb-to-grey resize=16-bicubic-crop "
    assert arrived in result["protocol"]
    assert any("24x24 of their own, the real ones 16x16" in warning for warning in result["warnings"])
    assert any("have colours, but are compared in grey" in warning for warning in result["warnings"])


def test_which_split_a_name_means(trained):
    configs = Configs(datasets={"halves": trained.dataset}, experiments={}, mistakes=())
    found = stored_split("halves/test", trained.store, configs)
    assert (found.dataset.name, found.split, found.location) == ("halves", "test", "halves/test")
    assert found.classifier.fingerprint == trained.classifier.fingerprint
    for name in ("halves", "halves/val", "./halves/test", "other/test", "/halves/test"):
        assert stored_split(name, trained.store, configs) is None


@pytest.mark.parametrize("values", [{"metrics": ["fid"]}, {"seed": 3}, {"samples": 61}])
def test_a_reference_of_other_settings_is_refused(trained, make_dataset, values):
    configs = Configs(datasets={"halves": make_dataset(**values)}, experiments={})
    with pytest.raises(
        EvaluationError, match="halves were made .* by other settings .*: run `.* reference halves`"
    ):
        stored_split("halves/train", trained.store, configs)


def test_what_does_not_go_with_a_split_is_refused(trained, folder, images, inception_file):
    fake = str(folder("fake", images["fake"]))
    split = StoredSplit(trained.dataset, "train", trained.reference, trained.classifier)
    fixed = {"store": trained.store, "metrics": ["fid"]}
    with pytest.raises(EvaluationError, match="statistics of halves are of classifier, not of inception"):
        evaluate_paths(split, fake, extractor="inception", weights=str(inception_file), **fixed)
    with pytest.raises(EvaluationError, match="brings its own test split: leave out --held-out"):
        evaluate_paths(split, fake, held_out=fake, **fixed)
    with pytest.raises(EvaluationError, match="seed is 5, but halves is evaluated by 0"):
        evaluate_paths(split, fake, seed=5, **fixed)


# --- other places -----------------------------------------------------------------------------------------


def test_statistics_stand_for_real_images_where_moments_suffice(measure, trained, folder, images, tmp_path):
    real, fake = folder("real", images["real"]), folder("fake", images["fake"])
    whole = measure(real, fake)
    path = tmp_path / "real.npz"
    options = {"extractor": "classifier", "classifier": trained.classifier, "store": trained.store}
    told = save_statistics(str(real), path, **options)
    assert (told["real_images"], told["shape"], told["statistics"]) == (90, "16x16x1", str(path))
    result = measure(path, fake)
    assert result["fid"] == pytest.approx(whole["fid"], rel=1e-9)
    assert "kid" not in result and "inception_score" in result
    assert "vs real.npz(90)@" in result["protocol"] and "images=16x16x1 " in result["protocol"]
    with pytest.raises(
        EvaluationError, match="`kid` cannot be measured against .*real.npz: it needs features"
    ):
        measure(path, fake, metrics=["fid", "kid"])
    np.savez(path, mu=np.zeros(5), sigma=np.eye(5))
    with pytest.raises(EvaluationError, match="of 5 dimensions, but classifier gives 128"):
        measure(path, fake)


def test_the_statistics_of_a_split_are_written_from_the_store(trained, measure, folder, images, tmp_path):
    split = StoredSplit(trained.dataset, "train", trained.reference, trained.classifier)
    told = save_statistics(split, tmp_path / "train.npz", store=trained.store)
    assert (told["real"], told["real_images"], told["shape"]) == ("halves/train", 240, "16x16x1")
    same = folder("same", load_resident(trained.store, trained.shards, "train").images.numpy())
    for real in (split, str(tmp_path / "train.npz")):
        options = {"extractor": "classifier", "classifier": trained.classifier, "store": trained.store}
        told = evaluate_paths(real, str(same), metrics=["fid"], **options)
        assert "both sides hold the same images: their distance says nothing" in told["warnings"]
    fake = folder("fake", images["fake"])
    of_split = evaluate_paths(split, str(fake), metrics=["fid"], store=trained.store)
    assert measure(tmp_path / "train.npz", fake)["fid"] == pytest.approx(of_split["fid"], rel=1e-9)


def test_metrics_that_look_at_held_out_images_get_them(measure, folder, images, monkeypatch):
    """A metric of its own, which counts what it was given."""
    from gan_core.evaluation.figures import Figure
    from gan_core.evaluation.metrics.base import MOMENTS, Metric

    counts = Metric(
        figures={"seen": Figure("seen", "higher", "how many images")},
        compute=lambda comparison: {"seen": 1000 * comparison.held_out.count + comparison.real.count},
        generated=(MOMENTS,),
        real=(MOMENTS,),
        held_out=True,
    )
    monkeypatch.setitem(METRICS, "seen", counts)
    real, fake = folder("real", images["real"]), folder("fake", images["fake"])
    with pytest.raises(EvaluationError, match="`seen` cannot be measured .*name them with --held-out"):
        measure(real, fake, metrics=["seen"])
    assert "seen" not in measure(real, fake, metrics=None)
    assert measure(real, fake, metrics=["seen"], held_out=str(fake))["seen"] == 60_090
    with pytest.raises(EvaluationError, match="holds the same images as .*: name images that nothing was"):
        measure(real, fake, metrics=["seen"], held_out=str(real))


def test_each_metric_has_a_key_of_its_own_name(measure, folder, images):
    result = measure(folder("real", images["real"]), folder("fake", images["fake"]), metrics=["is", "fid"])
    assert result["is"] == result["inception_score"] > 1
    assert json.loads(json.dumps(result)) == result


# --- what is refused before a network loads, and what is said beside the figures --------------------------


@pytest.fixture
def no_network(monkeypatch):
    def refuse(sources):
        raise AssertionError("a network was loaded before the images were looked at")

    monkeypatch.setattr(module.extractor_named("classifier"), "open", refuse)


def test_damaged_images_are_counted_named_and_left_out(measure, folder, images):
    real = folder("real", np.concatenate([images["real"], images["real"], images["fake"]]))
    whole = measure(real, folder("fake", images["fake"]), metrics=["fid"])
    good = (real / "0000.png").read_bytes()
    (real / "0100-damaged.png").write_bytes(good[: len(good) // 2])
    (real / "0200-damaged.png").write_bytes(good[:60] + bytes([good[60] ^ 255]) + good[61:])
    lines = []
    result = measure(real, real.parent / "fake", metrics=["fid"], emit=lines.append)
    assert result["fid"] == whole["fid"] and result["real_images"] == 240
    assert [line.split(" (")[0] for line in result["left_out"]["real"]] == [
        "0100-damaged.png",
        "0200-damaged.png",
    ]
    assert result["left_out"]["fake"] == []
    named = "2 damaged real images are left out: 0100-damaged.png, 0200-damaged.png"
    assert named in result["warnings"] and f"warning: {named}" in lines
    assert any("image 0100-damaged.png does not decode" in line for line in lines)


@pytest.mark.parametrize("kind", ["cut JPEG", "no picture", "empty"])
def test_too_many_damaged_images_are_refused_before_a_network_is_loaded(
    measure, folder, images, kind, no_network
):
    real = folder("real", images["real"])
    buffer = io.BytesIO()
    Image.fromarray(images["real"][0, 0]).save(buffer, "JPEG")
    contents = {"cut JPEG": buffer.getvalue()[:-20], "no picture": b"text", "empty": b""}
    (real / "x.jpg").write_bytes(contents[kind])
    with pytest.raises(EvaluationError, match="image x.jpg does not decode .*1 of 91 and more than 1%"):
        measure(real, folder("fake", images["fake"]), metrics=["fid"])


def test_mixed_sizes_and_a_size_of_zero_are_refused_before_a_network_is_loaded(
    measure, folder, images, no_network
):
    mixed = folder("mixed", [*images["real"], *draw(2, size=24)[0]])
    fake = folder("fake", images["fake"])
    with pytest.raises(EvaluationError, match="0090.png is 24x24, but 0000.png is 16x16.*image_size"):
        measure(mixed, fake)
    with pytest.raises(EvaluationError, match="image_size is 0, but an image has at least 1 pixel"):
        measure(mixed, fake, image_size=0)


def test_weights_of_an_extractor_that_takes_them_otherwise_are_refused(measure, no_network):
    with pytest.raises(EvaluationError, match="`classifier` takes no --weights: name its file by"):
        measure("real", "fake", weights="some.pth")
    with pytest.raises(EvaluationError, match="`inception` takes no --classifier: leave out one"):
        measure("real", "fake", extractor="inception")


def test_what_a_reader_has_to_know_travels_with_the_figures(measure, folder, images):
    real = folder("real", images["real"])
    assert [warning for warning in measure(real, real)["warnings"] if "same images" in warning]
    few = measure(real, folder("fake", images["fake"]))["warnings"]
    assert len(few) == 2  # 60 and 90 images of 128 dimensions
    assert all("no more than the 128 dimensions" in warning for warning in few)
    many = folder("many", draw(130, seed=2)[0])
    others = folder("others", draw(130, seed=3)[0], "RGBA")
    assert measure(many, folder("fine", draw(129, seed=4)[0]))["warnings"] == []
    result = measure(many, others)
    assert any("colours, but are compared in grey" in warning for warning in result["warnings"])
    assert any("transparency: they are laid over white" in warning for warning in result["warnings"])
    assert "images=16x16x4/16x16x1 channels=rgb-to-grey " in result["protocol"]
    assert not any("16x16" in warning for warning in result["warnings"])


def test_the_order_and_number_of_reading_threads_change_nothing(measure, trained, folder, monkeypatch):
    images = load_resident(trained.store, trained.shards, "train").images.numpy()
    real, fake = folder("real", images), folder("fake", images[:100] // 2)
    results = []
    for threads in (1, 5):
        monkeypatch.setattr("gan_core.evaluation.extraction.reading_threads", lambda n=threads: n)
        results.append(measure(real, fake))
    assert results[0] == results[1]
