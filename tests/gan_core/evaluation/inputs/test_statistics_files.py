import numpy as np
import pytest
import pytorch_fid.fid_score
import torch

from gan_core.errors import EvaluationError
from gan_core.evaluation.extractors import FeatureExtractor
from gan_core.evaluation.inputs.statistics_files import StatisticsFile, is_statistics, write_statistics
from gan_core.evaluation.metrics.base import MOMENTS
from gan_core.evaluation.statistics.moments import Moments, frechet_distance


class Extractor(FeatureExtractor):
    name, fingerprint = "inception", "ab" * 32
    fingerprint_of = open = extract = None


@pytest.fixture
def gaussians():
    numbers = torch.Generator().manual_seed(0)
    found = []
    for shift in (0.0, 0.5):
        moments = Moments()
        moments.update(torch.randn(50, 6, generator=numbers) + shift)
        found.append(moments.gaussian())
    return found


@pytest.fixture
def read(tmp_path):
    return lambda path: StatisticsFile.open(str(path), tmp_path / "cache", print)


def test_what_was_written_is_read_and_belongs_to_its_extractor(tmp_path, gaussians, read):
    path = tmp_path / "real.npz"
    write_statistics(path, gaussians[0], Extractor(), "32x32x3")
    assert is_statistics(str(path), tmp_path, print)
    found = read(path)
    assert (found.images, found.extractor, found.weights) == (50, "inception", "ab" * 32)
    assert (found.name, found.shape) == ("real.npz", "32x32x3")
    np.testing.assert_array_equal(found.gaussian.sigma, gaussians[0].sigma)
    reference = found.image_set(Extractor())[MOMENTS]
    assert frechet_distance(reference, gaussians[0]) == pytest.approx(0, abs=1e-9)
    other = Extractor()
    other.fingerprint = "cd" * 32
    with pytest.raises(EvaluationError, match="by inception with weights abab.*, but .* with cdcd"):
        found.image_set(other)


def test_pytorch_fid_reads_ours_and_we_read_theirs(tmp_path, gaussians, read):
    ours, theirs = tmp_path / "ours.npz", tmp_path / "theirs.npz"
    write_statistics(ours, gaussians[0], Extractor(), "32x32x3")
    mu, sigma = pytorch_fid.fid_score.compute_statistics_of_path(str(ours), None, 1, 6, "cpu")
    np.savez_compressed(theirs, mu=gaussians[1].mu, sigma=gaussians[1].sigma)
    expected = pytorch_fid.fid_score.calculate_frechet_distance(
        mu, sigma, gaussians[1].mu, gaussians[1].sigma
    )
    found = read(theirs)
    assert (found.images, found.extractor) == (None, None)
    reference = found.image_set(Extractor())[MOMENTS]
    assert frechet_distance(reference, read(ours).gaussian) == pytest.approx(expected, rel=1e-9)
    found.require_dimensions(6, "inception")
    with pytest.raises(EvaluationError, match="of 6 dimensions, but dinov2 gives 768"):
        found.require_dimensions(768, "dinov2")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"mu": np.zeros(2)}, "holds no `sigma`"),
        ({"feats": np.zeros((3, 2))}, "holds no `mu` .it holds features"),
        ({"mu": np.zeros(2), "sigma": np.eye(3)}, r"not \(D,\) and \(D, D\)"),
        ({"mu": np.zeros((2, 1)), "sigma": np.eye(2)}, r"not \(D,\) and \(D, D\)"),
        ({"mu": np.array([0, np.nan]), "sigma": np.eye(2)}, "NaN or infinity"),
        ({"mu": np.zeros(2), "sigma": np.array([[1.0, 0.5], [0, 1]])}, "not symmetric"),
        ({"mu": np.zeros(2), "sigma": np.array([[1.0, 2.0], [2.0, 1.0]])}, "negative eigenvalues"),
    ],
)
def test_what_is_no_statistics_is_refused(tmp_path, read, arrays, words):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(EvaluationError, match=f"x.npz.*{words}"):
        read(tmp_path / "x.npz")


def test_other_files_are_no_statistics(tmp_path, gaussians, read):
    (tmp_path / "x.npz").write_bytes(b"no zip")
    np.savez(tmp_path / "images.npz", images=np.zeros((2, 8, 8), np.uint8))
    for name in ("x.npz", "images.npz", "folder"):
        assert not is_statistics(str(tmp_path / name), tmp_path, print)
    with pytest.raises(EvaluationError, match="x.npz is no file of statistics"):
        read(tmp_path / "x.npz")
    with pytest.raises(EvaluationError, match="does not end in .npz"):
        write_statistics(tmp_path / "x.txt", gaussians[0], Extractor(), "8x8x1")
    with pytest.raises(EvaluationError, match="cannot be written.*name another place"):
        write_statistics(tmp_path / "nowhere" / "x.npz", gaussians[0], Extractor(), "8x8x1")
