"""Photos in color are told from gray and toned ones."""

import numpy as np
from PIL import Image, ImageOps
from skimage.data import astronaut

from dualattn_mm.utils.in_color import has_colors


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
