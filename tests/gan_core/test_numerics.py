"""The switches of products and convolutions: set for as long as something runs, and as they were after it."""

import pytest
import torch

from gan_core.evaluation.extraction import Accumulator, Part, extract_into
from gan_core.numerics import (
    CUBLAS_WORKSPACE,
    DETERMINISTIC,
    MEASURING,
    NumericPolicy,
    training_numerics,
    training_policy,
    without_tf32,
)
from gan_core.progress import Progress
from gan_core.sampling import images_of

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


def switches() -> tuple:
    """As torch itself has them, not as the module reads them."""
    return (
        torch.backends.cudnn.allow_tf32,
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.are_deterministic_algorithms_enabled(),
    )


@pytest.fixture(autouse=True)
def otherwise(monkeypatch):
    """What no policy has, so that each must set and restore all of it."""
    monkeypatch.setenv(CUBLAS_WORKSPACE, "as it was")
    products = torch.backends.cuda.matmul.allow_tf32
    with torch.backends.cudnn.flags(allow_tf32=True, benchmark=False, deterministic=False):
        torch.backends.cuda.matmul.allow_tf32 = False
        before = switches()
        yield before
        assert switches() == before
        torch.backends.cuda.matmul.allow_tf32 = products


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (MEASURING, (False, False, False, False, False)),
        (training_policy(CUDA), (True, True, True, False, False)),
        (NumericPolicy(tf32=True, benchmark=True, deterministic=True), (True, True, False, True, True)),
    ],
)
def test_a_policy_holds_within_and_not_after(policy, expected, otherwise):
    with policy.applied():
        assert switches() == expected
        with MEASURING.applied():
            assert switches() == (False, False, False, *expected[3:])  # what was asked for stays
        assert switches() == expected
    assert switches() == otherwise
    with pytest.raises(ValueError, match="within"), policy.applied():
        raise ValueError("within")
    assert switches() == otherwise


def test_penalties_change_nothing_else():
    with training_policy(CUDA).applied():
        with without_tf32():
            assert switches() == (False, False, True, False, False)
        assert switches() == (True, True, True, False, False)


@pytest.mark.parametrize(
    ("asked", "device", "given"), [("1", CUDA, True), ("0", CUDA, False), ("1", CPU, False)]
)
def test_deterministic_is_asked_for_by_the_environment_on_a_gpu(monkeypatch, asked, device, given):
    monkeypatch.setenv(DETERMINISTIC, asked)
    monkeypatch.delenv(CUBLAS_WORKSPACE)
    assert training_policy(device).deterministic is given
    numbers = training_numerics(device)
    assert numbers["deterministic"] is (given or device == CPU)
    assert numbers["tf32"] is (device == CUDA)
    assert numbers["cudnn_benchmark"] is (device == CUDA and not given)
    assert not numbers["tf32_in_penalties"]


class Looks(torch.nn.Module):
    """Notes the switches it is called under."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen = []

    def forward(self, z, labels=None):
        self.seen.append(switches())
        return torch.rand(len(z), 1, 4, 4)

    name = "looks"
    fingerprint = "0" * 64

    def extract(self, images):
        self.seen.append(switches())
        return images.flatten(1).float(), None


def test_drawing_and_features_are_in_fp32():
    looks = Looks()
    with training_policy(CUDA).applied():
        images_of(looks, torch.zeros(2, 3))
        images = torch.arange(32, dtype=torch.uint8).view(2, 1, 4, 4)
        progress = Progress("", 2, emit=lambda line: None)
        extract_into([Part(Accumulator([], 2))], looks, [(images, None)], progress)
    assert looks.seen == [(False, False, False, False, False)] * 2
