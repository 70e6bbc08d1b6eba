import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from gan_core.errors import EvaluationError
from gan_core.evaluation.extractors import ExtractorSources
from gan_core.evaluation.extractors.base import normalised, resized
from gan_core.evaluation.extractors.dinov2 import Dinov2Extractor
from gan_core.evaluation.vision_transformer import VisionTransformer, transformer_of
from gan_core.store import sha256_of

WIDTH, DEPTH, PATCH = 128, 3, 14


@pytest.fixture(autouse=True)
def _no_weights_of_the_environment(monkeypatch):
    monkeypatch.delenv("GAN_DINOV2_WEIGHTS", raising=False)


def weights(grid, seed=0):
    """Random weights, none of which is without effect, as the authors' files have them."""
    network = VisionTransformer(WIDTH, DEPTH, PATCH, grid)
    numbers = torch.Generator().manual_seed(seed)
    state = {}
    for name, tensor in network.state_dict().items():
        state[name] = torch.randn(tensor.shape, generator=numbers) * (0.4 if tensor.dim() < 2 else 0.1)
        if name.endswith(("norm1.weight", "norm2.weight", "norm.weight", "gamma")):
            state[name] += 1
    return {**state, "mask_token": torch.zeros(1, WIDTH)}


def expected(state, images):
    """By torch's own transformer, whose layers have no scale: it goes into what is scaled."""
    pixels = nn.functional.conv2d(
        images, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=PATCH
    )
    tokens = torch.cat([state["cls_token"].expand(len(images), -1, -1), pixels.flatten(2).mT], dim=1)
    tokens = tokens + state["pos_embed"]
    for number in range(DEPTH):
        of = {name.split(".", 2)[2]: t for name, t in state.items() if name.startswith(f"blocks.{number}.")}
        layer = nn.TransformerEncoderLayer(
            WIDTH, WIDTH // 64, 4 * WIDTH, 0, "gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
        )
        attention, perceptron = of["ls1.gamma"], of["ls2.gamma"]
        layer.load_state_dict(
            {
                "self_attn.in_proj_weight": of["attn.qkv.weight"],
                "self_attn.in_proj_bias": of["attn.qkv.bias"],
                "self_attn.out_proj.weight": of["attn.proj.weight"] * attention[:, None],
                "self_attn.out_proj.bias": of["attn.proj.bias"] * attention,
                "linear1.weight": of["mlp.fc1.weight"],
                "linear1.bias": of["mlp.fc1.bias"],
                "linear2.weight": of["mlp.fc2.weight"] * perceptron[:, None],
                "linear2.bias": of["mlp.fc2.bias"] * perceptron,
                "norm1.weight": of["norm1.weight"],
                "norm1.bias": of["norm1.bias"],
                "norm2.weight": of["norm2.weight"],
                "norm2.bias": of["norm2.bias"],
            }
        )
        tokens = layer.eval()(tokens)
    return nn.functional.layer_norm(tokens, (WIDTH,), state["norm.weight"], state["norm.bias"], 1e-6)[:, 0]


def test_the_network_is_torchs_own_transformer_with_layer_scale():
    state = weights(grid=4)
    images = torch.randn(3, 3, 56, 56, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found, theirs = transformer_of(state)(images), expected(state, images)
    assert found.std() > 0.3
    torch.testing.assert_close(found, theirs, rtol=1e-4, atol=1e-5)


def test_positions_of_another_grid_are_resized():
    """A plane stays one, up to torch's bicubic kernel, which keeps planes to a tenth of a step."""
    network = VisionTransformer(WIDTH, 1, PATCH, 37)
    rows, columns = torch.meshgrid(torch.arange(37.0), torch.arange(37.0), indexing="ij")
    with torch.no_grad():
        network.pos_embed[0, 1:, 0] = (2 * rows + columns).flatten()
        resized_positions = network._positions(16, 16)
    assert resized_positions.shape == (1, 257, WIDTH)
    grid = resized_positions[0, 1:, 0].view(16, 16)
    step = 37 / 16.1  # the authors' grid is a little larger than it is
    centre = (torch.arange(16) + 0.5) * step - 0.5
    plane = 2 * centre[:, None] + centre[None]
    torch.testing.assert_close(grid[2:-2, 2:-2], plane[2:-2, 2:-2], rtol=0, atol=0.2)


def test_images_are_resized_as_pillow_does():
    array = np.random.RandomState(0).randint(0, 256, (32, 40, 3)).astype(np.uint8)
    found = resized(torch.from_numpy(array).permute(2, 0, 1)[None], 224)[0].permute(1, 2, 0)
    pillow = np.asarray(Image.fromarray(array).resize((224, 224), Image.Resampling.BICUBIC))
    difference = np.abs(found.numpy().astype(int) - pillow)
    assert difference.max() <= 1 and (difference > 0).mean() < 0.05


def test_values_are_given_as_they_are_called():
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    flat = {
        values: normalised(images, values).flatten().tolist() for values in ("unit", "symmetric", "bytes")
    }
    assert flat["unit"] == pytest.approx([0, 0.2, 1])
    assert flat["symmetric"] == pytest.approx([-1, -0.6, 1])
    assert flat["bytes"] == [0, 51, 255]
    imagenet = [(0 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    assert normalised(images, "imagenet").flatten().tolist() == pytest.approx(imagenet)


def test_the_extractor_reads_the_authors_file(tmp_path, monkeypatch):
    path = tmp_path / "dinov2.pth"
    torch.save(weights(grid=37), path)
    sources = ExtractorSources(weights={"dinov2": str(path)})
    extractor = Dinov2Extractor.open(sources)
    assert (extractor.feature_dim, extractor.n_classes) == (WIDTH, None)
    assert extractor.fingerprint == Dinov2Extractor.fingerprint_of(sources) == sha256_of(path)
    grey = torch.randint(0, 256, (2, 1, 20, 20), dtype=torch.uint8)
    features, logits = extractor.extract(grey)
    pixels = normalised(resized(grey.repeat(1, 3, 1, 1), 224), "imagenet")
    with torch.inference_mode():
        torch.testing.assert_close(features, transformer_of(weights(grid=37))(pixels))
    assert logits is None and extractor.resize == "224-bicubic-antialias"
    monkeypatch.setenv("GAN_DINOV2_WEIGHTS", str(path))
    assert Dinov2Extractor.fingerprint_of(ExtractorSources()) == extractor.fingerprint


def test_without_weights_and_with_others_it_says_what_to_set(tmp_path):
    with pytest.raises(EvaluationError, match="not downloaded by themselves: set .*GAN_DINOV2_WEIGHTS"):
        Dinov2Extractor.open(ExtractorSources())
    path = tmp_path / "wrong.pth"
    path.write_bytes(b"text")
    state = weights(grid=4)
    for content, words in (
        (None, "nothing that torch reads"),
        ({"a": 1}, "something else than tensors"),
        ({"a": torch.zeros(1)}, "no `cls_token`"),
        ({**state, "register_tokens": torch.zeros(1, 4, WIDTH)}, "take the weights without registers"),
        ({**state, "norm.weight": torch.zeros(3)}, "size mismatch for norm.weight"),
        ({name: tensor for name, tensor in state.items() if "fc1.bias" not in name}, "fc1.bias"),
    ):
        if content is not None:
            torch.save(content, path)
        with pytest.raises(EvaluationError, match=f"wrong.pth does not hold .*{words}"):
            Dinov2Extractor(path)
