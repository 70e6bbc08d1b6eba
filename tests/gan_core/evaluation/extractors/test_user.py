import hashlib

import pytest
import torch
import torchvision
from torch import nn

from gan_core.errors import EvaluationError
from gan_core.evaluation.evaluate_paths import evaluate_paths
from gan_core.evaluation.extractors import ExtractorSources
from gan_core.evaluation.extractors.base import normalised, resized
from gan_core.evaluation.extractors.user import Description, UserExtractor
from gan_core.store import sha256_of
from tests.gan_core.evaluation.conftest import draw, write_images


@pytest.fixture(autouse=True)
def _no_weights_of_the_environment(monkeypatch):
    monkeypatch.delenv("GAN_USER_WEIGHTS", raising=False)


class Pooled(nn.Module):
    """Features (B, 6), and logits (B, 4) where asked for."""

    def __init__(self, logits: bool):
        super().__init__()
        self.logits = logits
        self.layer = nn.Conv2d(3, 6, 3)
        self.head = nn.Linear(6, 4)

    def forward(self, images):
        features = self.layer(images).mean(dim=(2, 3))
        if self.logits:
            return features, self.head(features)
        return features


class Maps(nn.Module):
    def forward(self, images):
        return images


@pytest.fixture
def script(tmp_path):
    def save(network, name="net.pt", side=32):
        torch.manual_seed(0)
        path = tmp_path / name
        torch.jit.trace(network, torch.zeros(2, 3, side, side)).save(str(path))
        return path

    return save


def opened(text):
    return UserExtractor.open(ExtractorSources(weights={"user": str(text)}))


IMAGES = torch.randint(0, 256, (3, 1, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("logits", [True, False])
def test_a_script_gives_features_and_logits(script, logits):
    network = Pooled(logits)
    path = script(network)
    extractor = opened(path)
    assert (extractor.feature_dim, extractor.n_classes) == (6, 4 if logits else None)
    assert extractor.fingerprint == sha256_of(path) and extractor.resize == "none"
    features, found = extractor.extract(IMAGES)
    colour = IMAGES.repeat(1, 3, 1, 1).float() / 255
    expected = network(colour)
    torch.testing.assert_close(features, (expected[0] if logits else expected).detach())
    if logits:
        torch.testing.assert_close(found, expected[1].detach())


def test_images_come_as_the_description_says(script):
    network = Pooled(False)
    path = script(network)
    extractor = opened(f"{path}#size=24&values=symmetric")
    given = normalised(resized(IMAGES.repeat(1, 3, 1, 1), 24), "symmetric")
    torch.testing.assert_close(extractor.extract(IMAGES)[0], network(given).detach())
    assert extractor.resize == "24-bicubic-antialias,symmetric-values"
    # How images are given is part of what tells extractors apart.
    fingerprints = {
        UserExtractor.fingerprint_of(ExtractorSources(weights={"user": text}))
        for text in (f"{path}", f"{path}#size=24&values=symmetric", f"{path}#size=24", f"{path}#values=bytes")
    }
    assert len(fingerprints) == 4 and extractor.fingerprint in fingerprints
    assert opened(f"{path}#values=unit").fingerprint == sha256_of(path)


def test_a_network_of_torchvision_gives_what_its_last_layer_gets_and_gives(tmp_path):
    torch.manual_seed(0)
    network = torchvision.models.squeezenet1_1(num_classes=1000)  # ends in a convolution
    path = tmp_path / "state.pth"
    torch.save(network.state_dict(), path)
    with pytest.raises(EvaluationError, match="squeezenet1_1 has no linear layer at its end"):
        opened(f"torchvision:squeezenet1_1:{path}")
    network = torchvision.models.shufflenet_v2_x0_5().eval()
    torch.save(network.state_dict(), path)
    extractor = opened(f"torchvision:shufflenet_v2_x0_5:{path}#size=64")
    features, logits = extractor.extract(IMAGES)
    given = normalised(resized(IMAGES.repeat(1, 3, 1, 1), 64), "imagenet")
    with torch.inference_mode():
        torch.testing.assert_close(logits, network(given))
        torch.testing.assert_close(network.fc(features), logits)
    assert (extractor.feature_dim, extractor.n_classes) == (1024, 1000)
    assert extractor.libraries == ("torchvision",)
    with pytest.raises(EvaluationError, match="state.pth is no state dict of torchvision's resnet18"):
        opened(f"torchvision:resnet18:{path}")
    with pytest.raises(EvaluationError, match="torchvision does not build `resnet19`"):
        opened(f"torchvision:resnet19:{path}")


def test_what_is_no_network_is_refused(script, tmp_path, monkeypatch):
    with pytest.raises(EvaluationError, match="needs a network, and none is named: set .*GAN_USER_WEIGHTS"):
        UserExtractor.open(ExtractorSources())
    for text in (tmp_path / "nowhere.pt", "https://example.org/net.pt", "torchvision:resnet18"):
        with pytest.raises(EvaluationError, match="is no file of this machine: set"):
            opened(text)
    path = tmp_path / "text.pt"
    path.write_text("no network")
    with pytest.raises(EvaluationError, match="text.pt is no TorchScript file"):
        opened(path)
    for options in ("size=0", "size=x", "sides=3"):
        with pytest.raises(EvaluationError, match="behind # come size=SIDE and values="):
            opened(f"{path}#{options}")
    with pytest.raises(EvaluationError, match="there are no values `grey`: choose unit, "):
        opened(f"{path}#values=grey")
    with pytest.raises(EvaluationError, match=r"gives features \(2, 3, 299, 299\) for 2 images.*let it pool"):
        opened(script(Maps()))
    monkeypatch.setenv("GAN_USER_WEIGHTS", str(path))
    assert Description.parse(str(path)).fingerprint == hashlib.sha256(b"no network").hexdigest()
    assert UserExtractor.fingerprint_of(ExtractorSources()) == hashlib.sha256(b"no network").hexdigest()


def test_a_network_that_takes_one_size_only_is_tried_with_it(script):
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3 * 40 * 40, 5)

        def forward(self, images):
            return self.layer(images.flatten(1))

    path = script(Fixed(), side=40)
    with pytest.raises(EvaluationError, match="fails on images of .*net.pt#size=224"):
        opened(path)
    assert opened(f"{path}#size=40").feature_dim == 5


class Broken(nn.Module):
    """Features that are the same for all images, or not finite for bright ones."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, images):
        bright = images.amax(dim=(2, 3))
        if self.how == "zeroed":
            return bright * 0
        return torch.where(bright > 0.9, torch.tensor(float(self.how)), bright)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("zeroed", "features by user are the same for 40 images that differ"),
        ("nan", "features by user of .* from image .* on, are NaN or infinite"),
        ("inf", "features by user of .* are NaN or infinite"),
    ],
)
@pytest.mark.parametrize("metric", ["fid", "kid"])
def test_broken_networks_give_no_figures(script, tmp_path, how, words, metric):
    images = draw(40, noise=60, channels=3)[0]
    write_images(tmp_path / "images.tar", images)
    options = {"extractor": "user", "weights": str(script(Broken(how), side=16)), "metrics": [metric]}
    with pytest.raises(EvaluationError, match=words):
        evaluate_paths(str(tmp_path / "images.tar"), str(tmp_path / "images.tar"), **options)


def test_images_that_are_all_the_same_may_have_the_same_features(script, tmp_path):
    write_images(tmp_path / "same.tar", draw(1, channels=3)[0].repeat(40, axis=0))
    write_images(tmp_path / "real.tar", draw(40, channels=3)[0])
    path = script(Pooled(False))
    result = evaluate_paths(
        str(tmp_path / "real.tar"),
        str(tmp_path / "same.tar"),
        extractor="user",
        weights=str(path),
        metrics=["fid"],
    )
    assert result["fid"] > 0
    assert result["protocol"].startswith(f"user-{sha256_of(path)[:12]} n=40 vs real.tar(40)@")
