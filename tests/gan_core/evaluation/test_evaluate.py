import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
import torch
import torch_fidelity
from PIL import Image
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from gan_core import steps
from gan_core.data.loading import load_resident
from gan_core.data.pixels import encode_png
from gan_core.errors import DamagedError, EvaluationError, SourceError
from gan_core.evaluation.classifier import CLASSIFIER_FILE, load_classifier, train_classifier
from gan_core.evaluation.evaluate import evaluate_samples
from gan_core.evaluation.evaluate_paths import evaluate_paths
from gan_core.evaluation.judging import untrained
from gan_core.evaluation.metrics import chosen_metrics
from gan_core.evaluation.metrics.base import FEATURES, MOMENTS
from gan_core.evaluation.reference import compute_reference_statistics, load_reference
from gan_core.evaluation.statistics.moments import Moments, frechet_distance
from gan_core.sampling import draw_labels, generate, untrained_generator
from gan_core.store import FileEntry, Manifest, Store


@pytest.fixture(scope="module")
def evaluation(trained, make_samples):
    samples = make_samples(trained.store)
    return samples, evaluate(trained, samples)


def evaluate(trained, samples, **options):
    arguments = (trained.store, trained.dataset, samples, trained.reference, trained.classifier)
    return evaluate_samples(*arguments, **options)


def decoded(store, samples):
    with tarfile.open(store.local(samples, "samples-000000.tar")) as tar:
        members = [member for member in tar if member.name.endswith(".png")]
        arrays = [np.asarray(Image.open(io.BytesIO(tar.extractfile(m).read()))) for m in members]
    return torch.from_numpy(np.stack(arrays))[:, None]


def test_figures_are_those_of_the_features(trained, evaluation):
    samples, manifest = evaluation
    extractor = load_classifier(trained.store, trained.classifier)
    features, logits = extractor.extract(decoded(trained.store, samples))
    moments = Moments()
    moments.update(features)
    for split, suffix in (("train", ""), ("test", "_test")):
        real = load_reference(trained.store, trained.reference, "classifier", split, (MOMENTS, FEATURES))
        expected = frechet_distance(real[MOMENTS], moments.gaussian())
        assert manifest.figures[f"fid{suffix}"] == pytest.approx(expected, rel=1e-4)
        theirs = kid_features_to_metric(
            features.double(), real[FEATURES].double(), kid_subset_size=60, verbose=False
        )
        expected = theirs["kernel_inception_distance_mean"]
        assert manifest.figures[f"kid{suffix}"] == pytest.approx(expected, rel=1e-3)
    theirs = isc_features_to_metric(logits)
    assert manifest.figures["inception_score"] == pytest.approx(theirs["inception_score_mean"], rel=1e-4)
    assert manifest.figures["inception_score_std"] == pytest.approx(theirs["inception_score_std"], abs=1e-4)
    labels = torch.arange(60) % 3
    expected = (logits.argmax(dim=1) == labels).float().mean()
    assert manifest.figures["class_accuracy"] == pytest.approx(float(expected))


def test_noise_is_worse_than_the_samples_and_the_floor_better(evaluation):
    figures = evaluation[1].figures
    assert figures["fid_floor"] < figures["fid"] < figures["fid_untrained"]


def test_every_figure_has_its_protocol(trained, evaluation):
    samples, manifest = evaluation
    details = manifest.details
    short = trained.classifier.files[CLASSIFIER_FILE].sha256[:12]
    shards = trained.shards.fingerprint[:8]
    beginning = f"classifier-{short} n=60 vs halves/train(240)@{shards} seed=0 labels=data images=16x16x1 "
    assert details["protocol"].startswith(beginning)
    block = details["extractors"]["classifier"]
    assert block["protocol"] == details["protocol"]
    assert block["protocols"]["fid_test"] == details["protocol"].replace("train(240)", "test(90)")
    assert block["protocols"]["kid"].endswith("kid=100x60 of 60/240")
    assert block["protocols"]["fid_untrained"] == block["protocols"]["fid"]
    assert "n=60 vs halves/train(240)@" in block["protocols"]["fid_floor"]
    alone = details["protocol"].replace(f" vs halves/train(240)@{shards}", "")
    assert block["protocols"]["inception_score"] == alone
    assert list(manifest.figures) == [
        name for metric in chosen_metrics(None).values() for name in metric.all_figures
    ]
    measured = {name for name, value in manifest.figures.items() if value is not None}
    assert measured == set(block["protocols"])
    assert details["samples_per_class"] == {"left": 20, "right": 20, "top": 20}
    assert set(manifest.inputs) == {"samples", "reference_statistics", "classifier"}
    assert manifest.partition == samples.partition == "gan"


def test_it_is_reused_and_force_gives_the_same_figures(trained, evaluation):
    samples, manifest = evaluation
    assert evaluate(trained, samples).reused
    forced = evaluate(trained, samples, force=True)
    assert not forced.reused and forced.figures == manifest.figures


def test_worse_samples_have_a_larger_fid(trained, evaluation, make_samples):
    worse = evaluate(trained, make_samples(trained.store, name="worse", noise=160))
    assert worse.figures["fid"] > evaluation[1].figures["fid"]
    assert worse.figures["kid"] > evaluation[1].figures["kid"]


def test_without_classes_and_a_known_training_those_figures_are_none(trained, make_samples):
    samples = make_samples(trained.store, name="plain", conditional=False, trained=None)
    manifest = evaluate(trained, samples)
    assert manifest.figures["class_accuracy"] is None and manifest.figures["fid_untrained"] is None
    assert manifest.figures["inception_score"] > 1
    assert manifest.details["samples_per_class"] == {}
    protocols = manifest.details["extractors"]["classifier"]["protocols"]
    assert not {"class_accuracy", "fid_untrained"} & set(protocols)


@pytest.mark.slow
def test_rotation_features_give_fid_and_kid_but_no_score(make_dataset, make_shards, make_samples, tmp_path):
    store, dataset = Store(tmp_path), make_dataset(labelled=False, splits=("train",))
    shards = make_shards(store, dataset)
    classifier = train_classifier(store, dataset, shards)
    reference = compute_reference_statistics(store, dataset, shards, classifier)
    samples = make_samples(store, conditional=False)
    figures = evaluate_samples(store, dataset, samples, reference, classifier).figures
    assert figures["fid"] < figures["fid_untrained"]
    assert figures["kid"] is not None
    nothing = ("inception_score", "inception_score_std", "class_accuracy", "fid_test", "kid_test")
    assert [figures[name] for name in nothing] == [None] * 5


@pytest.mark.parametrize("count", [1, 9])
def test_too_few_samples_are_refused(trained, make_samples, count):
    samples = make_samples(trained.store, name="few", count=count)
    with pytest.raises(EvaluationError, match=f"samples/few holds {count} samples, but .* at least 10"):
        evaluate(trained, samples)


def test_classes_that_the_classifier_does_not_know_are_refused(trained, make_samples):
    samples = make_samples(trained.store, name="other", classes=["cat", "dog", "top"])
    with pytest.raises(EvaluationError, match="has the classes cat, dog, top, but the classifier knows left"):
        evaluate(trained, samples)


def test_a_reference_of_another_classifier_is_refused(trained, make_samples):
    stale = trained.reference.model_copy(deep=True)
    stale.details["extractors"]["classifier"]["fingerprint"] = "0" * 64
    samples = make_samples(trained.store)
    arguments = (trained.store, trained.dataset, samples, stale, trained.classifier)
    with pytest.raises(EvaluationError, match="weights 000000000000.*run `.* reference halves`"):
        evaluate_samples(*arguments)


# --- the untrained generator ------------------------------------------------------------------------------


def test_it_is_measured_as_samples_are(trained, make_training, make_samples):
    training = make_training(trained.store, "measured")
    manifest = evaluate(trained, make_samples(trained.store, "measured", trained=training))
    generator = untrained_generator(training, seed=0)
    labels = draw_labels("data", [80, 80, 80], 60, seed=0)
    images = torch.cat([images for images, _ in generate(generator, 60, seed=0, labels=labels)])
    moments = Moments()
    moments.update(load_classifier(trained.store, trained.classifier).extract(images)[0])
    real = load_reference(trained.store, trained.reference, "classifier", "train", (MOMENTS,))
    expected = frechet_distance(real[MOMENTS], moments.gaussian())
    assert manifest.figures["fid_untrained"] == pytest.approx(expected, rel=1e-4)


def test_it_is_measured_once_per_architecture_and_dataset(trained, make_training, make_samples, monkeypatch):
    drawn = []
    original = untrained.generate

    def counted(generator, count, **options):
        drawn.append(options["labels"])
        return original(generator, count, **options)

    monkeypatch.setattr(untrained, "generate", counted)

    def fid_untrained(name, **values):
        training = make_training(trained.store, name, **values)
        samples = make_samples(trained.store, name, trained=training)
        return evaluate(trained, samples).figures["fid_untrained"]

    wide = {"architecture": {"width": 5}}
    first = fid_untrained("first", **wide)
    assert len(drawn) == 1
    assert torch.equal(drawn[0], draw_labels("data", [80, 80, 80], 60, seed=0))
    # What is trained otherwise is not another generator: the seed, the loss, the length.
    other = {"seed": 1, "objective": {"name": "hinge"}, "length": {"images": 7}, "batch_size": 9}
    assert fid_untrained("second", **wide, **other) == first
    assert len(drawn) == 1
    assert fid_untrained("third", **wide, latent={"size": 7}) != first
    assert len(drawn) == 2
    made = [name for name in trained.store.list_names("untrained") if name.startswith("halves-")]
    assert len(made) >= 2


def test_a_damaged_artefact_of_it_is_made_anew(trained, make_training, make_samples):
    training = make_training(trained.store, "mended", architecture={"width": 6})
    samples = make_samples(trained.store, "mended", trained=training)
    first = evaluate(trained, samples)
    step = steps.untrained(trained.dataset, training, trained.reference, trained.classifier, 60)
    place = f"{step.asset}/{step.partition}/{step.fingerprint}/manifest.json"
    trained.store.write_atomically(place, b"half a mani")
    again = evaluate(trained, samples, force=True)
    assert again.figures == first.figures
    assert step.reuse(trained.store)


# --- manifests that were edited ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "edit",
    [
        lambda details: details.pop("extractors"),
        lambda details: details.update(extractors=["classifier"]),
        lambda details: details["extractors"]["classifier"].pop("floor"),
        lambda details: details["extractors"]["classifier"]["splits"]["train"].pop("file"),
        lambda details: details.pop("real_hash"),
    ],
)
def test_an_edited_reference_is_named_with_its_remedy(trained, make_samples, edit):
    edited = trained.reference.model_copy(deep=True)
    edit(edited.details)
    samples = make_samples(trained.store, "edited", trained=None)
    arguments = (trained.store, trained.dataset, samples, edited, trained.classifier)
    with pytest.raises(DamagedError, match="reference_statistics/halves cannot be read.*halves --force"):
        evaluate_samples(*arguments, force=True)


@pytest.mark.parametrize("edit", [{"channels": "one"}, {"image_size": None}, {}])
def test_an_edited_training_is_named_with_its_remedy(make_training, tmp_path, edit):
    training = make_training(Store(tmp_path)).model_copy(deep=True)
    training.details = {"channels": 1, "image_size": 16, **edit} if edit else {}
    with pytest.raises(DamagedError, match="trained_gan/gan cannot be read.*train gan --force"):
        untrained_generator(training, 0)


# --- how many samples -------------------------------------------------------------------------------------


def test_the_default_number_of_samples_follows_the_dataset(make_dataset, make_shards, tmp_path):
    dataset = make_dataset(samples=None)
    shards = make_shards(Store(tmp_path), dataset)
    assert steps.sample_count(dataset, shards) == 240
    large = shards.model_copy(deep=True)
    large.details["splits"]["train"]["images"] = 3_000_000
    assert steps.sample_count(dataset, large) == 10_000
    assert steps.sample_count(make_dataset(samples=50_000), shards) == 50_000
    # A number that is given is the step it always was; the default is the step with that number.
    given = steps.reference_statistics(make_dataset(samples=240), shards, shards_classifier())
    assert steps.reference_statistics(dataset, shards, shards_classifier()).fingerprint == given.fingerprint


def shards_classifier():
    entry = FileEntry(path="x", size=1, sha256="0" * 64)
    values = {"asset": "classifier", "partition": "halves", "fingerprint": "0" * 64, "code_version": "1"}
    return Manifest(**values, config={}, inputs={}, files={CLASSIFIER_FILE: entry})


# --- paths ------------------------------------------------------------------------------------------------


def write_folder(folder, images):
    folder.mkdir(parents=True)
    for index, image in enumerate(images):
        (folder / f"{index:04d}.png").write_bytes(encode_png(image.numpy()))
    return str(folder)


@pytest.fixture(scope="module")
def places(trained, evaluation, tmp_path_factory):
    """The same real and generated images as folder, zip, and WebDataset tars."""
    folder = tmp_path_factory.mktemp("places")
    real = load_resident(trained.store, trained.shards, "test").images
    fake = decoded(trained.store, evaluation[0])
    found = {"folder": (write_folder(folder / "real", real), write_folder(folder / "fake", fake))}
    for kind in ("real", "fake"):
        with zipfile.ZipFile(folder / f"{kind}.zip", "w") as archive:
            for path in sorted((folder / kind).iterdir()):
                archive.write(path, f"{kind}/{path.name}")
    found["zip"] = (str(folder / "real.zip"), str(folder / "fake.zip"))
    shards = folder / "shards"
    shards.mkdir()
    for name in trained.shards.details["splits"]["test"]["shards"]:
        (shards / name).write_bytes(trained.store.local(trained.shards, name).read_bytes())
    found["shards"] = (str(shards), str(trained.store.local(evaluation[0], "samples-000000.tar")))
    return found


@pytest.mark.parametrize("kind", ["folder", "zip", "shards"])
def test_folders_archives_and_shards_give_the_figures_of_the_asset(trained, evaluation, places, kind):
    real, fake = places[kind]
    result = evaluate_paths(
        real,
        fake,
        extractor="classifier",
        metrics=["fid", "kid", "is"],
        store=trained.store,
        classifier=trained.classifier,
    )
    figures = evaluation[1].figures
    assert result["fid"] == pytest.approx(figures["fid_test"], rel=1e-6)
    assert result["kid"] == pytest.approx(figures["kid_test"], rel=1e-6)
    assert result["inception_score"] == pytest.approx(figures["inception_score"], rel=1e-6)
    assert (result["real_images"], result["fake_images"]) == (90, 60)
    assert "n=60 vs " in result["protocol"] and result["protocol"] == result["protocols"]["fid"]
    assert json.loads(json.dumps(result)) == result


def test_the_real_content_is_part_of_the_protocol(trained, places):
    real, fake = places["folder"]

    def protocol(place):
        return evaluate_paths(place, fake, **options)["protocol"].split("@")[1]

    path = str(trained.store.local(trained.classifier, CLASSIFIER_FILE))
    options = {"extractor": "classifier", "metrics": ["fid"], "classifier": path, "store": trained.store}
    assert protocol(real) == protocol(places["zip"][0]) != protocol(fake)


def test_images_of_several_sizes_need_an_image_size(trained, tmp_path):
    generator = np.random.RandomState(0)
    place = tmp_path / "mixed"
    place.mkdir()
    for index in range(12):
        array = generator.randint(0, 256, (20 + index, 24, 3)).astype(np.uint8)
        Image.fromarray(array).save(place / f"{index:02d}.jpg")
    options = {
        "extractor": "classifier",
        "metrics": ["fid"],
        "store": trained.store,
        "classifier": trained.classifier,
    }
    with pytest.raises(EvaluationError, match="01.jpg is 24x21, but 00.jpg is 24x20.*image_size"):
        evaluate_paths(str(place), str(place), **options)
    result = evaluate_paths(str(place), str(place), image_size=16, **options)
    assert result["fid"] == pytest.approx(0, abs=1e-6)
    assert "resize=16-bicubic-crop" in result["protocol"]


def test_wrong_requests_are_refused_before_any_work(trained, places, tmp_path):
    real, fake = places["folder"]
    fine = {"extractor": "classifier", "metrics": ["fid"], "store": trained.store}
    with pytest.raises(EvaluationError, match="needs a trained classifier, and none is named: name"):
        evaluate_paths(real, fake, **fine)
    with pytest.raises(
        EvaluationError, match="no extractor `vgg`: choose from classifier, dinov2, inception"
    ):
        evaluate_paths(real, fake, **(fine | {"extractor": "vgg"}))
    with pytest.raises(EvaluationError, match="no metric `ppl`"):
        evaluate_paths(real, fake, **(fine | {"metrics": ["ppl"]}))
    with pytest.raises(EvaluationError, match="class accuracy needs the classes"):
        evaluate_paths(real, fake, **(fine | {"metrics": ["accuracy"]}))
    with pytest.raises(SourceError, match="nowhere does not exist"):
        evaluate_paths(str(tmp_path / "nowhere"), fake, **fine)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(EvaluationError, match="empty holds no images"):
        evaluate_paths(real, str(empty), **fine)
    few = write_folder(tmp_path / "few", torch.zeros(9, 1, 16, 16, dtype=torch.uint8))
    with pytest.raises(EvaluationError, match="few holds 9 images, but fid, is needs at least 10"):
        evaluate_paths(real, few, **(fine | {"metrics": ["fid", "is"]}))


def test_an_image_that_does_not_decode_is_named(trained, places, tmp_path):
    place = tmp_path / "damaged"
    write_folder(place, torch.zeros(3, 1, 16, 16, dtype=torch.uint8))
    (place / "0001.png").write_bytes(b"no picture")
    with pytest.raises(EvaluationError, match="damaged: image 0001.png does not decode .*or remove it"):
        evaluate_paths(
            places["folder"][0],
            str(place),
            extractor="classifier",
            metrics=["fid"],
            store=trained.store,
            classifier=trained.classifier,
        )


@pytest.mark.slow  # the network, its features and the metrics are compared one by one in the quick tests
def test_inception_gives_what_torch_fidelity_gives_from_images_to_numbers(inception_file, places, tmp_path):
    generator = np.random.RandomState(1)
    arrays = torch.from_numpy(generator.randint(0, 256, (24, 3, 32, 32)).astype(np.uint8))
    real, fake = (
        write_folder(tmp_path / "real", arrays[:12]),
        write_folder(tmp_path / "fake", arrays[12:] // 2),
    )
    result = evaluate_paths(
        real, fake, extractor="inception", metrics=["fid", "kid", "is"], weights=str(inception_file)
    )
    theirs = torch_fidelity.calculate_metrics(
        input1=fake,
        input2=real,
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(inception_file),
        cuda=False,
        fid=True,
        kid=True,
        isc=True,
        kid_subset_size=12,
        cache=False,
        verbose=False,
    )
    assert result["fid"] == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)
    assert result["kid"] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    assert result["inception_score"] == pytest.approx(theirs["inception_score_mean"], rel=1e-6)
    assert "resize=299-tf1-bilinear" in result["protocol"]
