import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gan_core.errors import EvaluationError
from gan_core.evaluation.classifier.network import ClassifierNetwork, Whitening, read_classifier
from gan_core.evaluation.extractors.classifier import CLASSIFIER_FILE, ClassifierExtractor


def smooth_images(count, channels, size, seed=0):
    """Neighbouring pixels and channels go together, as in photographs."""
    noise = torch.from_numpy(np.random.RandomState(seed).randn(count, 1, size, size)).float()
    smooth = torch.nn.functional.avg_pool2d(noise, 5, stride=1, padding=2, count_include_pad=False) * 200
    own = torch.from_numpy(np.random.RandomState(seed + 1).randn(count, channels, size, size)).float() * 20
    return (smooth + own + 128).clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize("channels, size, kernel", [(1, 16, 2), (3, 32, 2), (3, 64, 2), (3, 128, 4)])
def test_the_first_layer_whitens_the_patches_that_it_was_fitted_on(channels, size, kernel):
    images = smooth_images(60, channels, size)
    whitening = Whitening(channels, size)
    whitening.fit(images)
    outputs = whitening(images)
    directions = channels * kernel**2
    assert whitening.kernel == kernel and outputs.shape[1] == whitening.outputs == 2 * directions
    # Both signs; then, away from the padded border, the identity but for directions of little variance.
    assert torch.equal(outputs[:, directions:], -outputs[:, :directions])
    inner = outputs[:, :directions, whitening.padding :, whitening.padding :]
    covariance = np.cov(inner.transpose(0, 1).flatten(1).double().numpy())
    patches = torch.nn.functional.unfold(images.double() / 255, kernel, stride=whitening.stride)
    variances = np.linalg.eigvalsh(np.cov(patches.transpose(0, 1).flatten(1).numpy()))
    expected = np.diag(variances / (variances + Whitening.EPSILON))
    np.testing.assert_allclose(covariance, expected, atol=0.02)


@pytest.mark.parametrize(
    "size, positions", [(8, 8), (17, 17), (32, 32), (47, 47), (48, 24), (100, 34), (256, 32)]
)
def test_every_pixel_is_in_some_patch(size, positions):
    whitening = Whitening(1, size)
    torch.nn.init.ones_(whitening.directions)
    image = torch.zeros(1, 1, size, size, dtype=torch.uint8)
    assert whitening(image).shape[2:] == (positions, positions)
    for place in (0, size // 2, size - 1):
        one = image.clone()
        one[0, 0, place, size - 1 - place] = 255
        assert whitening(one)[:, 0].max() == pytest.approx(1.0)


def test_images_that_are_all_alike_have_finite_features():
    network = ClassifierNetwork(3, 32, 2).eval()
    grey = torch.full((2, 3, 32, 32), 128, dtype=torch.uint8)
    network.whitening.fit(grey)
    assert network(grey)[0].isfinite().all()


@pytest.mark.parametrize("size", [8, 16, 33, 48, 200])
def test_features_are_128_numbers_at_any_size(size):
    features, logits = ClassifierNetwork(3, size, 200).eval()(smooth_images(2, 3, size))
    assert features.shape == (2, 128) and features.dtype == torch.float32 and logits.shape == (2, 200)


@pytest.fixture
def damaged(trained, tmp_path):
    """The path of a copy of the trained classifier, one tensor of which `damage` has changed."""
    path = trained.store.local(trained.classifier, CLASSIFIER_FILE)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()

    def save(name, damage):
        weights = load_file(path)
        damage(weights[name])
        save_file(weights, tmp_path / "damaged.safetensors", metadata=metadata)
        return tmp_path / "damaged.safetensors"

    return save


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["head.bias", "body.2.running_mean"])
def test_weights_that_are_not_finite_are_refused(damaged, name, value):
    path = damaged(name, lambda tensor: tensor[:1].fill_(value))
    with pytest.raises(
        EvaluationError, match=rf"damaged.safetensors has NaN or infinite weights in `{name}`"
    ):
        read_classifier(path)


def test_a_first_layer_of_zeros_is_refused(damaged):
    path = damaged("whitening.directions", lambda tensor: tensor.zero_())
    with pytest.raises(EvaluationError, match="first layer of .*damaged.safetensors is all zero"):
        ClassifierExtractor(path)


def test_the_features_of_real_images_span_their_space(trained):
    """No dimension is dead, and no few of them hold all variance."""
    extractor = ClassifierExtractor(trained.store.local(trained.classifier, CLASSIFIER_FILE))
    features = extractor.extract(smooth_images(500, 1, 16))[0].double()
    assert features.std(dim=0).min() > 1e-3
    assert torch.linalg.matrix_rank(torch.cov(features.T)) == 128
