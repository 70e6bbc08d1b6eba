"""A network of the user's own, by its file."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from gan_core.errors import EvaluationError
from gan_core.evaluation.extractors.base import (
    EXTRACTORS,
    VALUES,
    ExtractorSources,
    FeatureExtractor,
    as_colour,
    normalised,
    read_state,
    resized,
    sha256_once,
    weights_remedy,
)
from gan_core.registry import register

if TYPE_CHECKING:
    import torch

LIBRARIES = ("torchvision", "timm")
LARGEST_SIDE = 4096
# Sides of the images that a TorchScript file which takes any size is tried with.
TRIED_SIDES = (32, 224, 299)


@dataclass(frozen=True)
class Description:
    """What `evaluation.weights.user` says: `[LIBRARY:NETWORK:]PATH[#size=SIDE&values=VALUES]`.

    PATH is a TorchScript file, or a state dict of a network of torchvision or timm. Images come to it as
    float32 (B, 3, H, W): resized to `size` (bicubic, antialiased; None: as large as they are), with values as
    `values` says: `unit` (0 to 1), `symmetric` (-1 to 1), `bytes` (0 to 255), or `imagenet` (0 to 1, less the
    mean and over the deviation of ImageNet). By default a TorchScript file gets `unit` in the images' own
    size, a network of a library `imagenet` in 224.
    """

    path: str
    library: str | None = None
    network: str | None = None
    size: int | None = None
    values: str = "unit"

    @classmethod
    def parse(cls, text: str) -> "Description":
        """An `EvaluationError` says what of the text is wrong."""
        rest, _, options = text.partition("#")
        library, network, path = None, None, rest
        if rest.split(":", 1)[0] in LIBRARIES:
            library, network, path = (*rest.split(":", 2), "", "")[:3]
        if "://" in path or not Path(path).expanduser().is_file():
            raise EvaluationError(
                f"the network of the extractor `user`, `{path}`, is no file of this machine: "
                f"{weights_remedy('user')}, as /path/net.pt or torchvision:resnet50:/path/state.pth"
            )
        given: dict[str, Any] = dict(parse_qsl(options, keep_blank_values=True))
        unknown = set(given) - {"size", "values"}
        size, values = given.get("size"), given.get("values")
        if unknown or (size is not None and not (size.isdigit() and 0 < int(size) <= LARGEST_SIDE)):
            raise EvaluationError(f"`{text}`: behind # come size=SIDE and values={'|'.join(VALUES)}")
        if values is not None and values not in VALUES:
            raise EvaluationError(f"`{text}`: there are no values `{values}`: choose {', '.join(VALUES)}")
        return cls(
            os.fspath(Path(path).expanduser()),
            library,
            network,
            int(size) if size else (224 if library else None),
            values or ("imagenet" if library else "unit"),
        )

    @property
    def fingerprint(self) -> str:
        """sha256 of the file; where images are given otherwise than by default, of that and of how."""
        of_file = sha256_once(Path(self.path))
        if self == Description(self.path):
            return of_file
        how = {name: value for name, value in asdict(self).items() if name != "path"}
        return hashlib.sha256(json.dumps([of_file, how], sort_keys=True).encode()).hexdigest()


@register(EXTRACTORS, "user")
class UserExtractor(FeatureExtractor):
    """The network that `evaluation.weights.user` (or GAN_USER_WEIGHTS, or `--weights`) describes.

    A TorchScript file gives features (B, D), or these and the logits of classes (B, K). A network of
    torchvision or timm gives what its last linear layer gets and gives.
    """

    name = "user"
    repeats_grey = True

    def __init__(self, description: Description):
        """Load the network and try it; an `EvaluationError` if it does not load or gives something else."""
        from gan_core.devices import default_device

        self.description, self.fingerprint = description, description.fingerprint
        self.device = default_device()
        if description.size:
            self.resize = f"{description.size}-bicubic-antialias"
        if description.values != "unit":
            steps = [self.resize] if self.resize != "none" else []
            self.resize = ",".join([*steps, f"{description.values}-values"])
        if description.library:
            self.libraries = (description.library,)
            self.network = _network_of_library(description)
        else:
            self.network = _script(description)
        self.network = self.network.to(self.device).eval()
        features, logits = self._try()
        self.feature_dim = features.shape[1]
        self.n_classes = None if logits is None else logits.shape[1]

    @classmethod
    def fingerprint_of(cls, sources: ExtractorSources) -> str:
        return _described(sources).fingerprint

    @classmethod
    def open(cls, sources: ExtractorSources) -> "UserExtractor":
        return cls(_described(sources))

    def extract(self, images: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor | None]":
        """See `FeatureExtractor`; images of 1 or 3 channels, and of any size that the network takes."""
        import torch

        pixels = as_colour(images).to(self.device)
        try:
            with torch.inference_mode():
                pixels = resized(pixels, self.description.size) if self.description.size else pixels
                found = self.network(normalised(pixels, self.description.values))
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            side = "x".join(str(number) for number in images.shape[-2:])
            raise EvaluationError(
                f"the network {self.description.path} fails on images of {side} "
                f"({str(error).strip().splitlines()[-1]}): give it another size, as "
                f"{self.description.path}#size=224"
            ) from error
        return self._checked(found, len(images))

    def _try(self):
        import torch

        sides = (self.description.size,) if self.description.size else TRIED_SIDES
        failures = []
        for side in sides:
            images = torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8, generator=torch.Generator())
            try:
                return self.extract(images)
            except EvaluationError as error:
                failures.append(error)
        raise failures[-1]

    def _checked(self, found, count: int):
        import torch

        features, logits = found if isinstance(found, tuple | list) and len(found) == 2 else (found, None)
        for what, tensor in (("features", features), ("logits", logits)):
            if tensor is None and what == "logits":
                continue
            if not isinstance(tensor, torch.Tensor) or tensor.dim() != 2 or len(tensor) != count:
                shape = tuple(tensor.shape) if isinstance(tensor, torch.Tensor) else type(tensor).__name__
                raise EvaluationError(
                    f"the network {self.description.path} gives {what} {shape} for {count} images, not "
                    f"({count}, D): let it pool over positions, and return features, or features and logits"
                )
        return features.float(), None if logits is None else logits.float()


def _described(sources: ExtractorSources) -> Description:
    given = os.environ.get("GAN_USER_WEIGHTS") or sources.weights.get("user")
    if not given:
        raise EvaluationError(
            f"the extractor `user` needs a network, and none is named: {weights_remedy('user')}, as "
            "/path/net.pt (TorchScript) or torchvision:resnet50:/path/state.pth"
        )
    return Description.parse(given)


def _script(description: Description):
    import torch

    try:
        return torch.jit.load(description.path, map_location="cpu")
    except (RuntimeError, ValueError, OSError, EOFError) as error:
        raise EvaluationError(
            f"{description.path} is no TorchScript file ({str(error).strip().splitlines()[0][:200]}): save "
            "the network by torch.jit.script or torch.jit.trace, or name a network of a library, as "
            "torchvision:resnet50:/path/state.pth"
        ) from error


def _network_of_library(description: Description):
    """The network with its state, which returns what its last linear layer gets and gives."""
    import torch

    network = _built(description)
    try:
        network.load_state_dict(read_state(Path(description.path)))
    except (RuntimeError, ValueError) as error:
        raise EvaluationError(
            f"{description.path} is no state dict of {description.library}'s {description.network}: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error
    last = [module for module in network.modules() if isinstance(module, torch.nn.Linear)]
    if not last:
        raise EvaluationError(
            f"{description.network} has no linear layer at its end: save it as TorchScript that returns "
            "features"
        )

    class WithFeatures(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network, self.seen = network, []
            last[-1].register_forward_hook(lambda module, given, made: self.seen.append((given[0], made)))

        def forward(self, images):
            self.seen.clear()
            self.network(images)
            return self.seen[-1]

    return WithFeatures()


def _built(description: Description):
    try:
        if description.library == "timm":
            import timm

            return timm.create_model(description.network, pretrained=False)
        import torchvision

        return torchvision.models.get_model(description.network, weights=None)
    except ImportError as error:
        raise EvaluationError(
            f"{description.library} is not installed, which builds {description.network}: install it "
            f"(`pip install {description.library}`)"
        ) from error
    except (ValueError, RuntimeError, TypeError) as error:
        raise EvaluationError(
            f"{description.library} does not build `{description.network}` ({str(error)[:200]}): "
            "check the name"
        ) from error
