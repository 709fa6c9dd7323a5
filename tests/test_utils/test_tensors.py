"""Photos as tensors."""

import numpy as np
from PIL import Image

from dualattn_mm.utils.tensors import read_photo


def test_photo_with_sixteen_bits_is_rounded_to_eight(tmp_path):
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(values).save(tmp_path / 'a.png')
    photo = read_photo(tmp_path / 'a.png')
    assert photo.shape == (3, 256, 256)
    for channel in photo:
        np.testing.assert_array_equal(channel, np.round(values / 257))
