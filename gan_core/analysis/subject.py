"""What an analysis looks at: a trained GAN with its data, each part loaded by the first that asks for it."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gan_core.config import Dataset, Experiment, recorded_experiment
from gan_core.data.shard_manifest import image_shape, split_of
from gan_core.store import Manifest, Store
from gan_core.store.reading import reading

if TYPE_CHECKING:
    from torch import Tensor

    from gan_core.data.loading import ResidentImages
    from gan_core.evaluation.extractors.classifier import ClassifierExtractor
    from gan_core.models.networks import Discriminator, Generator

BATCH_SIZE = 128
MOST_BYTES = 2**28


@dataclass(frozen=True)
class Subject:
    """A training with the shards that it was trained from and the classifier of its dataset.

    `settings`: by the name of an analysis, what it was told. Images are uint8 (n, C, H, W) on the CPU.
    """

    store: Store
    dataset: Dataset
    trained: Manifest
    shards: Manifest
    classifier: Manifest
    emit: Callable[[str], None]
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)

    # -- what the manifests say

    @cached_property
    def experiment(self) -> Experiment:
        """The configuration that was trained."""
        return recorded_experiment(self.trained.config, self.trained.partition)

    @property
    def seed(self) -> int:
        return self.dataset.evaluation.seed

    @property
    def conditional(self) -> bool:
        return self.experiment.conditional

    @property
    def classes(self) -> list[str]:
        """Of the shards; empty where they have none."""
        return list(self.shards.details["classes"] or [])

    @property
    def recognises_classes(self) -> bool:
        """Whether the dataset's classifier was trained on the classes of the shards."""
        known = self.classifier.details
        return known["task"] == "labels" and known["classes"] == self.classes

    def count(self, split: str) -> int:
        """How many images a split has; 0 where there is no such split."""
        with reading(f"image_shards/{self.dataset.name}"):
            there = split in self.shards.details["splits"]
            return split_of(self.shards, split)["images"] if there else 0

    # -- what has to be loaded

    @cached_property
    def generator(self) -> "Generator":
        from gan_core.devices import default_device
        from gan_core.sampling import load_generator

        return load_generator(self.store, self.trained, device=default_device())

    def discriminator(self, seed: int | None = None) -> "Discriminator":
        """D as it was trained, or untrained with the weights of a seed; in evaluation mode."""
        import torch

        from gan_core.devices import default_device
        from gan_core.models import build_discriminator
        from gan_core.models.weights import load_weights

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed or 0)
            network = build_discriminator(
                self.experiment,
                channels=self.shards.details["channels"],
                image_size=self.shards.details["image_size"],
                n_classes=len(self.classes),
            )
        if seed is None:
            load_weights(network, self.store, self.trained, "discriminator.safetensors")
        return network.to(default_device(), memory_format=torch.channels_last).eval().requires_grad_(False)

    @cached_property
    def extractor(self) -> "ClassifierExtractor":
        from gan_core.evaluation.classifier import load_classifier

        return load_classifier(self.store, self.classifier)

    def images(self, split: str, most: int) -> "ResidentImages":
        """At most so many images of a split, and at most 256 MB of them, evenly spread over it."""
        import numpy as np

        from gan_core.data.loading import load_resident

        count, pixels = self.count(split), math.prod(image_shape(self.shards))
        chosen = min(most, count, max(2, MOST_BYTES // pixels))
        numbers = np.linspace(0, count - 1, chosen).round().astype(np.int64)
        return load_resident(self.store, self.shards, split, numbers=numbers, emit=self.emit)

    def latents(self, count: int, purpose: str) -> "Tensor":
        """Latents (count, z_dim) of a purpose: for two purposes they are others."""
        import torch

        from gan_core.models.common import draw_latents
        from gan_core.training.noise import stream_seed

        numbers = torch.Generator("cpu").manual_seed(stream_seed(self.seed, f"analysis {purpose}"))
        return draw_latents(self.generator.latent, count, numbers)

    def one_hot(self, labels: "Tensor") -> "Tensor | None":
        """Classes int64 (n,) as G is asked for them, float (n, n_classes); None of an unconditional G."""
        import torch

        from gan_core.models.common import one_hot

        return one_hot(labels, self.generator.n_classes, torch.float32) if self.conditional else None

    def draw(self, z: "Tensor", classes: "Tensor | None" = None) -> "Tensor":
        """All images of `drawn` at once."""
        import torch

        return torch.cat(list(self.drawn(z, classes)))

    def drawn(self, z: "Tensor", classes: "Tensor | None" = None) -> "Iterator[Tensor]":
        """Images of latents (n, z_dim), a batch at a time. `classes` float (n, n_classes): a row is one
        class, or a mixture, whose weights add up to 1; None for an unconditional generator."""
        import torch

        from gan_core.images import to_uint8

        generator, device = self.generator, next(self.generator.parameters()).device
        inputs = z if classes is None else torch.cat([z, classes], dim=1)
        for some in inputs.split(BATCH_SIZE):
            with torch.inference_mode():
                images = generator.of_inputs(some.to(device))
            yield to_uint8(images, generator.image_range).cpu().contiguous()

    def recognised(self, images: "Tensor") -> "tuple[Tensor, Tensor]":
        """The class that the dataset's classifier sees, int64 (n,), and how probable it finds it, (n,)."""
        import torch

        logits = torch.cat([self.extractor.extract(some)[1].cpu() for some in images.split(BATCH_SIZE)])
        probability, found = logits.softmax(dim=1).max(dim=1)
        return found, probability
