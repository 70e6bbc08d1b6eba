import functools

import lpips
import numpy as np
import pytest
import torch

from gan_core.errors import EvaluationError
from gan_core.evaluation.evaluate import evaluate_samples
from gan_core.evaluation.evaluate_paths import evaluate_paths
from gan_core.evaluation.metrics import METRICS, Comparison, ImageSet
from gan_core.evaluation.metrics.diversity import lpips as module
from gan_core.evaluation.metrics.diversity.lpips import REAL_DISTANCES, REAL_THUMBNAILS, distances, network
from gan_core.evaluation.reference import compute_reference_statistics
from gan_core.evaluation.statistics.thumbnails import Thumbnails, disjoint_pairs
from tests.gan_core.evaluation.conftest import draw

METRIC = METRICS["lpips"]


# torchvision's names and shapes of AlexNet's convolutions.
LAYERS = {
    0: (64, 3, 11, 11),
    3: (192, 64, 5, 5),
    6: (384, 192, 3, 3),
    8: (256, 384, 3, 3),
    10: (256, 256, 3, 3),
}


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory):
    """A file of random weights as torchvision has them, without the layers that nobody reads."""
    generator, state = torch.Generator().manual_seed(0), {}
    for number, shape in LAYERS.items():
        scale = (2 / np.prod(shape[1:])) ** 0.5
        state[f"features.{number}.weight"] = torch.randn(shape, generator=generator) * scale
        state[f"features.{number}.bias"] = torch.randn(shape[0], generator=generator) * 0.1
    path = tmp_path_factory.mktemp("alexnet") / "alexnet.pth"
    torch.save(state, path)
    return path


@pytest.fixture
def weights(alexnet, monkeypatch):
    monkeypatch.setenv("GAN_LPIPS_WEIGHTS", str(alexnet))
    return alexnet


def images(count, channels=3, side=64, seed=0):
    numbers = np.random.RandomState(seed)
    coarse = torch.from_numpy(numbers.randint(0, 256, (count, channels, 8, 8))).float()
    return torch.nn.functional.interpolate(coarse, side, mode="bilinear").byte()


@functools.cache
def judge_of(path):
    """The package's own network, given the same weights through its own attributes."""
    judge = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    features = {name.removeprefix("features."): value for name, value in torch.load(path).items()}
    for part in (judge.net.slice1, judge.net.slice2, judge.net.slice3, judge.net.slice4, judge.net.slice5):
        for name, layer in part.named_children():
            if f"{name}.weight" in features:
                layer.weight.data, layer.bias.data = features[f"{name}.weight"], features[f"{name}.bias"]
    return judge


def theirs(path, first, second):
    with torch.no_grad():
        return judge_of(path)(first.float() / 127.5 - 1, second.float() / 127.5 - 1).flatten().numpy()


def side_of(rows):
    image_set = ImageSet(len(rows), {"thumbnails": Thumbnails(rows), "real_thumbnails": Thumbnails(rows)})
    return image_set, image_set.prepared((REAL_THUMBNAILS, REAL_DISTANCES))


def test_it_agrees_with_the_package_by_the_same_weights(weights):
    first, second = images(70, seed=1), images(70, seed=2)
    found = distances(first, second, network(weights))
    assert found == pytest.approx(theirs(weights, first, second), rel=1e-5, abs=1e-8)
    assert len(set(found)) == 70 and (found > 0).all()
    assert distances(first, first, network(weights)) == pytest.approx(np.zeros(70))


def test_grey_and_small_images_are_repeated_and_enlarged(weights):
    first, second = images(4, 1, 64, seed=1), images(4, 1, 64, seed=2)
    expected = theirs(weights, first.expand(-1, 3, -1, -1), second.expand(-1, 3, -1, -1))
    assert distances(first, second, network(weights)) == pytest.approx(expected, rel=1e-5)
    small = distances(images(4, 1, 16, seed=1), images(4, 1, 16, seed=2), network(weights))
    assert (small > 0).all() and np.isfinite(small).all()


def test_the_figure_is_the_mean_over_pairs_beside_that_of_real_images(weights):
    generated, real = images(41, seed=3), images(30, seed=4)
    comparison = Comparison(side_of(generated)[0], side_of(real)[1], seed=5)
    pairs = disjoint_pairs(np.zeros(41, dtype=int), 5)
    expected = theirs(weights, generated[pairs[:, 0]], generated[pairs[:, 1]])
    found, (low, high) = METRIC.compute(comparison), METRIC.interval(comparison)
    assert found["lpips"] == pytest.approx(expected.mean(), rel=1e-5)
    assert low < found["lpips"] < high and found["lpips_real"] > 0
    assert METRIC.settings(comparison) == f"lpips=alex-{METRIC.identity()[2:14]} 20/15 pairs"
    repeated = Comparison(side_of(real[:1].expand(40, -1, -1, -1))[0], side_of(real)[1])
    assert METRIC.compute(repeated)["lpips"] == pytest.approx(0)


def test_missing_weights_are_refused_with_what_to_do(monkeypatch, tmp_path):
    monkeypatch.delenv("GAN_LPIPS_WEIGHTS", raising=False)
    monkeypatch.setattr(module, "hub_folder", lambda: tmp_path)
    message = r"alexnet-owt-7be5be79.pth is not there: download https://.* or set GAN_LPIPS_WEIGHTS"
    with pytest.raises(EvaluationError, match=f"{tmp_path}/checkpoints/{message}"):
        METRIC.identity()
    monkeypatch.setenv("GAN_LPIPS_WEIGHTS", str(tmp_path / "nothing.pth"))
    with pytest.raises(EvaluationError, match="nothing.pth is not there"):
        METRIC.identity()


def test_from_the_reference_to_the_evaluation(weights, trained, make_samples):
    evaluation = trained.dataset.evaluation.model_copy(update={"metrics": ("lpips",)})
    dataset = trained.dataset.model_copy(update={"name": "judged", "evaluation": evaluation})
    reference = compute_reference_statistics(trained.store, dataset, trained.shards, trained.classifier)
    samples = make_samples(trained.store, "judged")
    made = evaluate_samples(trained.store, dataset, samples, reference, trained.classifier)
    assert set(made.figures) == {"lpips", "lpips_low", "lpips_high", "lpips_real"}
    assert made.figures["lpips_low"] < made.figures["lpips"] < made.figures["lpips_high"]
    hundred_twenty = disjoint_pairs(np.zeros(240, dtype=int), 0)
    train = torch.from_numpy(draw(240, seed=0)[0])
    expected = distances(train[hundred_twenty[:, 0]], train[hundred_twenty[:, 1]], network(weights)).mean()
    assert made.figures["lpips_real"] == pytest.approx(expected, rel=1e-5)
    assert made.details["extractors"]["classifier"]["protocols"]["lpips"].endswith("30/120 pairs")


def test_without_weights_nothing_is_read(monkeypatch, tmp_path, trained, make_samples):
    monkeypatch.setenv("GAN_LPIPS_WEIGHTS", str(tmp_path / "nothing.pth"))
    with pytest.raises(EvaluationError, match="nothing.pth is not there: download"):
        evaluate_paths("no/folder", "no/other", metrics=["lpips"])
    evaluation = trained.dataset.evaluation.model_copy(update={"metrics": ("lpips",)})
    dataset = trained.dataset.model_copy(update={"name": "judged", "evaluation": evaluation})
    with pytest.raises(EvaluationError, match="nothing.pth is not there: download"):
        compute_reference_statistics(trained.store, dataset, trained.shards, trained.classifier)


def test_other_files_are_refused(alexnet, tmp_path):
    state = torch.load(alexnet)
    name = "features.3.weight"
    for number, weight in enumerate((torch.zeros(3, 3), state[name] * torch.nan)):
        wrong = state | {name: weight}
        path = tmp_path / f"{number}.pth"
        torch.save(wrong, path)
        with pytest.raises(EvaluationError, match="does not hold AlexNet's weights .* download https://"):
            network(path)
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(EvaluationError, match="does not hold AlexNet's weights"):
        network(tmp_path / "text.pth")


def test_other_weights_are_another_evaluation(weights, monkeypatch, tmp_path):
    before = METRIC.identity()
    other = tmp_path / "other.pth"
    torch.save({name: value + 0.1 for name, value in torch.load(weights).items()}, other)
    monkeypatch.setenv("GAN_LPIPS_WEIGHTS", str(other))
    assert METRIC.identity() != before and METRIC.identity().startswith(f"{METRIC.version} ")
