"""The classifier of stacked digits, on images whose digits are known."""

import numpy as np
import pytest
import torch

from gan_core import steps
from gan_core.config import Dataset
from gan_core.data.raw import collect_raw_images
from gan_core.data.shards import write_image_shards
from gan_core.evaluation.classifier import load_classifier, train_classifier
from gan_core.evaluation.classifier.network import ClassifierNetwork
from gan_core.evaluation.classifier.stacked import StackedNetwork, single_digits
from gan_core.evaluation.classifier.training import LabelledImages
from gan_core.store import Store


def test_the_logits_are_the_joint_log_probabilities_of_the_channels():
    torch.manual_seed(0)
    digits = ClassifierNetwork(1, 16, 10).eval()
    digits.whitening.fit(torch.randint(0, 256, (20, 1, 16, 16), dtype=torch.uint8))
    images = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    with torch.inference_mode():
        features, logits = StackedNetwork(digits).eval()(images)
        alone = [digits(images[:, c : c + 1].contiguous()) for c in range(3)]
    assert features.shape == (5, 384) and logits.shape == (5, 1000)
    torch.testing.assert_close(features, torch.cat([of for of, _ in alone], dim=1))
    first, second, third = (of.softmax(dim=1).double().numpy() for _, of in alone)
    expected = np.einsum("ba,bc,bd->bacd", first, second, third).reshape(5, 1000)
    np.testing.assert_allclose(logits.exp().numpy(), expected, rtol=1e-4)
    np.testing.assert_allclose(logits.exp().sum(dim=1), 1, rtol=1e-5)


def test_single_digits_are_each_different_channel_once():
    digits = torch.arange(10, dtype=torch.uint8)[:, None, None].expand(10, 4, 4)
    triples = torch.tensor([[1, 2, 3], [3, 2, 9], [0, 0, 1]])
    stacked = LabelledImages(digits[triples], (triples * torch.tensor([100, 10, 1])).sum(dim=1))
    single = single_digits(stacked, 10)
    assert single.images.shape == (5, 1, 4, 4)
    assert single.labels.tolist() == [1, 2, 3, 9, 0]
    assert single.images[:, 0, 0, 0].tolist() == [1, 2, 3, 9, 0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(steps.CLASSIFIER_TRAINING, "max_epochs", 5)
        store = Store(tmp_path_factory.mktemp("stacked"))
        stack = {"of": "digits", "images": 600, "test_images": 300}
        source = {"kind": "stacked", "stack": stack}
        values = {"name": "s", "source": source, "image_size": 16, "channels": 3, "test_fraction": 0.2}
        dataset = Dataset.model_validate(values)
        raw = collect_raw_images(store, dataset, emit=lambda line: None)
        shards = write_image_shards(store, dataset, raw, workers=1, emit=lambda line: None)
        yield store, train_classifier(store, dataset, shards, emit=lambda line: None)


def test_digits_are_learnt_and_the_image_is_right_where_all_three_are(trained):
    store, manifest = trained
    details = manifest.details
    assert details["task"] == "stacked" and details["classes"] == list("0123456789")
    assert details["feature_dim"] == 384 and details["channels"] == 3
    confusion = np.array(details["confusion_test"])
    assert confusion.shape == (10, 10)
    of_digits = confusion.trace() / confusion.sum()
    assert of_digits > 0.9
    # Three digits are right about as often as one is, cubed.
    assert manifest.figures["accuracy_test"] == pytest.approx(of_digits**3, abs=0.05)
    assert len(manifest.to_json()) < 20_000


def test_the_extractor_knows_a_thousand_classes(trained):
    store, manifest = trained
    extractor = load_classifier(store, manifest)
    assert extractor.n_classes == 1000 and extractor.classes[407] == "407"
    assert extractor.channels == 3 and extractor.feature_dim == 384
    features, logits = extractor.extract(torch.zeros(2, 3, 16, 16, dtype=torch.uint8))
    assert features.shape == (2, 384) and logits.shape == (2, 1000)
