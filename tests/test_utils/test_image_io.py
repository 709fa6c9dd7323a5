import io
import os
import re
import threading
import warnings

import numpy as np
import pytest
from PIL import Image, ImageCms, JpegImagePlugin
from skimage.data import astronaut

from dualattn_mm.apis import ColorizeError
from dualattn_mm.utils import image_io
from dualattn_mm.utils.errors import TooLargeError
from dualattn_mm.utils.image_io import output_name, read_header, read_image, write_image
from dualattn_mm.utils.metadata import read_metadata
from dualattn_mm.utils.pixels import quiet, to_pixels

MAKE, ORIENTATION, EXIF, GPS = 0x010F, 0x0112, 0x8769, 0x8825
DATE_TIME_ORIGINAL = 0x9003


@pytest.fixture(scope='module')
def photo():
    return Image.fromarray(astronaut()[::8, ::10])  # 64 x 52, smooth enough for JPEG


def exif_bytes(orientation=1):
    exif = Image.Exif()
    exif[MAKE] = 'Maker'
    exif[ORIENTATION] = orientation
    exif[EXIF] = {DATE_TIME_ORIGINAL: '1969:07:20 20:17:40'}
    exif[GPS] = {1: 'N', 2: (51.0, 28.0, 38.0)}
    return exif.tobytes()


def stored(tmp_path, image, name, **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


def pixels_of(path):
    return to_pixels(read_image(path))


@pytest.mark.parametrize('suffix', ['png', 'tif', 'bmp', 'webp'])
def test_lossless_formats(tmp_path, photo, suffix):
    options = {'lossless': True} if suffix == 'webp' else {}
    color, alpha, _ = pixels_of(stored(tmp_path, photo, f'a.{suffix}', **options))
    np.testing.assert_array_equal(color, photo)
    assert alpha is None


@pytest.mark.parametrize('mode', ['RGB', 'CMYK', 'L'])
def test_jpeg(tmp_path, photo, mode):
    image = photo.convert(mode)
    color, *_ = pixels_of(stored(tmp_path, image, 'a.jpg', quality=95, subsampling=0))
    expected = np.asarray(image if mode == 'L' else photo).astype(int)
    assert np.abs(color - expected).mean() < 3


def test_cmyk_tiff(tmp_path, photo):
    color, *_ = pixels_of(stored(tmp_path, photo.convert('CMYK'), 'a.tif'))
    np.testing.assert_array_equal(color, photo)


@pytest.mark.parametrize('name', ['a.png', 'a.tif'])
def test_palette(tmp_path, photo, name):
    image = photo.quantize(16)
    color, alpha, _ = pixels_of(stored(tmp_path, image, name))
    table = np.array(image.getpalette()).reshape(-1, 3)
    np.testing.assert_array_equal(color, table[np.asarray(image)])
    assert alpha is None


def test_palette_with_transparency(tmp_path, photo):
    image = photo.quantize(4)
    levels = bytes([0, 80, 160, 255])
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        color, alpha, _ = pixels_of(stored(tmp_path, image, 'a.png', transparency=levels))
    np.testing.assert_array_equal(alpha, np.frombuffer(levels, np.uint8)[np.asarray(image)])
    np.testing.assert_array_equal(
        color, np.array(image.getpalette()).reshape(-1, 3)[np.asarray(image)]
    )


@pytest.mark.parametrize('mode', ['L', 'RGB', 'I;16'])
def test_transparent_color(tmp_path, mode):
    """PNG may declare one color as transparent."""
    base = np.zeros((4, 6), np.uint8)
    base[:, 3:] = 255
    if mode == 'I;16':
        image, hidden = Image.fromarray(base.astype(np.uint16) * 257), 65535
    else:
        image = Image.fromarray(base).convert(mode)
        hidden = (255, 255, 255) if mode == 'RGB' else 255
    try:
        path = stored(tmp_path, image, 'a.png', transparency=hidden)
    except OSError:
        pytest.skip(f'this Pillow does not write transparency in mode {mode}')
    assert read_header(path).format == 'PNG'
    _, alpha, _ = pixels_of(path)
    np.testing.assert_array_equal(alpha, 255 - base)


@pytest.mark.parametrize(
    ('mode', 'name'),
    [('LA', 'a.png'), ('RGBA', 'a.png'), ('RGBA', 'a.webp'), ('RGBA', 'a.tif'), ('LA', 'a.tif')],
)
def test_alpha(tmp_path, photo, mode, name):
    alpha_in = Image.linear_gradient('L').resize(photo.size)
    image = photo.convert(mode)
    image.putalpha(alpha_in)
    options = {'lossless': True, 'exact': True} if name.endswith('webp') else {}
    path = stored(tmp_path, image, name, **options)
    assert read_header(path).format == Image.open(path).format
    color, alpha, _ = pixels_of(path)
    np.testing.assert_array_equal(alpha, alpha_in)
    np.testing.assert_array_equal(color, photo.convert('L' if mode == 'LA' else 'RGB'))


@pytest.mark.parametrize('name', ['a.png', 'a.tif'])
def test_sixteen_bit_gray(tmp_path, rng, name):
    values = rng.integers(0, 65536, (7, 9)).astype(np.uint16)
    path = stored(tmp_path, Image.fromarray(values), name)
    assert read_header(path).format == Image.open(path).format
    np.testing.assert_array_equal(pixels_of(path).color, values)


def test_sixteen_bit_big_endian_tiff(tmp_path, rng):
    values = rng.integers(0, 65536, (7, 9)).astype(np.uint16)
    image = Image.frombytes('I;16B', (9, 7), values.astype('>u2').tobytes())
    path = stored(tmp_path, image, 'a.tif')
    assert read_image(path).mode == 'I;16B'
    np.testing.assert_array_equal(pixels_of(path).color, values)


def test_sixteen_bits_in_mode_i(rng):
    values = rng.integers(0, 65536, (7, 9)).astype(np.int32)  # as Pillow 10 opens 16-bit PNG
    color, *_ = to_pixels(Image.fromarray(values))
    np.testing.assert_array_equal(color, values)
    assert color.dtype == np.uint16


# From the EXIF standard: how the stored rows and columns relate to the upright image.
UPRIGHT = {
    1: lambda s: s,
    2: lambda s: s[:, ::-1],
    3: lambda s: s[::-1, ::-1],
    4: lambda s: s[::-1],
    5: lambda s: s.transpose(1, 0, 2),
    6: lambda s: np.rot90(s, -1),
    7: lambda s: s[::-1, ::-1].transpose(1, 0, 2),
    8: lambda s: np.rot90(s),
}


@pytest.mark.parametrize('orientation', UPRIGHT)
@pytest.mark.parametrize('suffix', ['png', 'tif'])
def test_orientation(tmp_path, photo, orientation, suffix):
    path = stored(tmp_path, photo, f'a.{suffix}', exif=exif_bytes(orientation))
    np.testing.assert_array_equal(pixels_of(path).color, UPRIGHT[orientation](np.asarray(photo)))


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'webp', 'tif'])
def test_exif_survives_without_orientation(tmp_path, photo, suffix):
    path = stored(tmp_path, photo, f'a.{suffix}', exif=exif_bytes(6), dpi=(300, 300))
    result = Image.new('RGB', (52, 64))
    result.info.update(read_metadata(read_image(path)).to_info(52, 64))
    target = tmp_path / 'out' / f'b.{suffix}'
    write_image(result, target, read_header(path).format, overwrite=False)
    written = Image.open(target)
    exif = written.getexif()
    assert exif[MAKE] == 'Maker'
    assert exif.get(ORIENTATION, 1) == 1
    assert exif.get_ifd(EXIF)[DATE_TIME_ORIGINAL] == '1969:07:20 20:17:40'
    assert exif.get_ifd(GPS)[2] == (51.0, 28.0, 38.0)
    assert written.size == (52, 64)
    written.load()
    if suffix != 'webp':
        assert written.info['dpi'] == pytest.approx((300, 300), abs=0.1)


def test_broken_exif_does_not_cost_the_photo(tmp_path, photo):
    data = bytearray(exif_bytes(6))
    data[14:] = b'\xff' * (len(data) - 14)
    path = stored(tmp_path, photo, 'a.png', exif=bytes(data))
    image = read_image(path)
    np.testing.assert_array_equal(to_pixels(image).color, photo)
    metadata = read_metadata(image)
    assert 'exif' not in metadata.to_info(*photo.size)
    assert metadata.remark.startswith('its EXIF data was not copied')


def swapped_profile():
    """An ICC profile like sRGB, but with the primaries of red and blue exchanged."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes())
    red, blue = data.index(b'rXYZ'), data.index(b'bXYZ')
    data[red : red + 4], data[blue : blue + 4] = b'bXYZ', b'rXYZ'
    return bytes(data).replace('sRGB'.encode('utf-16-be'), 'odd '.encode('utf-16-be'))


def test_icc_profile_is_applied(tmp_path, photo):
    path = stored(tmp_path, photo, 'a.png', icc_profile=swapped_profile())
    color = pixels_of(path).color.astype(int)
    assert np.abs(color - np.asarray(photo)[..., ::-1]).max() <= 2


def test_icc_profile_leaves_alpha(tmp_path, photo):
    image = photo.copy()
    image.putalpha(Image.linear_gradient('L').resize(photo.size))
    path = stored(tmp_path, image, 'a.png', icc_profile=swapped_profile())
    color, alpha, _ = pixels_of(path)
    assert np.abs(color.astype(int) - np.asarray(photo)[..., ::-1]).max() <= 2
    np.testing.assert_array_equal(alpha, np.asarray(image)[..., 3])


@pytest.mark.parametrize('profile', [b'not a profile', swapped_profile()[:200]])
def test_broken_icc_profile_is_srgb(tmp_path, photo, profile):
    path = stored(tmp_path, photo, 'a.png', icc_profile=profile)
    np.testing.assert_array_equal(pixels_of(path).color, photo)


def test_profile_of_another_color_space_is_srgb(tmp_path, photo):
    gray = photo.convert('L')
    path = stored(tmp_path, gray, 'a.png', icc_profile=swapped_profile())
    np.testing.assert_array_equal(pixels_of(path).color, gray)


def test_first_frame(tmp_path, photo):
    path = tmp_path / 'a.tif'
    photo.save(path, save_all=True, append_images=[Image.new('RGB', (5, 5))])
    np.testing.assert_array_equal(pixels_of(path).color, photo)


def test_multi_picture_jpeg(tmp_path, photo):
    path = tmp_path / 'a.jpg'
    photo.save(path, 'MPO', save_all=True, append_images=[photo.convert('L').convert('RGB')])
    assert Image.open(path).format == 'MPO'
    assert read_header(path).format == 'JPEG'
    assert np.ptp(pixels_of(path).color.astype(int), axis=2).max() > 50


def damaged(photo, format_, keep):
    buffer = io.BytesIO()
    photo.save(buffer, format_)
    return buffer.getvalue()[: int(keep * buffer.tell())]


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        ('', 'the file is empty'),
        ('text', 'not a JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF, JPEG 2000 or HEIC image'),
        ('GIF', 'cannot be read: .*truncated'),
        ('JPEG', 'cannot be read: .*truncated'),
        ('PNG', 'cannot be read: .*truncated'),
        ('BMP', 'cannot be read: .*truncated'),
        ('TIFF', 'cannot be read|not a'),
        ('WEBP', 'cannot be read|not a'),
    ],
)
def test_damaged_files(tmp_path, photo, content, reason):
    data = {'': b'', 'text': b'hello ' * 100}.get(content)
    path = tmp_path / 'a.jpg'
    path.write_bytes(damaged(photo, content, 0.6) if data is None else data)
    with pytest.raises(ColorizeError, match=reason) as error:
        read_image(path)
    assert '\n' not in str(error.value)
    assert str(path) not in str(error.value)  # the caller puts it before the reason


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ColorizeError, match='No such file'):
        read_image(tmp_path / 'a.jpg')
    with pytest.raises(ColorizeError, match='it is not a regular file'):
        read_image(tmp_path)


def test_decompression_bomb(tmp_path, photo, monkeypatch):
    path = stored(tmp_path, photo, 'a.png')
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', photo.width * photo.height // 2 + 1)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        read_image(path)  # up to twice the limit Pillow only warns
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1500)
    for limit, stated in ((2900, '2,900'), (3300, '3,000')):
        reason = (
            f'the size exceeds the limit of {stated} pixels (--max-pixels; max_pixels in Python)'
        )
        with pytest.raises(TooLargeError, match=f'^{re.escape(reason)}$'):
            read_image(path, limit)  # Pillow does not open it


def test_threads_leave_the_filters_of_the_process_alone():
    seen = []

    def look():
        with quiet():
            seen.append(list(warnings.filters))

    before = list(warnings.filters)
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    look()
    assert seen[0] == before != seen[1]
    assert warnings.filters == before


def test_output_format_and_name(tmp_path, photo):
    for name, format_, expected in [
        ('a.JPG', 'JPEG', 'a.JPG'),
        ('b.c.jpeg', 'JPEG', 'b.c.jpeg'),
        ('a.tiff', 'TIFF', 'a.tiff'),
        ('a.webp', 'WEBP', 'a.webp'),
        ('a.bmp', 'PNG', 'a.png'),
    ]:
        path = stored(tmp_path, photo, name)
        assert read_header(path).format == format_
        assert output_name(path, format_) == expected
    wrongly_named = stored(tmp_path, photo, 'scan.jpg', format='PNG')
    assert output_name(wrongly_named, read_header(wrongly_named).format) == 'scan.png'
    bare = stored(tmp_path, photo, 'scan', format='JPEG')
    assert output_name(bare, read_header(bare).format) == 'scan.jpg'


def test_jpeg_is_stored_with_full_color(tmp_path, photo):
    write_image(photo, tmp_path / 'a.jpg', 'JPEG', overwrite=False)
    written = Image.open(tmp_path / 'a.jpg')
    assert JpegImagePlugin.get_sampling(written) == 0
    assert np.abs(np.asarray(written).astype(int) - np.asarray(photo)).mean() < 3


@pytest.mark.parametrize('error', [KeyboardInterrupt, OSError])
@pytest.mark.parametrize('moment', ['save', 'fsync', 'replace'])
def test_interrupted_write_leaves_nothing(tmp_path, monkeypatch, photo, moment, error):
    target = tmp_path / 'a.png'
    target.write_bytes(b'earlier')

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(Image.Image if moment == 'save' else os, moment, fail)
    with pytest.raises(error):
        write_image(photo, target, 'PNG', overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ['a.png']
    assert target.read_bytes() == b'earlier'


def test_write_does_not_replace_unasked(tmp_path, photo):
    target = tmp_path / 'a.png'
    target.write_bytes(b'earlier')
    with pytest.raises(FileExistsError):
        write_image(photo, target, 'PNG', overwrite=False)
    assert target.read_bytes() == b'earlier'
    assert len(list(tmp_path.iterdir())) == 1
    write_image(photo, target, 'PNG', overwrite=True)
    np.testing.assert_array_equal(Image.open(target), photo)


def test_long_file_names(tmp_path, photo):
    target = tmp_path / ('x' * 251 + '.png')  # 255 bytes, all that file systems allow
    write_image(photo, target, 'PNG', overwrite=False)
    assert target.is_file()


def test_formats_agree():
    assert set(image_io.FORMATS) <= set(image_io.SUFFIXES)


@pytest.mark.parametrize('read', [read_header, read_image])
def test_image_of_more_pixels_than_allowed_is_refused(tmp_path, photo, read):
    path = tmp_path / 'a.png'
    photo.save(path)
    read(path, 64 * 52)
    with pytest.raises(ColorizeError, match='max_pixels'):
        read(path, 64 * 52 - 1)
