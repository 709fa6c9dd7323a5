"""ICC profiles are treated by their effect and not by their name."""

import io
import struct
import sys
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms
from skimage.color import lab2xyz, rgb2lab

from dualattn_mm.utils.icc import gray_to_srgb
from dualattn_mm.utils.image_io import read_image
from dualattn_mm.utils.pixels import DEEP, to_pixels


def srgb_profile(name='sRGB', gamma=None):
    """Little CMS's own, under another name of four letters or with another curve."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes())
    if gamma is not None:
        curve = b'curv\0\0\0\0' + struct.pack('>IH', 1, round(gamma * 256))
        for channel in (b'rTRC', b'gTRC', b'bTRC'):
            entry = data.index(channel)
            (at,) = struct.unpack('>I', data[entry + 4 : entry + 8])
            data[at : at + len(curve)] = curve
    return bytes(data).replace('sRGB'.encode('utf-16-be'), name.encode('utf-16-be'))


def gray_profile(curve, pcs=b'XYZ '):
    return minimal_profile(b'GRAY' + pcs, {b'kTRC': curve})


def minimal_profile(spaces, content, version=4):
    """A minimal display profile according to ICC.1:2022, with some tags."""

    def text(value):
        words = value.encode('utf-16-be')
        return b'mluc\0\0\0\0' + struct.pack('>II4sII', 1, 12, b'enUS', len(words), 28) + words

    tags = {
        b'desc': text('test'),
        b'cprt': text('none'),
        b'wtpt': b'XYZ \0\0\0\0' + struct.pack('>III', 0xF6D6, 0x10000, 0xD32D),
        **content,
    }
    table, values = struct.pack('>I', len(tags)), b''
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += struct.pack('>4sII', name, start + len(values), len(data))
        values += data + bytes(-len(data) % 4)
    head = bytearray(128)
    head[:4] = struct.pack('>I', start + len(values))
    head[8] = version
    head[12:24] = b'mntr' + spaces
    head[36:40] = b'acsp'
    head[68:80] = struct.pack('>III', 0xF6D6, 0x10000, 0xD32D)
    return bytes(head) + table + values


def lab_in_table(rgb):
    """Linear in RGB, so that it does not matter how a table is interpolated."""
    r, g, b = np.moveaxis(rgb, -1, 0)
    return np.stack([100 * (r + g + b) / 3, 40 * (r - g), 40 * (g - b)], axis=-1)


def table_profile():
    """A profile with a table (mft2, 10.10) that holds the Lab values of the corners of RGB."""
    corners = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing='ij'), axis=-1).reshape(-1, 3)
    values = np.round(lab_in_table(corners) * (652.8, 256, 256) + (0, 32768, 32768))
    identity, curves = np.eye(3, dtype='>i4') * 65536, np.array([0, 65535] * 3, '>u2')
    parts = identity.astype('>i4'), np.array([2, 2], '>u2'), curves, values.astype('>u2'), curves
    table = b'mft2\0\0\0\0\3\3\2\0' + b''.join(part.tobytes() for part in parts)
    # In version 4, Little CMS would move the black point.
    return minimal_profile(b'RGB Lab ', {b'A2B0': table}, version=2)


def deep_image(values, profile):
    image = Image.fromarray((values >> 8).astype(np.uint8))
    image.info |= {DEEP: values, 'icc_profile': profile}
    return image


def gamma_curve(gamma):
    return b'curv\0\0\0\0' + struct.pack('>IH', 1, round(gamma * 256))


def parametric(kind, *numbers):
    fixed = (round(number * 65536) for number in numbers)
    return b'para\0\0\0\0' + struct.pack(f'>HH{len(numbers)}i', kind, 0, *fixed)


def table(values):
    return b'curv\0\0\0\0' + struct.pack(f'>I{len(values)}H', len(values), *values)


SRGB = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
TABLE = [0, 300, 4000, 20_000, 65_535]
# The curve, and what ICC.1:2022 says it is.
CURVES = {
    'identity': (table([]), lambda x: x),
    'gamma 1.0': (gamma_curve(1.0), lambda x: x),
    'gamma 1.8': (gamma_curve(1.8), lambda x: x ** (461 / 256)),
    'gamma 2.2': (gamma_curve(2.2), lambda x: x ** (563 / 256)),
    'table': (table(TABLE), lambda x: np.interp(4 * x, range(5), np.divide(TABLE, 65_535))),
    'parametric 0': (parametric(0, 2.0), lambda x: x**2),
    'parametric 1': (
        parametric(1, 2.0, 1.25, -0.25),
        lambda x: np.where(x >= 0.2, (1.25 * x - 0.25) ** 2, 0),
    ),
    'parametric 2': (
        parametric(2, 2.0, 1.0, -0.25, 0.25),
        lambda x: np.where(x >= 0.25, (x - 0.25) ** 2 + 0.25, 0.25),
    ),
    'parametric 3': (
        parametric(3, *SRGB),
        lambda x: np.where(x >= 0.04045, ((x + 0.055) / 1.055) ** 2.4, x / 12.92),
    ),
    'parametric 4': (
        parametric(4, 2.0, 0.75, 0.125, 0.25, 0.5, 0.0625, 0.03125),
        lambda x: np.where(x >= 0.5, (0.75 * x + 0.125) ** 2 + 0.0625, 0.25 * x + 0.03125),
    ),
}


def encoded(luminance):
    """IEC 61966-2-1."""
    return np.where(
        luminance <= 0.0031308, 12.92 * luminance, 1.055 * luminance ** (1 / 2.4) - 0.055
    )


@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize('curve', CURVES)
@pytest.mark.parametrize('suffix', ['png', 'tif'])
def test_gray_follows_the_curve_of_its_profile(tmp_path, rng, suffix, curve, bits):
    data, function = CURVES[curve]
    full = 2**bits - 1
    values = rng.integers(0, full + 1, (16, 16)).astype(f'uint{bits}')
    path = tmp_path / f'a.{suffix}'
    Image.fromarray(values).save(path, icc_profile=gray_profile(data))
    color, _, remark = to_pixels(read_image(path))
    assert color.dtype == values.dtype
    assert not remark
    # The numbers of a parametric curve have 16 binary places.
    np.testing.assert_allclose(
        color, full * encoded(function(values / full)), atol=0.5 + full / 20_000
    )


@pytest.mark.parametrize('bits', [8, 16])
def test_gray_profile_may_give_the_lightness(tmp_path, bits):
    full = 2**bits - 1
    values = np.linspace(0, full, 64).round().astype(f'uint{bits}').reshape(8, 8)
    profile = gray_profile(gamma_curve(1.0), b'Lab ')
    Image.fromarray(values).save(tmp_path / 'a.png', icc_profile=profile)
    color = to_pixels(read_image(tmp_path / 'a.png')).color
    gray = np.repeat(color[..., None] / full, 3, axis=2)
    np.testing.assert_allclose(rgb2lab(gray)[..., 0], 100 * (values / full), atol=0.3)


@pytest.mark.parametrize(
    'curve', ['gamma 1.8', 'gamma 2.2', 'parametric 0', 'parametric 3', 'table']
)
def test_gray_is_as_little_cms_sees_it(curve):
    profile = gray_profile(CURVES[curve][0])
    levels = np.arange(256, dtype=np.uint8)[None]
    seen = ImageCms.profileToProfile(
        Image.fromarray(levels),
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile('sRGB'),
        outputMode='RGB',
    )
    ours = gray_to_srgb(levels.astype(np.uint16) * 257, profile) / 257
    assert np.abs(ours - np.asarray(seen)[..., 0]).max() < 1.5


def png_chunk(name, data):
    return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))


def write_gray_alpha(path, gray, alpha, profile=b''):
    """Write a PNG file of gray with alpha, which neither Pillow nor OpenCV do with 16 bits."""
    both = np.stack([gray, alpha], axis=-1)
    rows = b''.join(b'\0' + row.astype(both.dtype.newbyteorder('>')).tobytes() for row in both)
    head = struct.pack('>IIBBBBB', *gray.shape[::-1], 8 * gray.itemsize, 4, 0, 0, 0)
    data = b'\x89PNG\r\n\x1a\n' + png_chunk(b'IHDR', head)
    if profile:
        data += png_chunk(b'iCCP', b'x\0\0' + zlib.compress(profile))
    path.write_bytes(data + png_chunk(b'IDAT', zlib.compress(rows)) + png_chunk(b'IEND', b''))


def test_profile_of_gray_with_alpha_is_applied_at_sixteen_bits(tmp_path, rng):
    gray, alpha = rng.integers(0, 65536, (2, 24, 16)).astype(np.uint16)
    write_gray_alpha(tmp_path / 'a.png', gray, alpha, gray_profile(gamma_curve(1.0)))
    color, found, remark = to_pixels(read_image(tmp_path / 'a.png'))
    assert (color.dtype, remark) == (np.uint16, '')
    np.testing.assert_allclose(color, 65535 * encoded(gray / 65535), atol=1)
    np.testing.assert_array_equal(found, alpha)
    color, _, remark = to_pixels(Image.open(tmp_path / 'a.png'))  # by Pillow, with 8 bits
    assert remark == ''
    np.testing.assert_allclose(color, 255 * encoded((gray >> 8) / 255), atol=0.5)


def insert(path, name, data):
    """Insert a chunk into a PNG file, after the header."""
    stored = path.read_bytes()
    path.write_bytes(stored[:33] + png_chunk(name, data) + stored[33:])


def insert_gamma(path, gamma):
    insert(path, b'gAMA', struct.pack('>I', round(gamma * 100_000)))


@pytest.mark.parametrize('gamma', [1.0, 0.3])
@pytest.mark.parametrize('kind', ['gray', 'gray and alpha', 'RGB', 'RGBA', 'palette'])
@pytest.mark.parametrize('bits', [8, 16])
def test_gamma_of_png_is_applied(tmp_path, rng, bits, kind, gamma):
    path, full = tmp_path / 'a.png', 2**bits - 1
    values = rng.integers(0, full + 1, (24, 16, 4)).astype(f'uint{bits}')
    color, alpha = values[..., :3], values[..., 3]
    if kind == 'palette':
        image, full = Image.fromarray(color.astype(np.uint8)).quantize(16), 255
        image.save(path)
        color = np.asarray(image.convert('RGB'))
    elif kind.startswith('gray'):
        color = values[..., :1]
        if kind == 'gray':
            Image.fromarray(color[..., 0]).save(path)
        else:
            write_gray_alpha(path, color[..., 0], alpha)
    else:
        cv2.imwrite(str(path), values[..., [2, 1, 0, 3][: len(kind)]])
    insert_gamma(path, gamma)
    found = to_pixels(read_image(path))
    expected = full * encoded((color / full) ** (1 / gamma))
    assert np.abs(found.color.reshape(24, 16, -1) - expected).max() <= 0.51
    if kind in ('gray and alpha', 'RGBA'):
        np.testing.assert_array_equal(found.alpha, alpha)


@pytest.mark.parametrize('gamma', [0.45455, 0.46, 0, 0.001, 100])
def test_gamma_of_srgb_and_nonsense_change_nothing(tmp_path, gamma):
    levels = Image.linear_gradient('L')
    levels.save(tmp_path / 'a.png')
    insert_gamma(tmp_path / 'a.png', gamma)
    np.testing.assert_array_equal(to_pixels(read_image(tmp_path / 'a.png')).color, levels)


def test_gamma_beside_a_profile_or_srgb_does_not_count(tmp_path):
    levels = Image.linear_gradient('L').convert('RGB')
    for name, profile in (('a.png', srgb_profile()), ('b.png', None)):
        levels.save(tmp_path / name, icc_profile=profile)
        insert_gamma(tmp_path / name, 1.0)
    insert(tmp_path / 'b.png', b'sRGB', b'\0')
    for name in ('a.png', 'b.png'):
        np.testing.assert_array_equal(to_pixels(read_image(tmp_path / name)).color, levels)


def test_linear_gray_of_both_depths(tmp_path):
    for values in (np.full((4, 4), 64, np.uint8), np.full((4, 4), 64 * 257, np.uint16)):
        Image.fromarray(values).save(tmp_path / 'a.png', icc_profile=gray_profile(gamma_curve(1.0)))
        color = to_pixels(read_image(tmp_path / 'a.png')).color
        assert round(color[0, 0] / (257 if color.itemsize == 2 else 1)) == 137


def test_name_of_a_profile_counts_for_nothing(tmp_path):
    levels = Image.linear_gradient('L').convert('RGB')
    linear = srgb_profile('sRGB', gamma=1.0)
    opened = ImageCms.ImageCmsProfile(io.BytesIO(linear))
    assert ImageCms.getProfileDescription(opened).startswith('sRGB')
    levels.save(tmp_path / 'a.png', icc_profile=linear)
    color = to_pixels(read_image(tmp_path / 'a.png')).color
    assert abs(int(color[64, 0, 0]) - 137) <= 1
    levels.save(tmp_path / 'b.png', icc_profile=srgb_profile('odd '))
    np.testing.assert_array_equal(to_pixels(read_image(tmp_path / 'b.png')).color, levels)


@pytest.mark.parametrize(
    'profile',
    [
        b'no profile',
        gray_profile(gamma_curve(1.0))[:150],
        gray_profile(b'curv\0\0\0\0\0\0\0\xff'),
        gray_profile(b'text\0\0\0\0'),
        gray_profile(parametric(9, 1.0)),
        gray_profile(parametric(1, -30.0, 0.0, 0.0)),
        srgb_profile(),
        gray_profile(gamma_curve(1.0)).replace(b'kTRC', b'none'),
    ],
)
def test_profile_that_cannot_be_used_is_ignored_with_a_remark(tmp_path, profile):
    values = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    Image.fromarray(values).save(tmp_path / 'a.png', icc_profile=profile)
    color, _, remark = to_pixels(read_image(tmp_path / 'a.png'))
    np.testing.assert_array_equal(color, values)
    assert remark.startswith('its ICC profile was ignored (')
    assert '\n' not in remark


def test_table_for_sixteen_bits_is_applied_with_them_or_it_is_said(monkeypatch, rng):
    values = np.round(rng.uniform(0.35, 0.65, (24, 24, 3)) * 65535).astype(np.uint16)
    image = deep_image(values, table_profile())
    # From D50, the white of profiles, to linear sRGB (Bradford).
    matrix = [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
    xyz = lab2xyz(lab_in_table(values / 65535), illuminant='D50')
    expected = encoded((xyz @ np.transpose(matrix)).clip(0, 1)) * 65535
    with monkeypatch.context() as context:
        context.setitem(sys.modules, 'imagecodecs', None)
        color, _, remark = to_pixels(image)
    assert color.dtype == np.uint8
    assert np.abs(color * 257.0 - expected).max() < 2.5 * 257
    assert remark.startswith('its 16 bits per channel were reduced to 8')
    pytest.importorskip('imagecodecs')
    color, _, remark = to_pixels(image)
    assert (color.dtype, remark) == (np.uint16, '')
    assert np.abs(color - expected).max() < 16


def test_sixteen_bits_stay_if_their_profile_is_damaged(rng):
    values = rng.integers(0, 65536, (4, 4, 3)).astype(np.uint16)
    for profile in (b'no profile', gray_profile(gamma_curve(1.0)), table_profile()[:300]):
        color, _, remark = to_pixels(deep_image(values, profile))
        np.testing.assert_array_equal(color, values)
        assert remark.startswith('its ICC profile was ignored (')
