from dataclasses import replace

import numpy as np
import pytest
import torch
import torch_fidelity

from gan_core.errors import EvaluationError
from gan_core.evaluation.extractors import FeatureExtractor
from gan_core.evaluation.extractors.inception import InceptionExtractor
from gan_core.evaluation.measuring import labels_of, protocol_of, split_protocol
from gan_core.evaluation.protocol import Protocol, fields_of, require_comparable
from gan_core.versions import CODE_VERSIONS

PROTOCOL = Protocol(
    "classifier",
    "1a2b3c4d5e6f",
    2000,
    "digits/train",
    1437,
    "9f8e7d6c",
    labels="data",
    shape="16x16x1",
    real_shape="16x16x1",
    versions=(("torch", "2.11.0"), ("code", "3")),
)
TEXT = (
    "classifier-1a2b3c4d5e6f n=2000 vs digits/train(1437)@9f8e7d6c seed=0 labels=data images=16x16x1 "
    "dtype=float32 torch=2.11.0 code=3"
)


def test_it_reads_as_one_line():
    assert str(PROTOCOL) == TEXT
    assert str(PROTOCOL.with_settings("kid=100x360")) == f"{TEXT} kid=100x360"
    assert str(PROTOCOL.without_real()) == TEXT.replace(" vs digits/train(1437)@9f8e7d6c", "")
    other = replace(PROTOCOL, shape="64x64x3", resize="16-bicubic-crop", channels="rgb-to-grey")
    assert "images=64x64x3/16x16x1 channels=rgb-to-grey resize=16-bicubic-crop dtype" in str(other)
    only = Protocol("inception", "0" * 12, 50, "some (odd) folder", None, "12345678", seed=3)
    assert str(only) == "inception-000000000000 n=50 vs some (odd) folder(?)@12345678 seed=3 dtype=float32"


DIFFERENCES = [
    {"extractor": "inception"},
    {"weights": "000000000000"},
    {"samples": 1999},
    {"real": "digits/test"},
    {"real_images": 1436},
    {"real_hash": "00000000"},
    {"resize": "64-bicubic-crop"},
    {"seed": 1},
    {"settings": "kid=100x360"},
    {"labels": "even"},
    {"shape": "32x32x1"},
    {"real_shape": "32x32x1"},
    {"channels": "grey-to-rgb"},
    {"dtype": "float32+tf32"},
    {"versions": (("torch", "2.11.1"), ("code", "3"))},
    {"versions": (("torch", "2.11.0"), ("code", "4"))},
]


@pytest.mark.parametrize("change", DIFFERENCES)
def test_any_difference_reads_differently_and_does_not_compare(change):
    """Tables are divided by this text."""
    other = replace(PROTOCOL, **change)
    assert str(other) != str(PROTOCOL) == str(replace(PROTOCOL))
    with pytest.raises(EvaluationError, match="do not compare"):
        require_comparable([PROTOCOL, str(other)])


def test_what_differs_is_named_field_by_field():
    require_comparable([])
    require_comparable([PROTOCOL, TEXT, replace(PROTOCOL)])
    other = replace(PROTOCOL, samples=1999, versions=(("torch", "2.12.0"), ("code", "3")), settings="k=5")
    with pytest.raises(EvaluationError) as caught:
        require_comparable({"dcgan": PROTOCOL, "outside": str(other)})
    assert str(caught.value) == (
        "the numbers of dcgan, outside do not compare, because they were measured with different "
        "samples (2000, 1999); torch (2.11.0, 2.12.0); k (none, 5): measure them in one way"
    )
    with pytest.raises(EvaluationError, match="content of the real images \\(9f8e7d6c, none\\)"):
        require_comparable([PROTOCOL, PROTOCOL.without_real()])


@pytest.mark.parametrize("real", ["digits/train", "my images (2)", "a vs b(3)@00000000 c"])
def test_fields_are_read_back_whatever_the_folder_is_called(real):
    fields = fields_of(replace(PROTOCOL, real=real, settings="kid=100x360 sizes=15"))
    assert fields["real"] == real and fields["real_images"] == "1437" and fields["extractor"] == "classifier"
    assert (fields["images"], fields["kid"], fields["sizes"]) == ("16x16x1", "100x360", "15")


@pytest.mark.parametrize(
    ("settings", "name", "value"),
    [
        ("k=5 of 2000/1412", "k", "5 of 2000/1412"),
        ("mind=1000 of 2000/1412", "mind", "1000 of 2000/1412"),
        ("fid_infinity=15 sizes of 200-2000", "fid_infinity", "15 sizes of 200-2000"),
        ("distinct of 2000", "distinct", "of 2000"),
        ("copying=2000/1412 against 385", "copying", "2000/1412 against 385"),
    ],
)
def test_settings_of_several_words_are_one_field(settings, name, value):
    fields = fields_of(PROTOCOL.with_settings(settings))
    assert fields == {**fields_of(PROTOCOL), name: value}


@pytest.mark.parametrize("text", ["", "fid 3.4", "classifier n=3"])
def test_what_is_no_protocol_is_refused(text):
    with pytest.raises(EvaluationError, match="is no protocol"):
        fields_of(text)


class Extractor(FeatureExtractor):
    """What a protocol asks of an extractor."""

    name, fingerprint, resize = "inception", "ab" * 32, InceptionExtractor.resize
    repeats_grey, libraries = InceptionExtractor.repeats_grey, InceptionExtractor.libraries
    device = torch.device("cpu")
    fingerprint_of = open = extract = None


def test_a_comparison_with_a_split_says_all_that_decided_it(make_dataset):
    dataset = make_dataset(labels="even", seed=4)
    text = str(split_protocol(Extractor(), dataset, "01234567", "test", 60, 90))
    libraries = (("torch", torch), ("numpy", np), ("torch-fidelity", torch_fidelity))
    versions = [f"{name}={library.__version__.partition('+')[0]}" for name, library in libraries]
    assert text == (
        "inception-abababababab n=60 vs halves/test(90)@01234567 seed=4 labels=even images=16x16x1 "
        f"channels=grey-to-rgb resize=299-tf1-bilinear dtype=float32 {' '.join(versions)} "
        f"code={CODE_VERSIONS['evaluation']}"
    )
    arrived = split_protocol(
        Extractor(), dataset, "01234567", "test", 60, 90, labels="data", shape="9x9x3", resize="16-x"
    )
    for words in ("labels=data images=9x9x3/16x16x1 ", "resize=16-x,299-tf1-bilinear "):
        assert words in str(arrived)


def test_figures_are_in_float32_on_a_gpu_too():
    extractor = Extractor()
    values = {"samples": 2, "shape": "8x8x3", "given_channels": 3}
    for device in (torch.device("cpu"), torch.device("cuda", 0)):
        extractor.device = device
        assert protocol_of(extractor, **values).dtype == "float32"


def test_the_policy_of_samples_is_their_own(trained, make_samples):
    dataset = trained.dataset
    samples = make_samples(trained.store, "of-a-policy")
    assert dataset.evaluation.labels == "data" == labels_of(samples, dataset)
    # Before there was a choice, all classes came in turn.
    assert labels_of(samples.model_copy(update={"details": {"conditional": True}}), dataset) == "even"
    # Those of no class are compared with those of the dataset's policy.
    assert labels_of(samples.model_copy(update={"details": {"conditional": False}}), dataset) == "data"
