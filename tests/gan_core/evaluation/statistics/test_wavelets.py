import numpy as np
import pytest
import torch

from gan_core.errors import EvaluationError
from gan_core.evaluation.metrics import METRICS, Comparison, ImageSet
from gan_core.evaluation.metrics.base import Batch
from gan_core.evaluation.metrics.fwd import PACKETS
from gan_core.evaluation.statistics.moments import FrechetReference, Gaussian, frechet_distance
from gan_core.evaluation.statistics.wavelets import (
    GatheredPackets,
    PacketReference,
    haar_packets,
    levels_of,
    packet_distances,
)


def pictures(count, seed, side=8, channels=1, high=256):
    return torch.from_numpy(
        np.random.RandomState(seed).randint(0, high, (count, channels, side, side), dtype=np.uint8)
    )


def gathered(images, batch=7):
    packets = GatheredPackets()
    for part in images.split(batch):
        packets.update(Batch(part, torch.empty(len(part), 0)))
    return packets.finish()


def test_the_packets_are_those_of_pywavelets():
    pywt = pytest.importorskip("pywt")
    images = np.random.RandomState(0).normal(size=(2, 3, 16, 24))
    for levels in (1, 2, 3):
        ours = haar_packets(torch.from_numpy(images), levels).numpy()
        tree = pywt.WaveletPacket2D(images, "haar", mode="symmetric", maxlevel=levels, axes=(-2, -1))
        nodes = tree.get_level(levels, order="natural")
        theirs = np.stack([node.data for node in nodes], axis=1)
        assert ours.shape == theirs.shape == (2, 4**levels, 3, 16 // 2**levels, 24 // 2**levels)
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_the_transform_is_orthonormal():
    basis = torch.eye(64, dtype=torch.float64).view(64, 1, 8, 8)
    matrix = haar_packets(basis, 2).flatten(1)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(64, dtype=torch.float64))


def test_a_flat_picture_has_its_mean_in_the_first_packet_alone():
    packets = haar_packets(torch.full((1, 1, 16, 16), 0.5, dtype=torch.float64), 3)
    assert packets[0, 0].flatten().tolist() == pytest.approx([0.5 * 8] * 4)
    assert packets[0, 1:].abs().max() < 1e-12


def test_sides_that_do_not_divide_are_continued_by_their_edge():
    picture = torch.arange(15, dtype=torch.float64).view(1, 1, 5, 3)
    whole = torch.cat([picture, picture[:, :, -1:]], dim=2)
    whole = torch.cat([whole, whole[:, :, :, -1:]], dim=3)
    torch.testing.assert_close(haar_packets(picture, 1), haar_packets(whole, 1))


@pytest.mark.parametrize(
    "side, levels", [(8, 1), (16, 1), (28, 1), (32, 1), (48, 1), (64, 2), (128, 3), (256, 4), (512, 4)]
)
def test_larger_images_have_more_levels(side, levels):
    assert levels_of(side, 2 * side) == levels


@pytest.mark.parametrize("block", [1, 100, 10**6])
def test_the_moments_are_numpys_whatever_the_batches(monkeypatch, block):
    monkeypatch.setattr("gan_core.evaluation.statistics.wavelets.BLOCK_VALUES", block)
    images = pictures(50, 1)
    found = gathered(images)
    packets = haar_packets(images.double() / 255, 1).flatten(2).numpy()
    assert found.count == 50
    for number in range(4):
        np.testing.assert_allclose(found.mu[number], packets[:, number].mean(axis=0), atol=1e-12)
        np.testing.assert_allclose(found.sigma[number], np.cov(packets[:, number], rowvar=False), atol=1e-12)


def test_each_packet_has_its_frechet_distance_and_the_figure_is_their_mean():
    real, fake = pictures(60, 2), pictures(40, 3, high=200)
    sets = [ImageSet(len(images), {"packets": gathered(images)}) for images in (fake, real)]
    comparison = Comparison(sets[0], sets[1].prepared((PACKETS,)))
    expected = []
    for number in range(4):
        sides = [
            haar_packets(images.double() / 255, 1)[:, number].flatten(1).numpy() for images in (real, fake)
        ]
        a, b = (Gaussian(side.mean(axis=0), np.cov(side, rowvar=False), len(side)) for side in sides)
        expected.append(frechet_distance(FrechetReference.of(a), b))
    metric = METRICS["fwd"]
    assert metric.evidence(comparison)["packets"] == pytest.approx(expected)
    assert metric.compute(comparison)["fwd"] == pytest.approx(np.mean(expected))
    assert metric.settings(comparison) == "fwd=haar 4x16"


def test_brighter_pictures_differ_in_the_first_packet_by_a_closed_form():
    images = pictures(40, 4, high=200)
    real, brighter = gathered(images), gathered(images + 51)
    # 51 / 255 is 0.2: a packet's coefficient of two by two pixels is twice as much, squared, of 16.
    found = packet_distances(PacketReference.of(real), brighter)
    assert found == pytest.approx([16 * 0.4**2, 0, 0, 0], abs=1e-6)


def test_the_reference_is_written_and_read():
    reference = PacketReference.of(gathered(pictures(20, 5)))
    again = PACKETS.of_arrays(PACKETS.to_arrays(reference))
    moments = gathered(pictures(20, 6))
    assert np.array_equal(packet_distances(reference, moments), packet_distances(again, moments))


def test_other_sizes_and_single_images_are_refused():
    packets = GatheredPackets()
    packets.update(Batch(pictures(3, 7), torch.empty(3, 0)))
    with pytest.raises(EvaluationError, match=r"\(1, 16, 16\) do not add to those of \(1, 8, 8\)"):
        packets.update(Batch(pictures(3, 7, side=16), torch.empty(3, 0)))
    with pytest.raises(EvaluationError, match="at least 2 images"):
        gathered(pictures(1, 7))
    reference = PacketReference.of(gathered(pictures(5, 7)))
    with pytest.raises(EvaluationError, match="bring the real and the generated images to one size"):
        packet_distances(reference, gathered(pictures(5, 7, side=16)))
