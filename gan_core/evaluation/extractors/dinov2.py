"""DINOv2: features learned without labels; distances by them agree with people's judgement more than those by
Inception (Stein et al. 2023, arXiv 2306.04675)."""

from pathlib import Path
from typing import TYPE_CHECKING

from gan_core.errors import EvaluationError
from gan_core.evaluation.extractors.base import (
    EXTRACTORS,
    ExtractorSources,
    FeatureExtractor,
    as_colour,
    normalised,
    read_state,
    resized,
    sha256_once,
    weights_file,
    weights_remedy,
)
from gan_core.registry import register

if TYPE_CHECKING:
    import torch

SIZE = 224


@register(EXTRACTORS, "dinov2")
class Dinov2Extractor(FeatureExtractor):
    """The class token of ViT-B/14 (768 features) or ViT-L/14 (1024), whichever the file of weights is of.

    The file is the authors' `dinov2_vitb14_pretrain.pth` or `dinov2_vitl14_pretrain.pth`, without registers;
    it is not downloaded. Images are resized to 224x224 (bicubic, antialiased) and normalised by the mean and
    deviation of ImageNet, as Stein et al. do.
    """

    name = "dinov2"
    resize = f"{SIZE}-bicubic-antialias"
    repeats_grey = True
    compares_with_papers = True

    def __init__(self, path: Path):
        """Read a file of weights; an `EvaluationError` if it is of another network."""
        from gan_core.devices import default_device
        from gan_core.evaluation.vision_transformer import transformer_of

        try:
            network = transformer_of(read_state(path))
        except ValueError as error:
            raise EvaluationError(
                f"{path} does not hold the weights of a DINOv2 as its authors publish them (it has {error}): "
                f"{weights_remedy(self.name)}"
            ) from error
        self.fingerprint = sha256_once(path)
        self.device = default_device()
        self.network = network.to(self.device).eval()
        self.feature_dim = network.cls_token.shape[-1]

    @classmethod
    def fingerprint_of(cls, sources: ExtractorSources) -> str:
        return sha256_once(weights_file(cls.name, sources.weights.get(cls.name)))

    @classmethod
    def open(cls, sources: ExtractorSources) -> "Dinov2Extractor":
        return cls(weights_file(cls.name, sources.weights.get(cls.name)))

    def extract(self, images: "torch.Tensor") -> "tuple[torch.Tensor, None]":
        """See `FeatureExtractor`; images of 1 or 3 channels and any size."""
        import torch

        with torch.inference_mode():
            pixels = resized(as_colour(images).to(self.device), SIZE)
            return self.network(normalised(pixels, "imagenet")), None
