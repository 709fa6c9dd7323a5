"""Colorfulness against figures worked out by hand."""

import numpy as np
import pytest
from PIL import Image, ImageOps
from skimage.data import astronaut

from dualattn_mm.utils.colorfulness import colorfulness, has_colors


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


def test_has_colors_tells_color_photos_from_gray_and_toned_ones(rng):
    color = Image.fromarray(astronaut())
    gray = color.convert('L')
    sepia = ImageOps.colorize(gray, (20, 12, 8), (250, 235, 200), (160, 120, 80))
    noise = rng.normal(0, 12, (*gray.size, 3))
    noisy = Image.fromarray((np.asarray(sepia) + noise).clip(0, 255).astype(np.uint8))
    for image in (gray, gray.convert('RGB'), gray.convert('CMYK'), gray.convert('P'), sepia, noisy):
        assert not has_colors(image), image.mode
    for image in (color, color.convert('CMYK'), color.convert('P'), color.resize((3, 5))):
        assert has_colors(image), image.mode
    assert has_colors(color.convert('RGBA').convert('RGBa'))
    assert not has_colors(Image.new('I;16', (5, 5)))
