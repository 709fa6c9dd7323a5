"""The transparent color of PNG files, which Pillow does not scale as it scales the pixels."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from dualattn_mm.apis import ColorizationPipeline
from dualattn_mm.utils.image_io import read_image
from dualattn_mm.utils.pixels import to_pixels

GRAY, RGB = 0, 2
# For each kind: bits, color type, the transparent color, and a row in whose first half it is.
KINDS = {
    '1-bit gray': (1, GRAY, (1,), b'\xf0'),
    '2-bit gray': (2, GRAY, (2,), b'\xaa\x00'),
    '4-bit gray': (4, GRAY, (15,), b'\xff\xff\x00\x00'),
    '8-bit gray': (8, GRAY, (240,), bytes([240] * 4 + [0] * 4)),
    '16-bit gray': (16, GRAY, (0xF011,), struct.pack('>8H', *[0xF011] * 4, *[0] * 4)),
    '8-bit RGB': (8, RGB, (1, 2, 3), bytes([1, 2, 3] * 4 + [9] * 12)),
    '16-bit RGB': (
        16,
        RGB,
        (1000, 2000, 3000),
        struct.pack('>24H', *[1000, 2000, 3000] * 4, *[40000] * 12),
    ),
}
HALF = np.repeat([0, 1], 4)


@pytest.fixture(params=KINDS)
def path(request, tmp_path):
    bits, kind, hidden, row = KINDS[request.param]
    chunks = {
        b'IHDR': struct.pack('>IIBBBBB', 8, 5, bits, kind, 0, 0, 0),
        b'tRNS': struct.pack(f'>{len(hidden)}H', *hidden),
        b'IDAT': zlib.compress((b'\0' + row) * 5),
        b'IEND': b'',
    }
    with (tmp_path / 'a.png').open('wb') as file:
        file.write(b'\x89PNG\r\n\x1a\n')
        for name, data in chunks.items():
            check = zlib.crc32(name + data)
            file.write(struct.pack('>I', len(data)) + name + data + struct.pack('>I', check))
    return tmp_path / 'a.png'


def test_transparent_color_becomes_alpha(path):
    color, alpha, remark = to_pixels(read_image(path))
    np.testing.assert_array_equal(alpha / np.iinfo(alpha.dtype).max, np.tile(HALF, (5, 1)))
    bits = int(path.read_bytes()[24])
    assert (color.itemsize, remark) == (max(bits, 8) // 8, '')


def test_transparent_color_of_an_image_from_pillow_becomes_alpha(path, uniform_color):
    pipe = ColorizationPipeline.from_generator(uniform_color(), size=32)
    alpha = np.asarray(pipe(Image.open(path)).getchannel('A'))
    np.testing.assert_array_equal(alpha, np.tile(255 * HALF, (5, 1)))
