"""Every generator as ONNX: the same images, and nothing of this machine."""

from pathlib import Path

import onnx
import pytest
import torch

from gan_core.bundles.onnx_file import TOLERANCE, write_onnx
from gan_core.config import Experiment
from gan_core.models import ARCHITECTURES, build_generator

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
@pytest.mark.parametrize("conditioning", ["none", "acgan"])
def test_every_architecture_is_exported(tmp_path, architecture, conditioning):
    experiment = Experiment.model_validate(
        {
            "name": "small",
            "dataset": "tiny",
            "architecture": {"name": architecture, "width": 8},
            "latent": {"size": 6},
            "conditioning": {"name": conditioning},
            "length": {"images": 100},
        }
    )
    torch.manual_seed(0)
    side = min(size for size in ARCHITECTURES[architecture].sizes if size >= 32)
    generator = build_generator(experiment, channels=3, image_size=side, n_classes=5)
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
