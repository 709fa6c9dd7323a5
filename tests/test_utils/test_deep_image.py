"""Photos with 16 bits per channel give results with 16 bits per channel."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps
from skimage.color import lab2rgb, rgb2lab

from dualattn_mm.apis import ColorizationPipeline, ColorizeError
from dualattn_mm.apis.colorize_files import FileColorizer
from dualattn_mm.apis.files import Plan
from dualattn_mm.apis.pages import colorize_pages
from dualattn_mm.apis.sources import find_sources
from dualattn_mm.utils import deep_image
from dualattn_mm.utils.deep_image import DeepImage
from dualattn_mm.utils.image_io import (
    FORMATS,
    find_pages,
    read_image,
    read_with_options,
    write_image,
)
from dualattn_mm.utils.pixels import to_pixels

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


def stored_color(name, pixels, **options):
    if name.endswith('.png'):
        cv2.imwrite(name, pixels[..., [2, 1, 0, 3][: pixels.shape[2]]])
    else:
        tifffile.imwrite(name, pixels, photometric='rgb', **options)


@pytest.mark.parametrize('channels', [3, 4])
@pytest.mark.parametrize('name', ['a.png', 'a.tif'])
def test_color_of_sixteen_bits_is_read(tmp_path, monkeypatch, rng, name, channels):
    monkeypatch.chdir(tmp_path)
    pixels = rng.integers(0, 65536, (50, 40, channels)).astype(np.uint16)
    stored_color(name, pixels, **({'extrasamples': [2]} if channels == 4 else {}))
    color, alpha, remark = to_pixels(read_image(Path(name)))
    np.testing.assert_array_equal(color, pixels[..., :3])
    assert remark == ''
    if channels == 4:
        np.testing.assert_array_equal(alpha, pixels[..., 3])


def test_premultiplied_colors_are_divided_by_alpha(tmp_path):
    """As Pillow does it, with 8 bits; OpenCV would give what is stored."""
    pixels = np.full((5, 4, 4), (10000, 5000, 0, 16384), np.uint16)
    tifffile.imwrite(tmp_path / 'a.tif', pixels, photometric='rgb', extrasamples=['assocalpha'])
    color, alpha, remark = to_pixels(read_image(tmp_path / 'a.tif'))
    np.testing.assert_allclose(color / 255, np.full((5, 4, 3), (0.610, 0.305, 0)), atol=0.02)
    np.testing.assert_allclose(alpha / 255, 0.25, atol=0.01)
    assert remark == 'its 16 bits per channel were reduced to 8'


def test_lost_bits_of_ink_are_said(tmp_path):
    tifffile.imwrite(tmp_path / 'a.tif', np.zeros((5, 4, 4), np.uint16), photometric='separated')
    color, _, remark = to_pixels(read_image(tmp_path / 'a.tif'))
    assert (color.dtype, remark) == (np.uint8, 'its 16 bits per channel were reduced to 8')


@pytest.mark.skipif('JPEG2000' not in FORMATS, reason='needs a Pillow with JPEG 2000')
@pytest.mark.parametrize('suffix', ['.jp2', '.j2k'])
def test_lost_bits_of_jpeg_2000_are_said(tmp_path, rng, suffix):
    lost = 'its 16 bits per channel were reduced to 8'
    pixels = rng.integers(0, 65536, (50, 40, 3)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / 'deep.jp2'), pixels)
    boxes = (tmp_path / 'deep.jp2').read_bytes()
    codestream = boxes[boxes.index(b'jp2c') + 4 :]
    (tmp_path / 'deep.j2k').write_bytes(codestream)
    # A box before the codestream, with a size of 64 bits, and a codestream until the end.
    at = boxes.index(b'jp2c') - 4
    box = struct.pack('>I4sQ', 1, b'free', 20) + codestream[:4]
    long = boxes[:at] + box + struct.pack('>I4s', 0, b'jp2c') + codestream
    (tmp_path / 'long.jp2').write_bytes(long)
    Image.fromarray((pixels >> 8).astype(np.uint8)).save(tmp_path / f'color{suffix}')
    Image.fromarray(pixels[..., 0]).save(tmp_path / f'gray{suffix}', irreversible=False)
    for name, remark in (
        (f'deep{suffix}', lost),
        ('long.jp2', lost),
        (f'color{suffix}', ''),
        (f'gray{suffix}', ''),
    ):
        found = to_pixels(read_image(tmp_path / name))
        assert found.remark == remark, name
        assert found.color.dtype == (np.uint16 if name.startswith('gray') else np.uint8)


@pytest.mark.parametrize('most', [2**31 - 1, 0])  # bytes that OpenCV reads from memory
@pytest.mark.parametrize('options', [{}, {'byteorder': '>'}, {'bigtiff': True}])
def test_sixteen_bits_of_later_pages_are_read(tmp_path, monkeypatch, rng, options, most):
    monkeypatch.setattr(deep_image, '_MOST_IN_MEMORY', most)
    stored = rng.integers(0, 65536, (3, 5, 4, 3)).astype(np.uint16)
    tifffile.imwrite(tmp_path / 'a.tif', stored, photometric='rgb', **options)
    pages = find_pages(tmp_path / 'a.tif')
    assert [page[:3] for page in pages] == [(1, 4, 5), (2, 4, 5), (3, 4, 5)]
    for page, pixels in zip(pages, stored, strict=True):
        image, _ = read_with_options(tmp_path / 'a.tif', page=page)
        np.testing.assert_array_equal(to_pixels(image).color, pixels)


@pytest.mark.parametrize('orientation', range(2, 9))
def test_sixteen_bits_of_later_pages_are_upright(tmp_path, rng, orientation):
    pixels = rng.integers(0, 65536, (5, 4, 3)).astype(np.uint16)
    with tifffile.TiffWriter(tmp_path / 'a.tif') as file:
        file.write(np.zeros((9, 9), np.uint8))
        tag = (274, 3, 1, orientation, True)
        file.write(pixels, photometric='rgb', extratags=[tag], compression='zlib')
    with Image.open(tmp_path / 'a.tif') as image:
        image.seek(1)
        expected = np.asarray(ImageOps.exif_transpose(image))
    image, _ = read_with_options(tmp_path / 'a.tif', page=find_pages(tmp_path / 'a.tif')[1])
    np.testing.assert_array_equal(to_pixels(image).color >> 8, expected)


def test_separate_planes_of_sixteen_bits_are_refused(tmp_path):
    planes = np.zeros((3, 50, 40), np.uint16)
    tifffile.imwrite(tmp_path / 'a.tif', planes, photometric='rgb', planarconfig='separate')
    with pytest.raises(ColorizeError, match='in separate planes is not supported'):
        read_image(tmp_path / 'a.tif')


@pytest.mark.parametrize('orientation', range(2, 9))
def test_color_of_sixteen_bits_in_png_is_upright(tmp_path, rng, orientation):
    pixels = rng.integers(0, 65536, (5, 4, 3)).astype(np.uint16)
    exif = Image.Exif()
    exif[274] = orientation
    write_image(
        DeepImage(pixels.copy(), {'exif': exif.tobytes()}), tmp_path / 'a.png', 'PNG', False
    )
    expected = ImageOps.exif_transpose(Image.open(tmp_path / 'a.png'))
    color = to_pixels(read_image(tmp_path / 'a.png')).color
    np.testing.assert_array_equal(color >> 8, expected)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_color_of_sixteen_bits_is_upright(tmp_path, monkeypatch, rng, orientation):
    monkeypatch.chdir(tmp_path)
    pixels = rng.integers(0, 65536, (5, 4, 3)).astype(np.uint16)
    for order in '<>':
        tag = (274, 3, 1, orientation, True)
        stored_color('a.tif', pixels, extratags=[tag], byteorder=order, compression='zlib')
        expected = ImageOps.exif_transpose(Image.open('a.tif'))
        color = to_pixels(read_image(Path('a.tif'))).color
        assert color.dtype == np.uint16
        np.testing.assert_array_equal(color >> 8, expected)


def test_profile_of_sixteen_bit_color_is_applied(tmp_path, monkeypatch, rng):
    monkeypatch.chdir(tmp_path)
    pixels = rng.integers(0, 65536, (50, 40, 3)).astype(np.uint16)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
    odd = bytearray(srgb)
    red, green = odd.index(b'rXYZ'), odd.index(b'gXYZ')
    odd[red : red + 4], odd[green : green + 4] = b'gXYZ', b'rXYZ'
    for profile, expected in (srgb, pixels), (bytes(odd), pixels[..., [1, 0, 2]]):
        stored_color('a.tif', pixels, iccprofile=profile)
        color = to_pixels(read_image(Path('a.tif'))).color
        # The numbers of a profile have 16 bits, which matters near black.
        difference = np.abs(color.astype(int) - expected)
        assert difference.max() < 257
        assert difference.mean() < 10


def test_results_of_sixteen_bit_color_have_sixteen_bits(uniform_color, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64) * 16
    stored_color('a.tif', np.stack([values] * 3, axis=2))
    files = FileColorizer(ColorizationPipeline.from_generator(uniform_color(), size=32))
    files.colorize(Plan(find_sources(['a.tif'], Path('out')), Path('out'), False, False))
    stored = tifffile.imread('out/a.tif')
    assert stored.dtype == np.uint16
    assert len(np.unique(stored[..., 1])) > 3000


def test_remarks_of_pages_are_reported(uniform_color, tmp_path):
    ink = np.zeros((2, 20, 24, 4), np.uint16)
    tifffile.imwrite(tmp_path / 'a.tif', ink, photometric='separated')
    pipe = ColorizationPipeline.from_generator(uniform_color(), size=32)
    result = colorize_pages(pipe, tmp_path / 'a.tif', tmp_path / 'b.tif')
    lost = 'its 16 bits per channel were reduced to 8'
    assert (result.frames, result.remark) == (2, f'page 1: {lost}; page 2: {lost}')
