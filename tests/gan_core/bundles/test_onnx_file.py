"""Every generator as ONNX: the same images, nothing of this machine, and a stop in the middle of it."""

import signal
from pathlib import Path

import onnx
import pytest
import torch

from gan_core import signals
from gan_core.bundles.onnx_file import TOLERANCE, write_onnx
from gan_core.config import Experiment
from gan_core.models import ARCHITECTURES, build_generator

REPOSITORY = Path(__file__).parents[3]


KINDS = [(name, of_class, {}) for name in ARCHITECTURES for of_class in ("none", "acgan")]
KINDS.append(("resnet", "acgan", {"generator_norm": "conditional_batch"}))


def small_generator(architecture: str = "dcgan", conditioning: str = "none", **options):
    experiment = Experiment.model_validate(
        {
            "name": "small",
            "dataset": "tiny",
            "architecture": {"name": architecture, "width": 8, **options},
            "latent": {"size": 6},
            "conditioning": {"name": conditioning},
            "length": {"images": 100},
        }
    )
    side = min(size for size in ARCHITECTURES[architecture].sizes if size >= 32)
    return build_generator(experiment, channels=3, image_size=side, n_classes=5)


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "conditioning", "options"), KINDS)
def test_every_architecture_is_exported(tmp_path, architecture, conditioning, options):
    torch.manual_seed(0)
    generator = small_generator(architecture, conditioning, **options)
    for scale in (value for name, value in generator.named_parameters() if name.endswith(".scale")):
        torch.nn.init.normal_(scale)  # each class its own
    for _ in range(5):  # running statistics that are not those of the beginning
        generator(torch.randn(16, 6), torch.arange(16) % 5)
    generator = generator.eval().requires_grad_(False)
    told = write_onnx(generator, tmp_path / "generator.onnx", 0, print)
    assert told["largest_difference"] <= TOLERANCE
    assert told["inputs"] == (["z", "labels"] if conditioning == "acgan" else ["z"])
    model = onnx.load(tmp_path / "generator.onnx")
    assert told["opset"] == model.opset_import[0].version
    for place in (str(REPOSITORY), str(Path(torch.__file__).parents[1])):
        assert place.encode() not in (tmp_path / "generator.onnx").read_bytes()


class Stopped(BaseException):
    """An interrupt, as Dagster's is no `KeyboardInterrupt`."""


def wraps_interrupts(*_, **__):
    """As PyTorch's exporter does where an interrupt hits an import of its own."""
    try:
        try:
            raise Stopped
        except torch.nn.Absent:
            pass
    except AttributeError as error:
        raise RuntimeError("failed to export the model") from error


def goes_on(*_, **__):
    try:
        signal.raise_signal(signal.SIGTERM)
    except KeyboardInterrupt:
        return


def use(monkeypatch, exporter) -> None:
    monkeypatch.setattr(torch.onnx, "export", exporter)
    monkeypatch.setattr(torch.export, "Dim", str)  # PyTorch's own imports for seconds


@pytest.fixture
def listening():
    before = {number: signal.getsignal(number) for number in signals.NUMBERS}
    signals.Stop().listen()
    yield
    signals.asked.clear()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("exporter", "stop"),
    [(wraps_interrupts, Stopped), (goes_on, KeyboardInterrupt)],
    ids=["wraps", "goes on"],
)
def test_a_stop_comes_out_of_an_exporter_that_catches_it(tmp_path, monkeypatch, listening, exporter, stop):
    use(monkeypatch, exporter)
    with pytest.raises(stop):
        write_onnx(small_generator(), tmp_path / "generator.onnx", 0, print)
    assert not list(tmp_path.iterdir())


def test_what_an_exporter_cannot_do_stays_its_error(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("an operator that ONNX has not")

    use(monkeypatch, fails)
    with pytest.raises(RuntimeError, match="ONNX has not"):
        write_onnx(small_generator(), tmp_path / "generator.onnx", 0, print)
