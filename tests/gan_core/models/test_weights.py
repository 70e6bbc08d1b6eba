"""Weights of an artefact: loaded, or refused in one line."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gan_core.errors import StoreError
from gan_core.models.weights import load_weights
from gan_core.store import Build, Manifest, Store


def publish(store: Store, content) -> Manifest:
    """An artefact whose file `g.safetensors` is a state dict, or any bytes."""

    def build(work: Build) -> None:
        path: Path = work.folder / "g.safetensors"
        path.write_bytes(content) if isinstance(content, bytes) else save_file(content, path)

    return store.produce("trained_gan", "x", config={}, inputs={}, code_version="1", build=build)


def test_they_are_loaded(tmp_path):
    store, source, target = Store(tmp_path), nn.Linear(3, 2), nn.Linear(3, 2)
    load_weights(target, store, publish(store, source.state_dict()), "g.safetensors")
    assert torch.equal(source.weight, target.weight)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"weight": torch.zeros(2, 4), "bias": torch.zeros(2)}, "size mismatch for weight"),
        ({"weight": torch.zeros(2, 3)}, "Missing key"),
        ({"weight": torch.zeros(2, 3), "bias": torch.zeros(2), "more": torch.zeros(1)}, "Unexpected key"),
        (b"", ""),
        (b"\xff" * 8, ""),
        (b"\x02\0\0\0\0\0\0\0{}garbage", ""),
        (b"PK\x03\x04" + b"\0" * 100, ""),
    ],
)
def test_what_does_not_fit_is_one_line_with_the_file_and_the_remedy(tmp_path, content, reason):
    store = Store(tmp_path)
    manifest = publish(store, content)
    with pytest.raises(StoreError) as caught:
        load_weights(nn.Linear(3, 2), store, manifest, "g.safetensors")
    message = str(caught.value)
    path = store.local(manifest, "g.safetensors")
    assert message.startswith(f"{path} does not fit the network that its manifest describes: ")
    assert message.endswith("; run `python -m gan_core train x --force`")
    assert reason in message
    assert "\n" not in message
