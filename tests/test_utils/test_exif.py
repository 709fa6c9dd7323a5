"""EXIF data of results: every byte is correct, and only data of the photo is copied."""

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image
from tiny import Gray

from dualattn_mm.apis import ColorizationPipeline
from dualattn_mm.utils.exif import read_exif
from dualattn_mm.utils.image_io import read_header, read_image, write_image
from dualattn_mm.utils.metadata import read_metadata

ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SIGNED, DOUBLE, UTF8 = 2, 3, 4, 5, 7, 10, 12, 129
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 10: 8, 12: 8, 129: 1}
MAKE, COPYRIGHT, ORIENTATION, EXIF, GPS, THUMBNAIL = 0x010F, 0x8298, 0x0112, 0x8769, 0x8825, 0x0201
DATE, BIAS, MAKER_NOTE, COMMENT = 0x9003, 0x9204, 0x927C, 0x9286
COLOR_SPACE, WIDTH, HEIGHT, INTEROPERABILITY = 0xA001, 0xA002, 0xA003, 0xA005


def directory(order, at, entries):
    """A directory as the TIFF 6.0 specification describes it; `data` are the values' bytes."""
    table, values = struct.pack(order + 'H', len(entries)), b''
    start = at + 6 + 12 * len(entries)
    for tag, (kind, data) in sorted(entries.items()):
        count = len(data) // SIZES[kind]
        field = data.ljust(4, b'\0')
        if len(data) > 4:
            field = struct.pack(order + 'I', start + len(values))
            values += data + b'\0' * (len(data) % 2)
        table += struct.pack(order + 'HHI', tag, kind, count) + field
    return table + b'\0\0\0\0' + values


def block(order='<', image=(), exif=(), gps=()):
    """EXIF data with three directories."""
    image = dict(image)

    def number(value):
        return LONG, struct.pack(order + 'I', value)

    others = [(tag, dict(part)) for tag, part in ((EXIF, exif), (GPS, gps)) if part]
    image |= {tag: number(0) for tag, _ in others}
    end, rest = 8 + len(directory(order, 8, image)), b''
    for tag, part in others:
        image[tag] = number(end + len(rest))
        rest += directory(order, end + len(rest), part)
    head = (b'II' if order == '<' else b'MM') + struct.pack(order + 'HI', 42, 8)
    return head + directory(order, 8, image) + rest


def camera(order):
    """EXIF data of a camera with pointers: (block, the part that describes the photo)."""

    def ratio(*values, letter='I'):
        return struct.pack(f'{order}{len(values)}{letter}', *values)

    image = {MAKE: (ASCII, b'Maker\0'), COPYRIGHT: (ASCII, '© Müller\0'.encode())}
    exif = {
        0x829A: (RATIONAL, ratio(1, 125)),
        0x8827: (SHORT, struct.pack(order + 'H', 400)),
        0x9000: (UNDEFINED, b'0221'),
        DATE: (ASCII, b'1969:07:20 20:17:40\0'),
        BIAS: (SIGNED, ratio(1, 3, letter='i')),
        COMMENT: (UNDEFINED, b'ASCII\0\0\0the moon'),
    }
    gps = {0: (1, b'\2\3\0\0'), 1: (ASCII, b'N\0'), 2: (RATIONAL, ratio(51, 1, 28, 1, 38, 1))}
    more_image = {
        0x0100: (LONG, ratio(4000)),
        ORIENTATION: (SHORT, struct.pack(order + 'H', 6)),
        0x014A: (LONG, ratio(99_999)),
        0x8773: (UNDEFINED, b'a profile'),
    }
    more_exif = {
        MAKER_NOTE: (UNDEFINED, b'offsets of its own' * 3),
        COLOR_SPACE: (SHORT, struct.pack(order + 'H', 65535)),
        WIDTH: (LONG, ratio(4000)),
        HEIGHT: (LONG, ratio(3000)),
        INTEROPERABILITY: (LONG, ratio(77_777)),
        0xA500: (RATIONAL, ratio(1, 1)),
    }
    return block(order, image | more_image, exif | more_exif, gps), (image, exif, gps)


def parsed(data):
    """The directories of EXIF data, after a check that they fill it without gap or overlap."""
    order = {b'II': '<', b'MM': '>'}[data[:2]]
    magic, first = struct.unpack(order + 'HI', data[2:8])
    assert magic == 42
    used = [(0, 8)]

    def read(at):
        (count,) = struct.unpack(order + 'H', data[at : at + 2])
        used.append((at, at + 6 + 12 * count))
        assert data[at + 2 + 12 * count :][:4] == bytes(4)
        found = {}
        for place in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind, values = struct.unpack(order + 'HHI', data[place : place + 8])
            size = SIZES[kind] * values
            start = place + 8
            if size > 4:
                (start,) = struct.unpack(order + 'I', data[start : start + 4])
                assert start % 2 == 0
                used.append((start, start + size + size % 2))
            found[tag] = kind, data[start : start + size]
        assert list(found) == sorted(found)
        return found

    image = read(first)
    exif, gps = (
        read(struct.unpack(order + 'I', image.pop(tag)[1])[0]) if tag in image else {}
        for tag in (EXIF, GPS)
    )
    used.sort()
    assert [start for start, _ in used] == [0, *(end for _, end in used[:-1])]
    assert used[-1][1] == len(data)
    return image, exif, gps


@pytest.fixture
def pipe():
    return ColorizationPipeline.from_generator(Gray(), size=32)


def colorized(tmp_path, pipe, name, data):
    """The result of a gray photo of 40 x 30 with EXIF data, and its path."""
    Image.new('L', (40, 30), 99).save(tmp_path / name, exif=b'Exif\0\0' + data)
    return written(tmp_path, pipe, tmp_path / name)


def written(tmp_path, pipe, path):
    result = pipe(read_image(path))
    target = tmp_path / 'results' / path.name
    write_image(result, target, read_header(path).format, overwrite=False)
    return result, target


@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize('name', ['a.jpg', 'a.png', 'a.webp'])
def test_exif_of_result_only_describes_the_photo(tmp_path, pipe, name, order):
    data, (image, exif, gps) = camera(order)
    result, target = colorized(tmp_path, pipe, name, data)
    assert result.size == (30, 40)
    stored = Image.open(target).info['exif']
    assert stored.startswith(b'Exif\0\0') or name == 'a.webp'
    found_image, found_exif, found_gps = parsed(stored.removeprefix(b'Exif\0\0'))
    assert found_image == image
    assert found_gps == gps
    assert found_exif == exif | {
        COLOR_SPACE: (SHORT, struct.pack(order + 'H', 1)),
        WIDTH: (LONG, struct.pack(order + 'I', 30)),
        HEIGHT: (LONG, struct.pack(order + 'I', 40)),
    }


@pytest.mark.parametrize('order', ['<', '>'])
def test_exif_of_result_in_a_tiff(tmp_path, pipe, order):
    data, _ = camera(order)
    pixels = np.full((30, 40), 99, np.uint8)
    path = tmp_path / 'a.tif'
    _write_tiff(path, pixels, data, order)
    assert read_image(path).size == (30, 40)  # turned
    result, target = written(tmp_path, pipe, path)
    assert not read_metadata(read_image(path)).remark
    with tifffile.TiffFile(target) as file:
        tags = file.pages[0].tags
        np.testing.assert_array_equal(file.asarray(), np.asarray(result))
        exif, gps = tags[EXIF].value, tags[GPS].value
        assert tags[MAKE].value == 'Maker'
        assert tags[COPYRIGHT].value == '© Müller'
    assert exif['ExposureTime'] == (1, 125)
    assert exif['ExposureBiasValue'] == (1, 3)
    assert exif['ISOSpeedRatings'] == 400
    assert exif['DateTimeOriginal'] == '1969:07:20 20:17:40'
    assert (exif['ColorSpace'], exif['PixelXDimension'], exif['PixelYDimension']) == (1, 30, 40)
    assert 'MakerNote' not in exif
    assert 'InteroperabilityTag' not in exif
    assert gps['GPSLatitude'] == (51, 1, 28, 1, 38, 1)
    assert ORIENTATION not in tags
    with Image.open(target) as image:
        np.testing.assert_array_equal(image, result)
        assert image.getexif().get_ifd(EXIF)[DATE] == '1969:07:20 20:17:40'


def _write_tiff(path, pixels, data, order):
    """An uncompressed gray TIFF whose directory is that of EXIF data."""
    image, exif, gps = parsed(data)

    def numbers(*values):
        return LONG, struct.pack(f'{order}{len(values)}I', *values)

    image = {tag: image[tag] for tag in (MAKE, COPYRIGHT, ORIENTATION)} | {
        0x0100: numbers(pixels.shape[1]),
        0x0101: numbers(pixels.shape[0]),
        0x0102: numbers(8),
        0x0103: numbers(1),
        0x0106: numbers(1),
        0x0111: numbers(0),
        0x0115: numbers(1),
        0x0116: numbers(pixels.shape[0]),
        0x0117: numbers(pixels.size),
    }
    size = len(block(order, image, exif, gps))
    image[0x0111] = numbers(size)
    path.write_bytes(block(order, image, exif, gps) + pixels.tobytes())


@pytest.mark.parametrize('kind', [RATIONAL, DOUBLE, LONG])
@pytest.mark.parametrize('orientation', [1, 6])
@pytest.mark.parametrize('name', ['a.jpg', 'a.png', 'a.webp', 'a.tif'])
def test_text_stored_as_numbers_is_left_out_with_a_remark(tmp_path, pipe, name, orientation, kind):
    image = {
        MAKE: (kind, bytes(range(16))),
        ORIENTATION: (SHORT, struct.pack('<H', orientation)),
        COPYRIGHT: (ASCII, b'Someone\0'),
    }
    data = block('<', image)
    if name == 'a.tif':
        _write_tiff(tmp_path / name, np.zeros((30, 40), np.uint8), data, '<')
    else:
        Image.new('L', (40, 30)).save(tmp_path / name, exif=b'Exif\0\0' + data)
    with pytest.warns(UserWarning, match='Make'):
        result, target = written(tmp_path, pipe, tmp_path / name)
    assert result.size == ((40, 30) if orientation == 1 else (30, 40))
    exif = Image.open(target).getexif()
    assert exif[COPYRIGHT] == 'Someone'
    assert MAKE not in exif


@pytest.mark.parametrize(
    ('damaged', 'remark'),
    [
        (b'hello', 'its EXIF data was not copied'),
        (b'II*\0\xff\xff\xff\xff', 'its EXIF data was not copied'),
        (b'II*\0\0\0\0\0', 'its EXIF data was not copied'),
        (block('<', {EXIF: (LONG, b'\xff\xff\0\0')}), r'ExifOffset'),
        (block('<', {GPS: (LONG, b'\0\0\0\0')}), r'GPSInfo'),
        (block('<', {}, {DATE: (ASCII, b'1969:07:20 20:17:40\0')})[:-12], r'DateTimeOriginal'),
    ],
)
def test_damaged_exif_is_left_out_with_a_remark(tmp_path, damaged, remark):
    path = tmp_path / 'a.png'
    Image.new('L', (4, 4)).save(path, exif=b'Exif\0\0' + damaged)
    metadata = read_metadata(read_image(path))
    assert remark in metadata.remark
    assert metadata.to_info(4, 4).keys() == {'icc_profile'}


def test_long_texts_are_left_out_until_the_rest_fits_into_a_jpeg(tmp_path, pipe):
    image = {MAKE: (ASCII, b'M' * 60_000 + b'\0'), COPYRIGHT: (ASCII, b'C' * 30_000 + b'\0')}
    path = tmp_path / 'a.png'
    Image.new('L', (40, 30)).save(path, exif=b'Exif\0\0' + block('<', image))
    metadata = read_metadata(read_image(path))
    assert metadata.remark == 'damaged or too long EXIF data was not copied (Make)'
    info = metadata.to_info(40, 30)
    buffer = io.BytesIO()
    Image.new('RGB', (40, 30)).save(buffer, 'JPEG', exif=info['exif'])
    exif = Image.open(buffer).getexif()
    assert len(exif[COPYRIGHT]) == 30_000
    assert MAKE not in exif


def test_long_values_of_a_tiff_are_not_read(tmp_path):
    """A tag can claim any part of the file, but values that describe a photo are short."""
    image = {
        MAKE: (ASCII, b'x' * 100_000 + b'\0'),
        COPYRIGHT: (ASCII, b'Someone\0'),
        ORIENTATION: (SHORT, b'\1\0'),
    }
    _write_tiff(tmp_path / 'a.tif', np.zeros((30, 40), np.uint8), block('<', image), '<')
    metadata = read_metadata(read_image(tmp_path / 'a.tif'))
    assert 'Make' in metadata.remark
    assert metadata.exif.image.keys() == {COPYRIGHT}


def test_no_exif_no_exif(tmp_path, pipe):
    Image.new('L', (40, 30)).save(tmp_path / 'a.jpg')
    _, target = written(tmp_path, pipe, tmp_path / 'a.jpg')
    assert 'exif' not in Image.open(target).info


def test_tiff_opened_by_the_user_keeps_its_exif(tmp_path, pipe):
    data, _ = camera('<')
    _write_tiff(tmp_path / 'a.tif', np.full((30, 40), 99, np.uint8), data, '<')
    result = pipe(Image.open(tmp_path / 'a.tif'))
    image, exif, _ = parsed(result.info['exif'].removeprefix(b'Exif\0\0'))
    assert image[MAKE] == (ASCII, b'Maker\0')
    assert exif[DATE] == (ASCII, b'1969:07:20 20:17:40\0')


@pytest.mark.parametrize('text', [b'Maker', b'Maker\0\0\0'])
def test_text_gets_one_zero_at_its_end(text):
    image = Image.new('L', (4, 3))
    image.info['exif'] = b'Exif\0\0' + block(image={MAKE: (ASCII, text)})
    assert read_exif(image).image[MAKE] == (ASCII, 6, b'Maker\0')


@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize('name', ['a.jpg', 'a.tif'])
def test_texts_in_utf8_are_copied(tmp_path, pipe, name, order):
    """Type 129 of Exif 3.0."""
    text = UTF8, '© 月\0'.encode()
    image = {MAKE: text, COPYRIGHT: text, ORIENTATION: (SHORT, struct.pack(order + 'H', 1))}
    data = block(order, image, {0x9000: (UNDEFINED, b'0300')})
    if name == 'a.tif':
        _write_tiff(tmp_path / name, np.zeros((30, 40), np.uint8), data, order)
    else:
        Image.new('L', (40, 30)).save(tmp_path / name, exif=b'Exif\0\0' + data)
    _, target = written(tmp_path, pipe, tmp_path / name)
    found = read_exif(Image.open(target))
    assert found.image[MAKE] == found.image[COPYRIGHT] == (UTF8, 7, text[1])
    assert found.exif[0x9000].data == b'0300'
    assert not found.left_out
