"""Every image once an epoch, whatever the batch size, from the place in the run alone."""

import itertools

import numpy as np
import pytest
import torch

from gan_core.data.epoch_order import EpochOrder

SHARDS = [5, 3, 4, 5, 2, 1]  # 20 images
WINDOWS = [1, 4, 7, 12, 20, 65_536]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("size", [1, 7, 10, 64])
def test_every_image_once_an_epoch(window, size):
    order, epochs, count = EpochOrder(SHARDS, window, seed=1), 35, 20
    shown = torch.cat([order.batch(start, size) for start in range(0, epochs * count, size)])
    assert shown.dtype == torch.int64
    for epoch in range(epochs):
        assert sorted(shown[epoch * count : (epoch + 1) * count].tolist()) == list(range(count))
        assert order.epoch(epoch).tolist() == shown[epoch * count : (epoch + 1) * count].tolist()


@pytest.mark.parametrize("window", WINDOWS)
def test_a_window_holds_whole_shards_and_no_more_images_than_asked(window):
    order = EpochOrder(SHARDS, window, seed=2)
    firsts, place = [0, 5, 8, 12, 17, 19], 0
    while place < 200:
        found = order.window_at(place)
        assert found.first_place == place
        assert len(found.shards) == 1 or len(found.numbers) <= window
        images = [range(firsts[shard], firsts[shard] + SHARDS[shard]) for shard in found.shards]
        assert sorted(found.numbers.tolist()) == sorted(itertools.chain(*images))
        place = found.end


def test_windows_are_as_large_as_they_may_be():
    order = EpochOrder([10] * 6, 25, seed=0)
    assert [len(order.window_at(place).shards) for place in (0, 20, 40)] == [2, 2, 2]
    assert len(EpochOrder([10] * 6, 60, seed=0).window_at(0).shards) == 6


def test_any_place_of_a_window_finds_it():
    order, jumped = EpochOrder(SHARDS, 7, seed=3), EpochOrder(SHARDS, 7, seed=3)
    for place in np.random.default_rng(0).integers(0, 400, 100).tolist():
        found = jumped.window_at(place)
        assert found.first_place <= place < found.end
        assert order.batch(place, 1).item() == found.numbers[place - found.first_place]


def test_batches_are_whole_and_join_where_windows_and_epochs_end():
    order = EpochOrder([5, 5], 5, seed=0)
    assert all(len(order.batch(start, 8)) == 8 for start in range(0, 80, 8))
    for start in (2, 8):
        parts = [order.batch(start, 3), order.batch(start + 3, 5)]
        assert torch.equal(order.batch(start, 8), torch.cat(parts))


@pytest.mark.parametrize("window", WINDOWS)
def test_a_place_has_one_answer_however_it_is_reached(window):
    walked, jumped = EpochOrder(SHARDS, window, seed=5), EpochOrder(SHARDS, window, seed=5)
    for start in range(0, 130, 5):
        walked.batch(start, 5)
    assert torch.equal(walked.batch(130, 5), jumped.batch(130, 5))
    assert torch.equal(walked.batch(10, 5), EpochOrder(SHARDS, window, seed=5).batch(10, 5))


@pytest.mark.parametrize("window", [7, 20])
def test_epochs_and_seeds_differ(window):
    order, other = EpochOrder(SHARDS, window, seed=0), EpochOrder(SHARDS, window, seed=1)
    assert not torch.equal(order.batch(0, 20), order.batch(20, 20))
    assert not torch.equal(order.batch(0, 20), other.batch(0, 20))


def test_in_one_window_every_image_is_as_likely_at_every_place():
    """Chi-square of where each of 6 images stands, over 6,000 epochs: 25 degrees of freedom."""
    order, epochs = EpochOrder([1, 2, 3], 6, seed=0), 6_000
    shown = np.stack([order.epoch(epoch) for epoch in range(epochs)])
    counts = np.stack([np.bincount(column, minlength=6) for column in shown.T])
    expected = epochs / 6
    assert ((counts - expected) ** 2 / expected).sum() < 52.6  # the 0.999 quantile


def test_in_small_windows_every_shard_is_as_likely_first():
    """Chi-square of the shard that comes first, over 3,000 epochs: 4 degrees of freedom."""
    order = EpochOrder([2] * 5, 2, seed=0)
    first = np.bincount([order.window_at(epoch * 10).shards[0] for epoch in range(3_000)], minlength=5)
    assert ((first - 600) ** 2 / 600).sum() < 18.5  # the 0.999 quantile


def test_the_order_of_a_seed_never_changes():
    """Resumed runs of an earlier version depend on it."""
    assert EpochOrder([3, 3, 2], 5, seed=7).batch(8, 8).tolist() == [7, 1, 0, 6, 2, 4, 5, 3]
