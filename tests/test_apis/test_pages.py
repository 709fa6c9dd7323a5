"""All pages of a file are colorized."""

import numpy as np
import pytest
import tifffile
from PIL import Image, TiffImagePlugin

from dualattn_mm.apis.pages import colorize_pages
from dualattn_mm.utils.image_io import find_pages, read_with_options
from dualattn_mm.utils.metadata import srgb_profile


@pytest.mark.parametrize('compression', [None, 'zlib'])
@pytest.mark.parametrize('options', [{}, {'byteorder': '>'}, {'bigtiff': True}])
def test_each_page_is_read_as_pillow_reads_it(tmp_path, rng, compression, options):
    path = tmp_path / 'a.tif'
    with tifffile.TiffWriter(path, **options) as file:
        for number in range(4):
            shape = (20, 30 + number, 3)[: 2 + number % 2]
            pixels = rng.integers(0, 256, shape).astype(np.uint8)
            file.write(pixels, compression=compression, description=f'page {number + 1}')
    pages = find_pages(path)
    with Image.open(path) as image:
        assert len(pages) == image.n_frames == 4
        for page in pages:
            image.seek(page.number - 1)
            found, _ = read_with_options(path, page=page)
            assert (page.width, page.height) == found.size == image.size
            np.testing.assert_array_equal(found, image)
            assert found.tag_v2[270] == f'page {page.number}'


def test_pages_do_not_inherit_a_profile(tmp_path):
    gray = Image.new('L', (8, 8))
    with tifffile.TiffWriter(tmp_path / 'a.tif') as file:
        file.write(np.asarray(gray), iccprofile=srgb_profile())
        file.write(np.asarray(gray))
    images = [
        read_with_options(tmp_path / 'a.tif', page=p)[0] for p in find_pages(tmp_path / 'a.tif')
    ]
    assert ['icc_profile' in image.info for image in images] == [True, False]


@pytest.mark.parametrize('kind', ['minisblack', 'rgb'])
def test_work_for_a_page_does_not_grow_with_their_number(tmp_path, pipe, monkeypatch, kind):
    count, loads = 40, []
    pixels = np.zeros((count, 8, 8, 3)[: 4 if kind == 'rgb' else 3], np.uint16)
    tifffile.imwrite(tmp_path / 'a.tif', pixels, photometric=kind)
    directory = TiffImagePlugin.ImageFileDirectory_v2
    load = directory.load  # by Pillow
    monkeypatch.setattr(
        directory, 'load', lambda self, file: (loads.append(1), load(self, file))[1]
    )
    monkeypatch.setattr('cv2.imreadmulti', None)
    result = colorize_pages(pipe, tmp_path / 'a.tif', tmp_path / 'b.tif')
    assert result.frames == count
    assert len(loads) < 10 * count
