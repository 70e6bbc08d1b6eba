import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from gan_core.evaluation.classifier import training
from gan_core.evaluation.classifier.network import ROTATIONS, ClassifierDescription
from gan_core.evaluation.classifier.training import LabelledImages, MirrorCheck, fit, recognised_classes


def accuracy(network, task, images):
    true, recognised = recognised_classes(network, task, images)
    return float((true == recognised).double().mean())


def test_rotations_of_images_with_an_up_and_a_down_are_told(monkeypatch):
    monkeypatch.setitem(training.CLASSIFIER_TRAINING, "max_epochs", 6)
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(200, 1, 16, 16, generator=generator) * 60
    images = (noise + torch.linspace(0, 180, 16)[:, None]).to(torch.uint8)
    description = ClassifierDescription("rotation", ROTATIONS, 16, 1)
    network, check = fit(description, LabelledImages(images[:150], None), 0, print)
    assert check is None
    test = LabelledImages(images[150:], None)
    assert recognised_classes(network, "rotation", test)[0].bincount().tolist() == [50] * 4
    assert accuracy(network, "rotation", test) > 0.99


def test_real_digits_are_recognised_and_not_mirrored(monkeypatch):
    monkeypatch.setitem(training.CLASSIFIER_TRAINING, "max_epochs", 10)
    bundled = load_digits()
    images = torch.tensor(bundled.images * (255 / 16)).round().to(torch.uint8)[:, None]
    images = images.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    labels = torch.tensor(bundled.target)
    description = ClassifierDescription("labels", tuple("0123456789"), 16, 1)
    network, check = fit(description, LabelledImages(images[:1437], labels[:1437]), 0, print)
    # The last 360 are by writers that the train images do not show, so this is harder than a random split.
    assert accuracy(network, "labels", LabelledImages(images[1437:], labels[1437:])) >= 0.95
    assert check.images == 143 and check.recognised > 1.5 * check.mirrored and not check.flips


def bars(count, chiral):
    """Two classes: bright bars above and below or, where `chiral`, left and right."""
    noise = torch.from_numpy(np.random.RandomState(0).randint(0, 100, (count, 1, 8, 8)))
    labels = torch.arange(count) % 2
    bright = (
        torch.where(labels[:, None] == 0, torch.arange(8) < 4, torch.arange(8) >= 4).long()[:, None] * 120
    )
    images = noise + (bright[:, :, None, :] if chiral else bright[:, :, :, None])
    return LabelledImages(images.to(torch.uint8), labels)


@pytest.mark.parametrize("chiral", [False, True])
def test_images_are_mirrored_where_that_does_not_change_their_class(chiral, monkeypatch):
    # As many steps before the check as by default, fewer after it.
    monkeypatch.setitem(training.CLASSIFIER_TRAINING, "max_epochs", 3)
    monkeypatch.setitem(training.CLASSIFIER_TRAINING, "check_after", 2)
    description = ClassifierDescription("labels", ("first", "second"), 8, 1)
    _, check = fit(description, bars(1000, chiral), 0, print)
    assert (check.images, check.chance) == (100, pytest.approx(0.5, abs=0.1))
    assert check.recognised > 0.9 and (check.mirrored < 0.1 if chiral else check.mirrored > 0.9)
    assert check.flips is not chiral


@pytest.mark.parametrize(
    "chance, recognised, mirrored, flips",
    [
        (0.1, 0.6, 0.6, True),
        (0.1, 0.6, 0.56, True),
        (0.1, 0.6, 0.54, False),
        (0.1, 0.15, 0.15, False),  # nothing was learnt yet, so nothing is known of mirrored images
        (0.9, 0.99, 0.985, True),
        (0.9, 0.99, 0.97, False),
        (1.0, 1.0, 1.0, False),
    ],
)
def test_flips_need_evidence(chance, recognised, mirrored, flips):
    assert MirrorCheck(1000, chance, recognised, mirrored).flips is flips


def test_every_image_is_mirrored_every_other_epoch():
    generator = torch.Generator().manual_seed(0)
    batches = training._batches(torch.arange(10, 22), 4, generator)
    epochs = []
    for _ in range(3):
        index, mirrored = (torch.cat(parts) for parts in zip(*(next(batches) for _ in range(3)), strict=True))
        assert sorted(index.tolist()) == list(range(10, 22))
        epochs.append(dict(zip(index.tolist(), mirrored.tolist(), strict=True)))
    assert epochs[0] == epochs[2]
    assert all(epochs[0][image] != epochs[1][image] for image in epochs[0])
    assert 0 < sum(epochs[0].values()) < 12


def test_images_are_shifted_by_a_sixteenth_and_reflected_at_the_border():
    images = torch.arange(32 * 32, dtype=torch.int64).reshape(1, 1, 32, 32).expand(200, -1, -1, -1)
    shifted = training._augmented(images, None, torch.Generator().manual_seed(0))
    padded = np.pad(images[0, 0].numpy(), 2, mode="reflect")
    possible = {padded[y : y + 32, x : x + 32].tobytes() for y in range(5) for x in range(5)}
    assert {image[0].contiguous().numpy().tobytes() for image in shifted} == possible


def test_only_the_chosen_images_are_mirrored(monkeypatch):
    images = torch.arange(16).reshape(1, 1, 4, 4).expand(2, -1, -1, -1)
    mirrored = training._augmented(images, torch.tensor([True, False]), torch.Generator())
    assert torch.equal(mirrored[0], images[0].flip(2)) and torch.equal(mirrored[1], images[1])


def test_the_rate_rises_for_a_fifth_of_the_steps_and_falls_to_zero():
    network = torch.nn.Linear(2, 2)
    optimizer, schedule = training._optimizer(network, 100)
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"] / training.CLASSIFIER_TRAINING["learning_rate"])
        optimizer.step()
        schedule.step()
    assert (
        rates[0] == pytest.approx(0.2)
        and rates[20] == pytest.approx(1)
        and rates[99] == pytest.approx(1 / 80)
    )
    assert np.argmax(rates) == 20
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.05, 0]


def test_two_images_are_enough():
    images = LabelledImages(
        torch.tensor([0, 255], dtype=torch.uint8)[:, None, None, None].expand(2, 3, 8, 8),
        torch.tensor([0, 1]),
    )
    network, check = fit(ClassifierDescription("labels", ("dark", "bright"), 8, 3), images, 0, print)
    assert check is None and all(weight.isfinite().all() for weight in network.state_dict().values())
