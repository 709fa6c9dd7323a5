"""The labeled grid of images."""

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
    image = Image.new('RGB', (100, 30), 'white')
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


def is_of(sheet, color):
    return (np.asarray(sheet) == color).all(axis=-1)


def test_a_label_wider_than_its_pictures_has_a_column_to_itself():
    image = Image.new('RGB', (20, 40), 'red')
    label = 'a method of a long name'
    both = gallery({label: [image], f'{label} too': [image]}, ['x'], height=40)
    text = is_of(both.crop((0, 0, both.width, 30)), (255, 255, 255)).all(axis=0)
    # Where the two labels meet there is a gap wider than one between words, at either picture's
    # side of it, and no label is cut off.
    columns = np.nonzero(is_of(both, (255, 0, 0)).any(axis=0))[0]
    assert len(columns) == 40
    (middle,) = np.nonzero(np.diff(columns) > 1)[0]
    between = text[columns[middle] : columns[middle + 1]]
    runs = ''.join(' ' if white else 'x' for white in between).split('x')
    assert max(map(len, runs)) >= 8
    assert text[:4].all()
    assert text[-4:].all()


def test_a_long_caption_is_not_cut_off():
    image = Image.new('RGB', (20, 40))
    sheet = gallery({'a': [image]}, ['n01440764/ILSVRC2012_val_00000293'], height=40)
    white = is_of(sheet, (255, 255, 255)).all(axis=0)
    assert white[-4:].all()
    assert not white[60:].all()


def test_widths_that_differ_by_rounding_are_made_one():
    red, blue, wide = (
        Image.new('RGB', size, name)
        for size, name in (((100, 75), 'red'), ((96, 73), 'blue'), ((200, 75), 'lime'))
    )
    sheet = gallery({'a': [red], 'b': [blue], 'c': [wide]}, ['x'], height=75)
    widths = [is_of(sheet, c).any(axis=0).sum() for c in ((255, 0, 0), (0, 0, 255), (0, 255, 0))]
    assert widths == [100, 100, 200]
    assert all(is_of(sheet, c).any(axis=1).sum() == 75 for c in ((255, 0, 0), (0, 0, 255)))


def test_a_picture_of_extreme_shape_is_still_seen():
    line = Image.new('RGB', (1, 1000), 'red')
    assert is_of(gallery({'a': [line]}, ['x'], height=100), (255, 0, 0)).sum() == 100
