"""Colorfulness against figures worked out by hand."""

import numpy as np
import pytest

from dualattn_mm.utils.colorfulness import colorfulness


def test_gray_has_none(rng):
    gray = rng.integers(0, 256, (20, 30, 1), dtype=np.uint8)
    assert colorfulness(np.repeat(gray, 3, axis=2)) == 0


def test_a_flat_color_counts_by_its_mean_alone():
    image = np.full((3, 3, 3), (200, 100, 50), np.uint8)
    # rg = 100, yb = 150 - 50 = 100
    assert colorfulness(image) == pytest.approx(0.3 * 100 * 2**0.5)


@pytest.mark.parametrize(
    ('one', 'other'),
    [
        ((100, 0, 50), (0, 100, 50)),  # rg = +-100: deviation 100, mean 0; yb = 0
        ((100, 100, 0), (0, 0, 100)),  # yb = +-100; rg = 0
    ],
)
def test_opposite_colors_count_by_their_spread_alone(one, other):
    # With the absolute differences that some scripts take, the deviation would be 0.
    assert colorfulness(np.array([[one, other]], np.uint8)) == pytest.approx(100)


@pytest.mark.parametrize('image', [np.zeros((3, 4), np.uint8), np.zeros((3, 4, 3))])
def test_another_shape_or_type_is_refused(image):
    with pytest.raises(ValueError, match='uint8'):
        colorfulness(image)
