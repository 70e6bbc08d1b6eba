import http.server
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import pytorch_fid.inception
import torch
from safetensors.torch import save_file
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

from gan_core.errors import EvaluationError
from gan_core.evaluation.extractors import EXTRACTORS, ExtractorSources
from gan_core.evaluation.extractors.classifier import CLASSIFIER_FILE, ClassifierExtractor
from gan_core.evaluation.extractors.inception import URL, InceptionExtractor, inception_weights_file
from gan_core.evaluation.vision_transformer import VisionTransformer
from gan_core.store import sha256_of


@pytest.fixture(autouse=True)
def _no_weights_of_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("GAN_INCEPTION_WEIGHTS", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))


def images(count, channels, size, seed=0):
    array = np.random.RandomState(seed).randint(0, 256, (count, channels, size, size))
    return torch.from_numpy(array.astype(np.uint8))


def test_the_classifier_refuses_other_images(trained):
    extractor = ClassifierExtractor(trained.store.local(trained.classifier, CLASSIFIER_FILE))
    with pytest.raises(EvaluationError, match="16x16 pixels in 1 channel, but these are 32x32 .* 3 channels"):
        extractor.extract(images(2, 3, 32))
    with pytest.raises(EvaluationError, match="must be uint8"):
        extractor.extract(images(2, 1, 16).float())


def test_a_file_that_is_no_classifier_is_refused_by_name(tmp_path):
    with pytest.raises(EvaluationError, match="missing.safetensors does not exist"):
        ClassifierExtractor(tmp_path / "missing.safetensors")
    path = tmp_path / "classifier.safetensors"
    path.write_bytes(b"no weights at all")
    with pytest.raises(EvaluationError, match="classifier.safetensors is not a classifier"):
        ClassifierExtractor(path)
    save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(EvaluationError, match="is not a classifier"):
        ClassifierExtractor(path)
    description = '{"task": "labels", "classes": ["a", "b"], "image_size": 16, "channels": 1}'
    save_file({"x": torch.zeros(2)}, path, metadata={"classifier": description})
    with pytest.raises(EvaluationError, match="does not hold this classifier's weights"):
        ClassifierExtractor(path)


def test_inception_is_torch_fidelitys(inception_file):
    extractor = InceptionExtractor(inception_file)
    original = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(inception_file)
    )
    colour = images(2, 3, 32)
    features, logits = extractor.extract(colour)
    expected = original(colour)
    assert features.shape == (2, 2048) and logits.shape == (2, 1008)
    assert torch.equal(features, expected[0]) and torch.equal(logits, expected[1])
    grey = images(1, 1, 20)
    assert torch.equal(extractor.extract(grey)[0], original(grey.repeat(1, 3, 1, 1))[0])
    assert extractor.fingerprint == sha256_of(inception_file)


def test_inception_is_pytorch_fids_up_to_the_resize(inception_file, monkeypatch):
    def load(*arguments, **options):
        return torch.load(inception_file, weights_only=True)

    monkeypatch.setattr(pytorch_fid.inception, "load_state_dict_from_url", load)
    original = pytorch_fid.inception.InceptionV3(resize_input=False, normalize_input=False).eval()
    colour = images(2, 3, 299)
    expected = original((colour.float() - 128) / 128)[0].flatten(1)
    torch.testing.assert_close(
        InceptionExtractor(inception_file).extract(colour)[0], expected, rtol=1e-4, atol=1e-5
    )


def test_the_environment_names_the_weights_before_the_configuration(monkeypatch, inception_file):
    monkeypatch.setenv("GAN_INCEPTION_WEIGHTS", str(inception_file))
    assert inception_weights_file("elsewhere.pth") == inception_file
    monkeypatch.delenv("GAN_INCEPTION_WEIGHTS")
    with pytest.raises(
        EvaluationError, match="elsewhere.pth of inception are not there: set `evaluation.weights.inception`"
    ):
        inception_weights_file("elsewhere.pth")


def test_a_failed_download_says_what_to_set(monkeypatch):
    closed = "http://127.0.0.1:9/weights-6726825d.pth"
    monkeypatch.setattr("gan_core.evaluation.extractors.inception.URL", closed)
    with pytest.raises(EvaluationError, match="cannot be downloaded.*GAN_INCEPTION_WEIGHTS"):
        inception_weights_file()


@pytest.fixture
def served(tmp_path):
    """The URL of a local server over a folder, and the folder."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    server.server_close()


def test_weights_are_downloaded_once_and_checked(served):
    url, folder = served
    (folder / "plain.pth").write_bytes(b"weights")
    first = inception_weights_file(f"{url}/plain.pth")
    assert first.read_bytes() == b"weights"
    (folder / "plain.pth").unlink()
    assert inception_weights_file(f"{url}/plain.pth") == first
    (folder / "weights-01234567.pth").write_bytes(b"damaged on the way")
    with pytest.raises(EvaluationError, match="invalid hash value"):
        inception_weights_file(f"{url}/weights-01234567.pth")
    assert not (first.parent / "weights-01234567.pth").exists()


def test_a_wrong_weights_file_is_refused_by_name(tmp_path, inception_file):
    path = tmp_path / "wrong.pth"
    path.write_bytes(b"text")
    with pytest.raises(EvaluationError, match="wrong.pth does not hold the Inception weights.*not a file of"):
        InceptionExtractor(path)
    torch.save({"fc.weight": torch.zeros(2)}, path)
    with pytest.raises(EvaluationError, match="wrong.pth .*not the layers of Inception v3"):
        InceptionExtractor(path)
    state = torch.load(inception_file, weights_only=True)
    del state["fc.bias"]
    torch.save(state, path)
    with pytest.raises(EvaluationError, match="wrong.pth does not hold .*Error"):
        InceptionExtractor(path)


class Malicious:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code of the file ran')",))


def test_code_in_a_weights_file_does_not_run(tmp_path):
    path = tmp_path / "malicious.pth"
    torch.save({"Mixed_7c.branch_pool.conv.weight": Malicious()}, path)
    with pytest.raises(EvaluationError, match="malicious.pth does not hold"):
        InceptionExtractor(path)


def test_the_download_is_torch_fidelitys_own_file():
    assert URL == URL_INCEPTION_V3


@pytest.fixture
def weights(inception_file, tmp_path):
    """Small files of weights, by the name of the extractor."""
    state = VisionTransformer(width=64, depth=1, patch=14, grid=16).state_dict()
    torch.save({name: torch.rand(tensor.shape) for name, tensor in state.items()}, tmp_path / "dinov2.pth")
    script = torch.jit.trace(torch.nn.Flatten(), torch.zeros(2, 3, 16, 16))
    script.save(str(tmp_path / "net.pt"))
    return {
        "inception": str(inception_file),
        "dinov2": str(tmp_path / "dinov2.pth"),
        "user": f"{tmp_path}/net.pt#size=8",
    }


def test_a_fingerprint_needs_no_network_and_is_that_of_the_opened_extractor(trained, weights):
    sources = ExtractorSources(trained.store, weights, trained.classifier, "halves")
    for kind in EXTRACTORS.values():
        opened = kind.open(sources)
        assert kind.fingerprint_of(sources) == opened.fingerprint
        features, logits = opened.extract(images(2, opened.channels, 16))
        assert features.shape == (2, opened.feature_dim)
        assert (logits is None) == (opened.n_classes is None)
        assert logits is None or logits.shape == (2, opened.n_classes)


def test_torch_is_not_imported_to_see_that_weights_are_the_same(trained, inception_file, tmp_path):
    """In a process of its own, with torch.hub's cache found as torch finds it."""
    hub = tmp_path / "torch" / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    (hub / URL.rsplit("/", 1)[-1]).write_bytes(b"a copy that was downloaded before")
    code = (
        "import sys\n"
        "from gan_core.evaluation.extractors import EXTRACTORS, ExtractorSources\n"
        "print(EXTRACTORS['inception'].fingerprint_of(ExtractorSources()))\n"
        "sys.exit('torch' in sys.modules)"
    )
    environment = {**os.environ, "TORCH_HOME": str(tmp_path / "torch")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == sha256_of(hub / URL.rsplit("/", 1)[-1])
