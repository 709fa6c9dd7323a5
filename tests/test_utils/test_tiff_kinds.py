"""TIFF files with all kinds of samples are read correctly or rejected with the true reason."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from dualattn_mm.apis import ColorizeError
from dualattn_mm.utils.image_io import read_image
from dualattn_mm.utils.pixels import to_pixels

ROOT = Path(__file__).resolve().parents[2]


def color_of(path):
    return to_pixels(read_image(path)).color


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('photometric', [0, 1])
@pytest.mark.parametrize('compression', ['raw', 'packbits', 'tiff_adobe_deflate'])
def test_zero_is_white_or_black(tmp_path, rng, dtype, photometric, compression):
    full = np.iinfo(dtype).max
    values = rng.integers(0, full + 1, (9, 7)).astype(dtype)
    path = tmp_path / 'a.tif'
    Image.fromarray(values).save(path, compression=compression, tiffinfo={262: photometric})
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].photometric == photometric
        stored = file.asarray()
    expected = stored if photometric else full - stored
    np.testing.assert_array_equal(color_of(path), expected)


def packed_12_bits(values):
    flat = values.reshape(values.shape[0], -1, 2).astype(np.uint16)
    first, second = flat[..., 0], flat[..., 1]
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=-1)
    return packed.astype(np.uint8).tobytes()


def test_twelve_bits_have_the_full_range(tmp_path):
    values = np.linspace(0, 4095, 64).round().astype(np.uint16).reshape(8, 8)
    path = tmp_path / 'a.tif'
    tifffile.imwrite(path, values, photometric='minisblack', byteorder='<')
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        bits, strip = tags[258].valueoffset, file.pages[0].dataoffsets[0]
        count = tags[279].valueoffset
    pixels = packed_12_bits(values)
    data[bits : bits + 2] = (12).to_bytes(2, 'little')
    data[count : count + 4] = len(pixels).to_bytes(4, 'little')
    data[strip : strip + len(pixels)] = pixels
    path.write_bytes(data)
    np.testing.assert_allclose(color_of(path), values * (65535 / 4095), atol=1)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_big_endian_bigtiff_is_refused_with_the_reason(tmp_path, rng, dtype):
    values = rng.integers(0, 256, (9, 7)).astype(dtype)
    tifffile.imwrite(tmp_path / 'little.tif', values, byteorder='<', bigtiff=True)
    np.testing.assert_array_equal(color_of(tmp_path / 'little.tif'), values)
    tifffile.imwrite(tmp_path / 'big.tif', values, byteorder='>', bigtiff=True)
    with pytest.raises(ColorizeError) as error:
        read_image(tmp_path / 'big.tif')
    reason = 'big-endian BigTIFF is not supported: save it as an ordinary TIFF'
    assert str(error.value) == reason


@pytest.mark.parametrize(
    ('values', 'options', 'reason'),
    [
        (np.zeros((4, 4, 2), np.uint16), dict(extrasamples=['unassalpha']), r'16 \+ 16 bits'),
        (np.zeros((4, 4), np.float32), {}, 'floating-point images are not supported'),
        (np.zeros((4, 4), np.float16), {}, '16 bits per pixel, floating-point'),
        (np.zeros((4, 4), np.float64), {}, '64 bits per pixel, floating-point'),
        (np.zeros((4, 4, 3), np.float32), dict(photometric='rgb'), 'floating-point'),
        (np.zeros((4, 4), np.uint32), {}, '32.bit'),
        (np.zeros((4, 4), np.int16), {}, 'signed samples are not supported'),
        (np.zeros((4, 4), np.int8), {}, 'signed samples are not supported'),
        (np.zeros((4, 4), np.int32), {}, 'signed samples are not supported'),
    ],
)
@pytest.mark.parametrize('order', ['<', '>'])
def test_other_samples_are_refused_with_the_reason(tmp_path, values, options, reason, order):
    path = tmp_path / 'a.tif'
    tifffile.imwrite(path, values, byteorder=order, **{'photometric': 'minisblack', **options})
    with pytest.raises(ColorizeError, match=reason) as error:
        to_pixels(read_image(path))
    assert 'save it with 8 bits' in str(error.value)
    assert 'not a' not in str(error.value)


@pytest.mark.parametrize('format_', ['JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF'])
def test_damaged_header_is_no_other_format(tmp_path, format_):
    path = tmp_path / 'a'
    Image.new('RGB', (8, 8)).save(path, format_)
    path.write_bytes(path.read_bytes()[:14])
    with pytest.raises(ColorizeError, match=f'cannot be read: (damaged {format_}|Truncated) '):
        read_image(path)


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='libraries are found on Linux')
def test_libtiff_writes_nothing_to_the_terminal(tmp_path, capfd):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / 'a.tif'
    Image.fromarray(pixels).save(path, compression='tiff_lzw')
    data = bytearray(path.read_bytes())
    for at in range(2000, 3000, 7):
        data[at] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ColorizeError, match='cannot be read'):
        read_image(path)
    assert capfd.readouterr() == ('', '')


def test_pillow_logs_nothing_to_the_terminal(tmp_path):
    path = tmp_path / 'a.tif'
    tifffile.imwrite(path, np.zeros((4, 4, 3), np.uint8), photometric='rgb', byteorder='<')
    with tifffile.TiffFile(path) as file:
        samples = file.pages[0].tags[277].valueoffset
    data = bytearray(path.read_bytes())
    data[samples] = 226
    path.write_bytes(data)
    script = (
        'import sys; from pathlib import Path; from dualattn_mm.utils.image_io import read_image\n'
        'try: read_image(Path(sys.argv[1]))\n'
        'except ValueError: pass\n'
        'else: sys.exit(1)\n'
    )
    command = [sys.executable, '-c', script, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert (done.stdout, done.stderr) == ('', '')
