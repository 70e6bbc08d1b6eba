import pytest
import torch
from sklearn.datasets import load_digits

from gan_core.data.loading import load_resident
from gan_core.errors import EvaluationError
from gan_core.evaluation import classifier as module
from gan_core.evaluation.classifier import CLASSIFIER_FILE, LabelledImages, load_classifier, train_classifier
from gan_core.evaluation.classifier_network import ClassifierDescription
from gan_core.store import Store


def test_the_classifier_learns_the_labels_and_says_what_it_is(trained):
    manifest = trained.classifier
    assert manifest.inputs == {"image_shards": trained.shards.fingerprint}
    assert list(manifest.files) == [CLASSIFIER_FILE]
    assert manifest.figures["accuracy_train"] > 0.95 and manifest.figures["accuracy_test"] > 0.95
    assert manifest.figures["seconds"] > 0
    details = manifest.details
    assert (details["task"], details["classes"]) == ("labels", ["left", "right", "top"])
    assert (details["image_size"], details["channels"], details["feature_dim"]) == (16, 1, 128)
    confusion = torch.tensor(details["confusion_test"])
    assert confusion.sum(dim=1).tolist() == [30, 30, 30]
    assert manifest.figures["accuracy_test"] == pytest.approx(float(confusion.trace()) / 90)


def test_the_loaded_extractor_gives_the_accuracy_of_the_manifest(trained):
    extractor = load_classifier(trained.store, trained.classifier)
    test = load_resident(trained.store, trained.shards, "test")
    features, logits = extractor.extract(test.images)
    assert features.shape == (90, 128) and features.dtype == torch.float32
    assert logits.shape == (90, 3) and extractor.n_classes == 3
    accuracy = (logits.argmax(dim=1) == test.labels).float().mean()
    assert float(accuracy) == pytest.approx(trained.classifier.figures["accuracy_test"])
    assert extractor.fingerprint == trained.classifier.files[CLASSIFIER_FILE].sha256


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    trained, make_dataset, make_shards, tmp_path
):
    store = Store(tmp_path)
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    again = train_classifier(store, trained.dataset, make_shards(store, trained.dataset))
    assert torch.equal(torch.rand(3), expected), "training must leave the global random state alone"
    assert again.fingerprint == trained.classifier.fingerprint
    assert again.files[CLASSIFIER_FILE].sha256 == trained.classifier.files[CLASSIFIER_FILE].sha256
    assert train_classifier(store, trained.dataset, store.current("image_shards", "halves")).reused
    other = make_dataset(seed=1)
    changed = train_classifier(store, other, store.current("image_shards", "halves"))
    assert changed.files[CLASSIFIER_FILE].sha256 != again.files[CLASSIFIER_FILE].sha256


def test_unlabelled_images_are_learnt_by_their_rotation(make_dataset, make_shards, tmp_path):
    store, dataset = Store(tmp_path), make_dataset(labelled=False, splits=("train",))
    # Every image has its bright half on top or aside, so a rotation shows for a third of them only.
    shards = make_shards(store, dataset)
    manifest = train_classifier(store, dataset, shards)
    assert manifest.details["task"] == "rotation"
    assert manifest.details["classes"] == ["0", "90", "180", "270"]
    assert manifest.figures["accuracy_test"] is None and manifest.details["confusion_test"] is None
    assert manifest.figures["accuracy_train"] > 0.3
    extractor = load_classifier(store, manifest)
    images = load_resident(store, shards, "train").images[:1]
    features, logits = extractor.extract(images)
    assert features.shape == (1, 128) and logits is None
    assert extractor.n_classes is None and extractor.classes is None


def test_rotations_of_images_with_an_up_and_a_down_are_told():
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(200, 1, 16, 16, generator=generator) * 60
    images = (noise + torch.linspace(0, 180, 16)[:, None]).to(torch.uint8)
    description = ClassifierDescription("rotation", module.ROTATIONS, 16, 1)
    network = module._fit(description, LabelledImages(images[:150], None), 0, print)
    confusion = module._confusion(network, description, LabelledImages(images[150:], None))
    assert confusion.sum(dim=1).tolist() == [50] * 4
    assert module._accuracy(confusion) > 0.99


@pytest.mark.parametrize("size, channels", [(64, 3), (128, 1)])
def test_large_images_pass_through_the_strided_stem(size, channels, make_dataset, make_shards, tmp_path):
    store, dataset = Store(tmp_path), make_dataset(splits=("train",))
    shards = make_shards(store, dataset, counts={"train": 24}, size=size, channels=channels)
    manifest = train_classifier(store, dataset, shards)
    images = load_resident(store, shards, "train").images
    assert images.shape == (24, channels, size, size)
    assert load_classifier(store, manifest).extract(images)[0].shape == (24, 128)


def test_a_split_that_is_too_large_is_thinned_evenly(trained, monkeypatch):
    monkeypatch.setattr(module, "RESIDENT_BYTES", 240 * 256 // 4)
    lines = []
    split = module._load(trained.store, trained.shards, "train", lines.append)
    whole = load_resident(trained.store, trained.shards, "train")
    assert torch.equal(split.images, whole.images[::4]) and torch.equal(split.labels, whole.labels[::4])
    assert "every 4th of 240" in lines[0]


def test_too_few_images_and_classes_are_refused(trained, make_dataset, make_shards, tmp_path):
    store, dataset = Store(tmp_path), make_dataset()
    shards = make_shards(store, dataset, counts={"train": 2, "test": 2})
    shards.details["splits"]["train"]["images"] = 1
    with pytest.raises(EvaluationError, match="halves has fewer than 2 train images"):
        train_classifier(store, dataset, shards)
    shards.details["splits"]["train"]["images"] = 2
    shards.details["classes"] = ["left"]
    with pytest.raises(EvaluationError, match="1 classes, but a classifier needs 2: set `classes: null`"):
        train_classifier(store, dataset, shards)


def test_real_digits_are_recognised():
    bundled = load_digits()
    images = torch.tensor(bundled.images * (255 / 16)).round().to(torch.uint8)[:, None]
    images = images.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    labels = torch.tensor(bundled.target)
    description = ClassifierDescription("labels", tuple("0123456789"), 16, 1)
    network = module._fit(description, LabelledImages(images[:1437], labels[:1437]), 0, print)
    # The last 360 are by writers that the train images do not show, so this is harder than a random split.
    test = LabelledImages(images[1437:], labels[1437:])
    assert module._accuracy(module._confusion(network, description, test)) >= 0.95
