import io
import struct

import fsspec
import numpy as np
import pytest
from PIL import Image

from gan_core.data.pixels import encode_png, open_image, to_square
from gan_core.errors import EvaluationError, SourceError
from gan_core.evaluation.inputs import paths as module
from gan_core.evaluation.inputs.paths import PathImages
from tests.gan_core.evaluation.conftest import draw, write_images


@pytest.fixture
def look(tmp_path):
    """Opens a location; what is told is kept in `look.lines`."""

    def open_images(location):
        return PathImages(str(location), tmp_path / "cache", open_images.lines.append)

    open_images.lines = []
    return open_images


@pytest.fixture
def artefact(tmp_path):
    """A folder as that of samples: two tars of five images, and a picture for people."""
    folder = tmp_path / "artefact"
    folder.mkdir()
    images, _ = draw(10)
    write_images(folder / "samples-000000.tar", images[:5])
    write_images(folder / "samples-000001.tar", images[5:], start=5)
    (folder / "grid.png").write_bytes(encode_png(images[0]))
    return folder, images


def pixels(found, channels=1):
    return np.stack([image for _, image, _ in found.decoded(channels)])


@pytest.mark.parametrize("ending", ["", "/"])
def test_the_tars_of_a_folder_come_before_pictures_beside_them(look, artefact, ending):
    folder, images = artefact
    found = look(f"{folder}{ending}")
    np.testing.assert_array_equal(pixels(found), images)
    assert any("the images in its tars are read, not the 1 beside them" in line for line in look.lines)


def test_a_folder_of_pictures_is_one_though_tars_lie_below(look, tmp_path, artefact):
    folder, images = artefact
    (tmp_path / "first.png").write_bytes(encode_png(images[1]))
    found = look(tmp_path)
    assert [name for _, name in found.images] == ["artefact/grid.png", "first.png"]


@pytest.mark.parametrize("beside_pictures", [True, False])
def test_tars_of_several_kinds_are_refused_and_chosen_by_a_glob(look, artefact, beside_pictures):
    folder, images = artefact
    write_images(folder / "untrained-000000.tar", images[:3])
    if not beside_pictures:
        (folder / "grid.png").unlink()
    with pytest.raises(EvaluationError) as caught:
        look(folder)
    for words in ("samples-*.tar, untrained-*.tar", f"'{folder}/samples-*.tar'", "a single tar"):
        assert words in str(caught.value)
    np.testing.assert_array_equal(pixels(look(f"{folder}/samples-*.tar")), images)
    np.testing.assert_array_equal(pixels(look(f"{folder}/untrained-000000.tar")), images[:3])
    assert len(look(f"{folder}/*.tar")) == 13


def test_tars_of_several_folders_are_several_kinds(look, tmp_path, artefact):
    _, images = artefact
    for name in ("train", "test"):
        (tmp_path / "x" / name).mkdir(parents=True)
        write_images(tmp_path / "x" / name / "000.tar", images)
    with pytest.raises(EvaluationError, match=r"several kinds: test/\*.tar, train/\*.tar"):
        look(tmp_path / "x")


def test_a_glob_of_another_file_system(look, artefact):
    folder, images = artefact
    memory = fsspec.filesystem("memory")
    for path in folder.iterdir():
        memory.pipe_file(f"/globbed/{path.name}", path.read_bytes())
    np.testing.assert_array_equal(pixels(look("memory://globbed/samples-*.tar")), images)


def test_a_glob_that_matches_nothing_or_no_archive(look, artefact):
    folder, _ = artefact
    with pytest.raises(EvaluationError, match=r"train-\*.tar matches no file"):
        look(f"{folder}/train-*.tar")
    with pytest.raises(EvaluationError, match="cannot be reached"):
        look("nothing://bucket/*.tar")
    with pytest.raises(SourceError, match="grid.png is neither a folder nor an archive"):
        look(f"{folder}/*.png")


@pytest.mark.parametrize("image_size", [None, 8])
def test_exif_orientation_is_applied_as_in_shards(look, tmp_path, image_size):
    stored = np.zeros((8, 12), dtype=np.uint8)
    stored[:, :6] = 255  # the left half is bright; orientation 6 shows it on top
    orientation = Image.Exif()
    orientation[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, "PNG", exif=orientation)
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.png").write_bytes(buffer.getvalue())
    ((_, image, _),) = look(tmp_path / "x").decoded(1, image_size)
    if image_size:
        expected = to_square(open_image(buffer.getvalue()), 8, 1, "resize_then_crop")
    else:
        expected = np.zeros((1, 12, 8), dtype=np.uint8)
        expected[:, :6] = 255
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize(
    "error", [struct.error("unpack"), EOFError("cut"), Image.DecompressionBombError("big")]
)
def test_whatever_a_damaged_image_raises_names_it(look, tmp_path, monkeypatch, error):
    def fail(content):
        raise error

    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.png").write_bytes(b"")
    monkeypatch.setattr(module, "open_image", fail)
    with pytest.raises(EvaluationError, match=f"x: image a.png does not decode .{error}.: .*remove it"):
        list(look(tmp_path / "x").decoded(1))
