"""Photos with 16 bits per channel give results with 16 bits per channel."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage.color import lab2rgb, rgb2lab

from dualattn_mm.apis import ColorizationPipeline
from dualattn_mm.apis.colorize_files import FileColorizer
from dualattn_mm.apis.files import Plan
from dualattn_mm.apis.sources import find_sources
from dualattn_mm.utils.deep_image import DeepImage
from dualattn_mm.utils.image_io import write_image

STEP = 100 / 65535  # of lightness


@pytest.fixture
def gradient():
    return np.arange(65536, dtype=np.uint16).reshape(256, 256)


def gray_lightness(values):
    return rgb2lab(np.repeat(values[..., None] / 65535, 3, axis=2))[..., 0]


@pytest.mark.parametrize('ab', [(0.0, 0.0), (12.0, -20.0), (60.0, 60.0), (-90.0, 80.0)])
def test_sixteen_bits_keep_every_step_of_lightness(uniform_color, gradient, ab):
    out = ColorizationPipeline.from_generator(uniform_color(ab), size=32)(gradient)
    assert out.dtype == np.uint16
    # What rounding each channel costs is at most half a step of the steepest part of L.
    difference = np.abs(rgb2lab(out / 65535)[..., 0] - gray_lightness(gradient))
    assert difference.max() < 6 * STEP
    assert difference.mean() < STEP
    assert len(np.unique(out[..., 1])) > 10_000


def test_sixteen_bits_are_those_of_scikit_image(uniform_color, gradient):
    values = gradient[100:200]  # in gamut, where color does not fade
    out = ColorizationPipeline.from_generator(uniform_color((12.0, -20.0)), size=32)(values)
    lightness = gray_lightness(values)
    lab = np.stack([lightness, np.full_like(lightness, 12), np.full_like(lightness, -20)], axis=-1)
    np.testing.assert_allclose(out, lab2rgb(lab) * 65535, rtol=0, atol=2)


@pytest.mark.parametrize('name', ['a.png', 'raw.tif', 'lzw.tif', 'big_endian.tif'])
def test_files_keep_their_depth(uniform_color, gradient, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    compression = {'raw.tif': 1, 'lzw.tif': 5}.get(name)
    if name == 'big_endian.tif':
        tifffile.imwrite(name, gradient, byteorder='>', compression='zlib', resolution=(600, 600))
    else:
        options = [cv2.IMWRITE_TIFF_COMPRESSION, compression] if compression else []
        cv2.imwrite(name, gradient, options)
    pipe = ColorizationPipeline.from_generator(uniform_color((12.0, -20.0)), size=32)
    files = FileColorizer(pipe)
    files.colorize(Plan(find_sources([name], Path('out')), Path('out'), True, False))
    assert (files.done, files.failed) == (1, 0)
    stored = cv2.imread(f'out/{name}', cv2.IMREAD_UNCHANGED)[..., ::-1]
    np.testing.assert_array_equal(stored, pipe(gradient))
    with Image.open(f'out/{name}') as result:
        assert result.info['icc_profile']
        expected = {'raw.tif': 'raw', 'lzw.tif': 'tiff_lzw', 'big_endian.tif': 'tiff_adobe_deflate'}
        assert result.info.get('compression') == expected.get(name)
        if name == 'big_endian.tif':
            assert result.info['dpi'] == (600, 600)
    assert Image.open(f'out/{name}.compare.png').size == (512, 256)
    assert sorted(path.name for path in Path('out').iterdir()) == [name, f'{name}.compare.png']


@pytest.mark.parametrize('name', ['a.png', 'a.tif'])
def test_alpha_of_sixteen_bits(tmp_path, rng, name):
    pixels = rng.integers(0, 65536, (70, 6, 4)).astype(np.uint16)
    format_ = 'PNG' if name.endswith('png') else 'TIFF'
    write_image(DeepImage(pixels.copy(), {'dpi': (72.0, 72.0)}), tmp_path / name, format_, False)
    stored = cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(stored[..., [2, 1, 0, 3]], pixels)
    with Image.open(tmp_path / name) as image:
        assert image.mode == 'RGBA'
        assert image.info['dpi'] == pytest.approx((72, 72), abs=0.1)
