from dataclasses import replace

import pytest

from gan_core.evaluation.protocol import Protocol

PROTOCOL = Protocol("classifier", "1a2b3c4d5e6f", 2000, "digits/train", 1437, "9f8e7d6c")


def test_it_reads_as_one_line():
    assert str(PROTOCOL) == "classifier-1a2b3c4d5e6f n=2000 vs digits/train(1437)@9f8e7d6c seed=0"
    assert str(PROTOCOL.with_settings("kid=100x360")).endswith("seed=0 kid=100x360")
    assert str(PROTOCOL.without_real()) == "classifier-1a2b3c4d5e6f n=2000 seed=0"
    inception = Protocol(
        "inception", "0" * 12, 50, "a/test", 60, "12345678", resize="299-tf1-bilinear", seed=3
    )
    assert (
        str(inception) == "inception-000000000000 n=50 vs a/test(60)@12345678 seed=3 resize=299-tf1-bilinear"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"extractor": "inception"},
        {"weights": "000000000000"},
        {"samples": 1999},
        {"real": "digits/test"},
        {"real_images": 1436},
        {"real_hash": "00000000"},
        {"resize": "64-bicubic-crop"},
        {"seed": 1},
        {"settings": "kid=100x360"},
    ],
)
def test_any_difference_reads_differently(change):
    """Tables are divided by this text."""
    assert str(replace(PROTOCOL, **change)) != str(PROTOCOL) == str(replace(PROTOCOL))
