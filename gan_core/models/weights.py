"""The weights of an artefact, loaded into the network that its manifest describes."""

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from gan_core.errors import StoreError
from gan_core.remedies import how_to_make
from gan_core.store import Manifest, Store


def load_weights(network: nn.Module, store: Store, manifest: Manifest, name: str) -> None:
    """Load the safetensors file `name`. Nothing in it is run.

    Raises `StoreError` where it is missing, damaged, no such file, or does not fit the network.
    """
    path = store.local(manifest, name)
    try:
        network.load_state_dict(load_file(path))
    except (RuntimeError, SafetensorError) as error:
        again = how_to_make(manifest.asset, manifest.partition, force=True)
        reason = " ".join(str(error).split())[:300]
        raise StoreError(
            f"{path} does not fit the network that its manifest describes: {reason}; {again}"
        ) from error
