"""How the classifier is trained: AdamW over shifted, and where that is harmless mirrored, images.

The recipe is that of Jordan 2024 ("94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498) at a
size that two CPU cores do in minutes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from gan_core.devices import default_device, fast_bfloat16
from gan_core.evaluation.classifier.network import ROTATIONS, ClassifierDescription, ClassifierNetwork
from gan_core.progress import Progress
from gan_core.steps import CLASSIFIER_TRAINING

# Of so many train images the patches of the first layer are taken.
WHITENING_IMAGES = 200


@dataclass(frozen=True)
class LabelledImages:
    """`images` uint8 (N, C, S, S) and int64 `labels` (N,), None where the task makes its own."""

    images: torch.Tensor
    labels: torch.Tensor | None

    def __len__(self) -> int:
        return len(self.images)

    def at(self, index: torch.Tensor) -> "LabelledImages":
        """Those images, on the device that trains."""
        device = default_device()
        labels = None if self.labels is None else self.labels[index].to(device)
        return LabelledImages(self.images[index].to(device), labels)


@dataclass(frozen=True)
class MirrorCheck:
    """Whether a mirrored image is still one of its class, by `images` that had not been trained on yet.

    `recognised` and `mirrored` are the shares that were recognised as they are and mirrored, `chance` that of
    the largest class; `flips` is the verdict: training goes on with mirrored images.
    """

    images: int
    chance: float
    recognised: float
    mirrored: float

    # What mirrored images may lose of the recognition above chance; photographs lose nothing, digits most.
    TOLERANCE = 0.1

    @property
    def flips(self) -> bool:
        learnt = self.recognised - self.chance
        return learnt > self.TOLERANCE * (1 - self.chance) and self.mirrored - self.chance > (
            (1 - self.TOLERANCE) * learnt
        )


def fit(
    description: ClassifierDescription, train: LabelledImages, seed: int, emit: Callable[[str], None]
) -> tuple[ClassifierNetwork, MirrorCheck | None]:
    """The trained network, in evaluation mode, and what decided whether images were mirrored; None where
    there are too few images to decide it, which are then not mirrored.

    On a CPU the same images, seed, number of threads and kind of processor give the same weights.
    """
    settings = CLASSIFIER_TRAINING
    views = len(ROTATIONS) if description.task == "rotation" else 1
    batch_size = min(max(settings["batch_size"] // views, 1), len(train))
    total = min(settings["max_epochs"] * len(train) * views, settings["max_images"])
    number_of_steps = max(total // (batch_size * views), 1)
    network = _seeded_network(description, train, seed)
    optimizer, schedule = _optimizer(network, number_of_steps)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(train), generator=generator)
    unseen, first = order.split([held_back(len(train)), len(train) - held_back(len(train))])
    batches, check = _batches(first, batch_size, generator), None
    device = default_device()
    progress = Progress("training the classifier", number_of_steps * batch_size, emit=emit)
    network.train()
    for step in range(number_of_steps):
        if len(unseen) and step == number_of_steps // settings["check_after"]:
            check = _check_mirrored(network, description.task, train.at(unseen))
            batches = _batches(order, batch_size, generator)
        index, mirrored = next(batches)
        images = train.at(index)
        augmented = _augmented(images.images, mirrored if check and check.flips else None, generator)
        augmented, labels = pose_task(description.task, augmented, images.labels)
        with torch.autocast(device.type, torch.bfloat16, enabled=fast_bfloat16(device)):
            logits = network(augmented)[1]
        # No label smoothing: the Inception Score would be of smoothed classes, and features would say less of
        # what differs within one (Müller et al. 2019).
        loss = F.cross_entropy(logits.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        progress.advance(batch_size)
    return network.eval(), check


def held_back(count: int) -> int:
    """How many of `count` train images are not trained on before the `MirrorCheck`."""
    share = min(count // 10, CLASSIFIER_TRAINING["check_images"])
    return share if share >= 100 else 0


def pose_task(task: str, images: torch.Tensor, labels: torch.Tensor | None) -> tuple:
    """The images and labels of a batch; for the task `rotation` every image in all four rotations."""
    if task != "rotation":
        return images, labels
    rotated = torch.cat([images.rot90(turns, dims=(2, 3)) for turns in range(len(ROTATIONS))])
    return rotated, torch.arange(len(ROTATIONS), device=images.device).repeat_interleave(len(images))


@torch.inference_mode()
def recognised_classes(network: ClassifierNetwork, task: str, images: LabelledImages) -> tuple:
    """The true and the recognised classes of images, int64 (N,) each, on the CPU."""
    pairs = []
    for index in torch.arange(len(images)).chunk(-(-len(images) // 256)):
        some = images.at(index)
        posed, labels = pose_task(task, some.images, some.labels)
        pairs.append(torch.stack([labels, network(posed)[1].argmax(dim=1)]).cpu())
    true, recognised = torch.cat(pairs, dim=1)
    return true, recognised


def _seeded_network(
    description: ClassifierDescription, train: LabelledImages, seed: int
) -> ClassifierNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ClassifierNetwork(
            description.seen_channels, description.image_size, len(description.classes)
        )
    network.whitening.fit(train.images[:: -(-len(train) // WHITENING_IMAGES)])
    return network.to(default_device(), memory_format=torch.channels_last)


def _optimizer(network: ClassifierNetwork, number_of_steps: int) -> tuple:
    """AdamW, whose rate rises for a fifth of the steps and falls to zero; only matrices decay."""
    settings = CLASSIFIER_TRAINING
    matrices = [weight for weight in network.parameters() if weight.dim() > 1]
    others = [weight for weight in network.parameters() if weight.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": settings["weight_decay"]}, {"params": others}]
    optimizer = torch.optim.AdamW(groups, settings["learning_rate"], betas=(0.9, 0.99), weight_decay=0)
    rising = number_of_steps / 5

    def share(step: int) -> float:
        return min(0.2 + 0.8 * step / rising, (number_of_steps - step) / (number_of_steps - rising))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, share)


def _batches(index: torch.Tensor, size: int, generator: torch.Generator) -> Iterator[tuple]:
    """Whole batches of the images of `index` for ever, each epoch in a new order, and which of them are to be
    mirrored: half of them in the first epoch, the others in the next, and so on by turns (Jordan 2024)."""
    size = min(size, len(index))
    mirrored = torch.rand(len(index), generator=generator) < 0.5
    while True:
        for places in torch.randperm(len(index), generator=generator).split(size):
            if len(places) == size:
                yield index[places], mirrored[places]
        mirrored = ~mirrored


def _augmented(
    images: torch.Tensor, mirrored: torch.Tensor | None, generator: torch.Generator
) -> torch.Tensor:
    """Images (B, C, S, S) shifted by some pixels either way, reflected at the border; those of `mirrored`
    (B,) bool mirrored before."""
    if mirrored is not None:
        images = torch.where(mirrored.to(images.device)[:, None, None, None], images.flip(3), images)
    batch, _, height, width = images.shape
    rows = _shifted(batch, height, generator).to(images.device)
    columns = _shifted(batch, width, generator).to(images.device)
    every = torch.arange(batch, device=images.device)
    shifted = images[every[:, None, None], :, rows[:, :, None], columns[:, None, :]]  # (B, S, S, C)
    return shifted.permute(0, 3, 1, 2)


def _shifted(batch: int, size: int, generator: torch.Generator) -> torch.Tensor:
    """Which pixel stands at each place, int64 (B, S)."""
    most = size // 16  # two pixels of 32, as in Jordan 2024
    places = torch.arange(size) + torch.randint(-most, most + 1, (batch, 1), generator=generator)
    return (size - 1) - ((size - 1) - places.abs()).abs()


def _check_mirrored(network: ClassifierNetwork, task: str, unseen: LabelledImages) -> MirrorCheck:
    # In training mode, by the statistics of these images: after few steps those of training have not settled.
    true, recognised = recognised_classes(network, task, unseen)
    _, mirrored = recognised_classes(
        network, task, LabelledImages(unseen.images.flip(3).contiguous(), unseen.labels)
    )
    return MirrorCheck(
        images=len(unseen),
        chance=float(true.bincount().max() / len(true)),
        recognised=float((recognised == true).float().mean()),
        mirrored=float((mirrored == true).float().mean()),
    )
