import pytest
import torch

from gan_core import steps
from gan_core.data.loading import load_resident
from gan_core.errors import EvaluationError
from gan_core.evaluation.classifier import CLASSIFIER_FILE, artefact, load_classifier, train_classifier
from gan_core.store import Store
from tests.few_images import train_briefly


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
    assert details["mirror_check"] is None  # 240 train images are too few to hold any back
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
    make_dataset, make_shards, tmp_path, monkeypatch
):
    train_briefly(monkeypatch)
    dataset, store, another = make_dataset(), Store(tmp_path / "store"), Store(tmp_path / "another")
    first = train_classifier(another, dataset, make_shards(another, dataset))
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    again = train_classifier(store, dataset, make_shards(store, dataset))
    assert torch.equal(torch.rand(3), expected), "training must leave the global random state alone"
    assert again.fingerprint == first.fingerprint
    assert again.files[CLASSIFIER_FILE].sha256 == first.files[CLASSIFIER_FILE].sha256
    assert train_classifier(store, dataset, store.current("image_shards", "halves")).reused
    other = make_dataset(seed=1)
    changed = train_classifier(store, other, store.current("image_shards", "halves"))
    assert changed.files[CLASSIFIER_FILE].sha256 != again.files[CLASSIFIER_FILE].sha256


def test_unlabelled_images_are_learnt_by_their_rotation(make_dataset, make_shards, tmp_path, monkeypatch):
    monkeypatch.setitem(steps.CLASSIFIER_TRAINING, "max_epochs", 4)
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


@pytest.mark.parametrize("size, channels", [(64, 3), (100, 1), (192, 3)])
def test_large_images_are_cut_into_patches(size, channels, make_dataset, make_shards, tmp_path, monkeypatch):
    train_briefly(monkeypatch)
    store, dataset = Store(tmp_path), make_dataset(splits=("train",))
    shards = make_shards(store, dataset, counts={"train": 24}, size=size, channels=channels)
    manifest = train_classifier(store, dataset, shards)
    images = load_resident(store, shards, "train").images
    assert images.shape == (24, channels, size, size)
    assert load_classifier(store, manifest).extract(images)[0].shape == (24, 128)


def test_a_split_that_is_too_large_is_thinned_evenly(trained, monkeypatch):
    monkeypatch.setattr(artefact, "RESIDENT_BYTES", 240 * 256 // 4)
    lines = []
    split = artefact._load(trained.store, trained.shards, "train", lines.append)
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


def test_the_accuracy_of_a_large_split_is_that_of_images_spread_evenly(trained, monkeypatch):
    monkeypatch.setattr(artefact, "MAX_TESTED", 45)
    seen = []

    def recognised(network, task, images):
        seen.append(images)
        return images.labels, images.labels

    monkeypatch.setattr(artefact, "recognised_classes", recognised)
    split = artefact._load(trained.store, trained.shards, "test", print)
    description = artefact._describe(trained.dataset, trained.shards)
    assert artefact._confusion(None, description, split).tolist() == [[15, 0, 0], [0, 15, 0], [0, 0, 15]]
    assert torch.equal(seen[0].images, split.images[::2])
