import io
import zipfile

import numpy as np
import pytest

from gan_core.data.pixels import encode_png
from gan_core.errors import EvaluationError
from gan_core.evaluation.inputs import ArrayImages, PathImages, open_images

COLOUR = np.random.RandomState(0).randint(0, 256, (7, 12, 10, 3)).astype(np.uint8)  # (N, H, W, C)


@pytest.fixture
def opened(tmp_path):
    """Opens an array that is saved by `save(file, array)` under a name."""

    def open_array(array, name="images.npy", save=np.save):
        save(tmp_path / name, array)
        return open_images(str(tmp_path / name), tmp_path / "cache", print)

    return open_array


def pixels(images, channels=3, image_size=None):
    return np.stack([image for _, image, _ in images.decoded(channels, image_size)])


def compressed(file, array):
    np.savez_compressed(file, labels=np.arange(len(array)), images=array)


@pytest.mark.parametrize(
    ("name", "save"),
    [("a.npy", np.save), ("a.npz", np.savez), ("b.npz", compressed)],
)
@pytest.mark.parametrize("first", [True, False])
def test_arrays_of_either_order_are_the_images_of_a_folder(opened, tmp_path, name, save, first):
    images = opened(COLOUR.transpose(0, 3, 1, 2) if first else COLOUR, name, save)
    assert isinstance(images, ArrayImages) and (len(images), images.shape) == (7, "10x12x3")
    folder = tmp_path / "folder"
    folder.mkdir()
    for index, image in enumerate(COLOUR):
        (folder / f"{index}.png").write_bytes(encode_png(image.transpose(2, 0, 1)))
    same = open_images(str(folder), tmp_path / "cache", print)
    assert isinstance(same, PathImages) and same.shape == images.shape
    for channels, size in ((3, None), (1, None), (3, 8), (1, 8)):
        np.testing.assert_array_equal(pixels(images, channels, size), pixels(same, channels, size))
        assert images.content_hash == same.content_hash


def test_grey_arrays_need_no_axis_of_channels(opened):
    grey = COLOUR[..., 0]
    for array in (grey, grey[..., None], grey[:, None]):
        images = opened(array)
        assert images.shape == "10x12x1"
        np.testing.assert_array_equal(pixels(images, 1)[:, 0], grey)
        np.testing.assert_array_equal(pixels(images, 3), np.repeat(grey[:, None], 3, axis=1))


def test_an_array_is_mapped_not_read(opened):
    for images in (opened(COLOUR), opened(COLOUR, "a.npz", np.savez)):
        base = images.array
        while base.base is not None and not isinstance(base, np.memmap):
            base = base.base
        assert isinstance(base, np.memmap)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (COLOUR / 255, "float64, whose range is not known.*multiply values of 0..1 by 255"),
        (COLOUR.astype(np.int64), "int64, whose range .*save uint8"),
        (COLOUR[0, 0], "has the shape .10, 3.: save uint8 of the shape"),
        (np.zeros((2, 12, 10, 4), np.uint8), "has the shape .2, 12, 10, 4."),
        (np.zeros((2, 3, 12, 3), np.uint8), "has the shape .2, 3, 12, 3."),  # either axis could be channels
        (COLOUR[:0], "holds no images"),
    ],
)
def test_what_is_no_array_of_images_is_refused_with_a_remedy(opened, array, words):
    with pytest.raises(EvaluationError, match=f"images.npy {words}" if words[0] == "h" else words):
        opened(array)


def test_files_that_are_none_are_refused(opened, tmp_path):
    with pytest.raises(EvaluationError, match="of its arrays left, right none is called images or arr_0"):
        opened(COLOUR, "two.npz", lambda file, array: np.savez(file, left=array, right=array))
    with pytest.raises(EvaluationError, match="it holds statistics, not images"):
        opened(COLOUR, "fid.npz", lambda file, array: np.savez(file, mu=np.zeros(2), sigma=np.eye(2)))
    with pytest.raises(EvaluationError, match="x.npz is no array of numpy's"):
        opened(COLOUR, "x.npz", lambda file, array: file.write_bytes(b"no zip"))
    with pytest.raises(EvaluationError, match="x.npy is no array of numpy's"):
        opened(COLOUR, "x.npy", lambda file, array: file.write_bytes(b"no array"))


def test_an_array_of_objects_runs_no_code(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(EvaluationError, match="objects.npy is no array"):
        open_images(str(tmp_path / "objects.npy"), tmp_path, print)
    content = io.BytesIO((tmp_path / "objects.npy").read_bytes())
    with zipfile.ZipFile(tmp_path / "objects.npz", "w") as archive:
        archive.writestr("images.npy", content.getvalue())
    with pytest.raises(EvaluationError, match="objects.npz is no array"):
        open_images(str(tmp_path / "objects.npz"), tmp_path, print)
