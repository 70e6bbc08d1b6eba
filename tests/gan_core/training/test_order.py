"""Every image once an epoch, whatever the batch size, from the place in the run alone."""

import pytest
import torch

from gan_core.training.order import EpochOrder


@pytest.mark.parametrize("size", [1, 7, 10, 64])
def test_every_image_once_an_epoch(size):
    order, epochs, count = EpochOrder(20, seed=1), 35, 20
    shown = torch.cat([order.batch(start, size) for start in range(0, epochs * count, size)])
    for epoch in range(epochs):
        assert sorted(shown[epoch * count : (epoch + 1) * count].tolist()) == list(range(count))


def test_batches_are_whole_and_join_at_the_end_of_an_epoch():
    order = EpochOrder(10, seed=0)
    assert all(len(order.batch(start, 8)) == 8 for start in range(0, 80, 8))
    joined = order.batch(8, 8).tolist()
    assert joined == order.batch(8, 2).tolist() + order.batch(10, 6).tolist()


def test_a_place_has_one_answer_however_it_is_reached():
    walked, jumped = EpochOrder(13, seed=5), EpochOrder(13, seed=5)
    for start in range(0, 130, 5):
        walked.batch(start, 5)
    assert torch.equal(walked.batch(130, 5), jumped.batch(130, 5))


def test_epochs_and_seeds_differ():
    order, other = EpochOrder(100, seed=0), EpochOrder(100, seed=1)
    assert not torch.equal(order.batch(0, 100), order.batch(100, 100))
    assert not torch.equal(order.batch(0, 100), other.batch(0, 100))
