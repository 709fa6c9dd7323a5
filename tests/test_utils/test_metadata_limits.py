"""Metadata of strangers that would take long."""

import io

import numpy as np
from PIL import Image

from dualattn_mm.utils.metadata import read_metadata


def test_long_padding_of_xmp_is_read_at_once():
    """A pattern that is tried at each space would take hours."""
    xmp = b'<x:xmpmeta>' + b' ' * 2**20 + b'</x:xmpmeta>'
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(file, 'WEBP', xmp=xmp)
    with Image.open(file) as image:
        image.load()
        assert read_metadata(image).xmp == xmp
