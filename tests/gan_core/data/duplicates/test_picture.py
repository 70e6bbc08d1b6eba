"""The pictures of near-duplicates: can their titles be read?"""

import io

import numpy as np
from PIL import Image

from gan_core.data.duplicates.picture import GAP, LABEL, SIDE, groups_picture, pairs_picture

BLACK = np.zeros((1, 8, 8), np.uint8)


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("L"))


def test_the_words_of_a_title_stand_apart():
    line = pixels(pairs_picture([("ss ss", [(BLACK, BLACK)])]))[GAP : GAP + LABEL]
    written = np.flatnonzero((line < 128).any(axis=0))
    assert np.diff(written).max() >= 5  # between letters it is 3 at most


def test_a_title_is_whole_and_on_no_image():
    title = "group 7: 1,234 images, the first stays, and more than that"
    sheet = pixels(groups_picture([(title, [BLACK]), (title, [BLACK])]))
    assert (sheet[:, -GAP:] == 255).all()
    top = GAP + LABEL
    assert (sheet[top : top + SIDE, GAP : GAP + SIDE] == 0).all()
    assert (sheet[top + SIDE : top + SIDE + GAP] == 255).all()
