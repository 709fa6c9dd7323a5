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


def test_hidden_color_does_not_count(tmp_path):
    """The color under fully transparent pixels is not seen."""
    gray = Image.fromarray(astronaut()).convert('L')
    shape = np.hypot(*np.ogrid[-256:256, -256:256]) < 200
    hidden = np.where(shape[..., None], np.asarray(gray.convert('RGB')), astronaut())
    cut_out = Image.fromarray(np.dstack([hidden, np.uint8(255 * shape)]))
    assert has_colors(cut_out.convert('RGB'))
    assert not has_colors(cut_out)
    keyed = Image.fromarray(np.where(shape, np.asarray(gray.point(lambda v: v // 2)), 255))
    keyed.putpalette([*np.repeat(np.arange(255), 3).tolist(), 255, 0, 255])
    for name in ('a.gif', 'a.png'):
        keyed.save(tmp_path / name, transparency=255)
        with Image.open(tmp_path / name) as image:
            assert not has_colors(image), name
    thin = np.broadcast_to(np.arange(512) < 4, (512, 512))
    for visible, alpha in ((shape, 1), (shape, 254), (thin, 9), (thin, 0)):
        image = Image.fromarray(np.dstack([astronaut(), np.uint8(visible * alpha)]))
        assert has_colors(image) == (alpha > 0)
