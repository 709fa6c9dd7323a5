"""The labelled grid."""

import numpy as np
import pytest
from PIL import Image

from dualattn_mm.visualization import gallery


def test_every_picture_stands_in_its_cell():
    red, blue = Image.new('RGB', (40, 20), 'red'), Image.new('RGB', (20, 20), 'blue')
    sheet = np.asarray(gallery({'a': [red, blue], 'b': [blue, red]}, ['x', 'y'], height=60))
    is_red = (sheet == (255, 0, 0)).all(axis=-1)
    is_blue = (sheet == (0, 0, 255)).all(axis=-1)
    assert is_red.sum() == 2 * 120 * 60
    assert is_blue.sum() == 2 * 60 * 60
    middle_row, middle_column = np.array(sheet.shape[:2]) // 2
    # first row: red left of blue; second row: blue left of red
    assert np.nonzero(is_red[:middle_row])[1].max() < np.nonzero(is_blue[:middle_row])[1].min()
    assert np.nonzero(is_blue[middle_row:])[1].max() < np.nonzero(is_red[middle_row:])[1].min()
    assert middle_column > 120


def test_labels_and_captions_are_written():
    image = Image.new('RGB', (30, 30), 'white')
    with_text = np.asarray(gallery({'label': [image]}, ['caption'], height=30))
    without = np.asarray(gallery({'': [image]}, [''], height=30))
    changed = np.nonzero((with_text != without).any(axis=(1, 2)))[0]
    assert changed.min() < 30 < 60 < changed.max()


def test_gray_pictures_are_taken_too():
    assert gallery({'g': [Image.new('L', (10, 10), 7)]}, ['x']).mode == 'RGB'


def test_a_missing_picture_is_an_error():
    image = Image.new('RGB', (8, 8))
    with pytest.raises(ValueError, match="'b': 1"):
        gallery({'a': [image, image], 'b': [image]}, ['x', 'y'])
