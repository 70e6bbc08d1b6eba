import numpy as np
import torch

from gan_core.evaluation.metrics.base import Batch
from gan_core.evaluation.statistics import thumbnails as module
from gan_core.evaluation.statistics.thumbnails import GatheredThumbnails, disjoint_pairs, thumbnails


def gathered(images, batch, *, logits=None, labels=None, own_classes=False, seed=0):
    gatherer = GatheredThumbnails(len(images), seed, own_classes=own_classes)
    for start in range(0, len(images), batch):
        part = slice(start, start + batch)
        gatherer.update(
            Batch(
                images[part],
                torch.zeros(len(images[part]), 1),
                None if logits is None else logits[part],
                None if labels is None else labels[part],
            )
        )
    return gatherer.finish()


def test_pairs_are_of_one_class_and_no_image_is_in_two():
    classes = np.random.RandomState(0).randint(0, 4, 101)
    pairs = disjoint_pairs(classes, seed=1)
    assert len(np.unique(pairs)) == pairs.size
    assert (classes[pairs[:, 0]] == classes[pairs[:, 1]]).all()
    assert len(pairs) == sum(np.bincount(classes) // 2)
    assert (pairs == disjoint_pairs(classes, seed=1)).all() and (
        pairs != disjoint_pairs(classes, seed=2)
    ).any()
    assert disjoint_pairs(np.arange(3), seed=0).shape == (0, 2)


def test_at_most_so_many_are_kept_by_the_seed_whatever_the_batches(monkeypatch):
    monkeypatch.setattr(module, "MOST", 40)
    images = torch.arange(200, dtype=torch.uint8).view(200, 1, 1, 1).expand(-1, 1, 8, 8)
    logits = torch.eye(5)[torch.arange(200) % 5]
    first, second = (gathered(images, batch, logits=logits, seed=3) for batch in (7, 64))
    assert len(first) == 40 and torch.equal(first.images, second.images)
    assert torch.equal(first.classes, first.images[:, 0, 0, 0].long() % 5)
    assert not torch.equal(first.images, gathered(images, 64, seed=4).images)


def test_classes_of_real_images_need_labels():
    images, logits = torch.zeros(6, 1, 8, 8, dtype=torch.uint8), torch.eye(6)
    assert gathered(images, 4).classes is None
    assert gathered(images, 4, logits=logits, own_classes=True).classes is None
    found = gathered(images, 4, logits=logits, labels=torch.zeros(6, dtype=torch.int64), own_classes=True)
    assert found.classes.tolist() == list(range(6))
    assert gathered(images, 4, logits=torch.zeros(6, 101)).classes is None  # hardly two images of a class


def test_large_images_are_averaged_and_small_ones_kept():
    large = torch.from_numpy(np.random.RandomState(0).randint(0, 256, (2, 3, 128, 128), dtype=np.uint8))
    expected = large.double().view(2, 3, 64, 2, 64, 2).mean(dim=(3, 5)).round().byte()
    assert torch.equal(thumbnails(large), expected)
    assert torch.equal(thumbnails(large[..., :50, :40]), large[..., :50, :40])
