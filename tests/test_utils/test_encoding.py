"""Results are stored as their originals were, with their metadata."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, IptcImagePlugin, JpegImagePlugin, PngImagePlugin, features
from skimage.data import astronaut
from tiny import Gray

from dualattn_mm.apis import ColorizationPipeline
from dualattn_mm.utils.encoding import encode, left_out, metadata_options, save_options
from dualattn_mm.utils.image_io import output_format, read_with_options, write_image
from dualattn_mm.utils.metadata import photoshop_resource
from dualattn_mm.utils.tiff_file import write_tiff

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax'
    b'-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    b'</rdf:RDF></x:xmpmeta>'
)
IPTC = b'\x1c\x02\x78\0\x05Moon!'  # 2:120, the caption
DESCRIPTION, COPYRIGHT = 0x010E, 0x8298


@pytest.fixture(scope='module')
def photo():
    return Image.fromarray(astronaut()[::8, :480:10]).convert('L')  # whole blocks of JPEG


def colorized(path):
    """Store the result of a file in the format of its original, and open it."""
    image, options = read_with_options(path)
    format_ = output_format(image)
    same = options if format_ == image.format else None
    result = ColorizationPipeline.from_generator(Gray(), size=32)(image)
    target = path.with_name(f'result.{format_.lower()}')
    write_image(result, target, format_, False, save_options(format_, source=same))
    return Image.open(target)


@pytest.mark.parametrize(('mode', 'sampling'), [('L', 0), ('RGB', 0), ('RGB', 1), ('RGB', 2)])
def test_jpeg_keeps_tables_and_subsampling(tmp_path, photo, mode, sampling):
    options = {'subsampling': sampling} if mode == 'RGB' else {}
    photo.convert(mode).save(tmp_path / 'a.jpg', quality=71, **options)
    original, result = Image.open(tmp_path / 'a.jpg'), colorized(tmp_path / 'a.jpg')
    kept, given = (list(image.quantization.values()) for image in (result, original))
    assert (kept[0], kept[-1]) == (given[0], given[-1])
    assert JpegImagePlugin.get_sampling(result) == sampling
    # The same steps: what was lost once is not lost again.
    difference = np.asarray(result.convert('L')).astype(int) - np.asarray(original.convert('L'))
    assert (np.abs(difference) <= 2).mean() > 0.9


def test_jpeg_tables_are_those_of_their_numbers(tmp_path, photo):
    """A file can store the table of chroma, number 1, before that of luma."""
    photo.convert('RGB').save(tmp_path / 'a.jpg', quality=71)
    data = (tmp_path / 'a.jpg').read_bytes()
    at = data.index(b'\xff\xdb\0\x43\0')
    luma, chroma = data[at : at + 69], data[at + 69 : at + 138]
    (tmp_path / 'a.jpg').write_bytes(data[:at] + chroma + luma + data[at + 138 :])
    original, result = Image.open(tmp_path / 'a.jpg'), colorized(tmp_path / 'a.jpg')
    assert list(original.quantization) == [1, 0]
    assert result.quantization == original.quantization


@pytest.mark.parametrize('lossless', [True, False])
def test_webp_stays_lossless_or_lossy(tmp_path, photo, lossless):
    photo.save(tmp_path / 'a.webp', lossless=lossless, exif=b'Exif\0\0')
    original, result = Image.open(tmp_path / 'a.webp'), colorized(tmp_path / 'a.webp')
    same = np.asarray(result)[..., 1] == np.asarray(original)[..., 1]
    assert same.all() == lossless
    assert (b'VP8L' in (tmp_path / 'result.webp').read_bytes()) == lossless


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        ('raw', 'raw'),
        ('tiff_lzw', 'tiff_lzw'),
        ('tiff_adobe_deflate', 'tiff_adobe_deflate'),
        ('packbits', 'packbits'),
        ('group4', 'tiff_lzw'),
        ('jpeg', 'tiff_adobe_deflate'),
    ],
)
def test_tiff_keeps_a_lossless_compression(tmp_path, photo, given, expected):
    if given != 'raw' and not features.check('libtiff'):
        pytest.skip('this Pillow has no libtiff')
    image = photo.convert('1') if given == 'group4' else photo
    image.save(tmp_path / 'a.tif', compression=given)
    original, result = Image.open(tmp_path / 'a.tif'), colorized(tmp_path / 'a.tif')
    assert result.info['compression'] == expected
    np.testing.assert_array_equal(np.asarray(result)[..., 1], original.convert('L'))


@pytest.mark.parametrize(('format_', 'quality'), [('JPEG', 95), ('WEBP', 95), ('AVIF', 90)])
def test_default_quality_of_lossy_formats(photo, format_, quality):
    if format_ == 'AVIF' and not features.check('avif'):
        pytest.skip('this Pillow has no avif')
    ours, plain = io.BytesIO(), io.BytesIO()
    encode(photo.convert('RGB'), ours, format_)
    photo.convert('RGB').save(plain, format_, **dict(save_options(format_), quality=quality))
    assert np.array_equal(*(np.asarray(Image.open(file)) for file in (ours, plain)))


def test_quality_sets_that_of_lossy_formats_alone():
    assert save_options('WEBP', 40, {'lossless': True})['quality'] == 40
    assert 'lossless' not in save_options('WEBP', 40, {'lossless': True})
    assert save_options('TIFF', 40, {'compression': 'tiff_lzw'}) == {'compression': 'tiff_lzw'}


def saved(tmp_path, photo, format_):
    """A photo with metadata of every kind that the format holds."""
    exif = Image.Exif()
    exif[DESCRIPTION], exif[COPYRIGHT] = 'A photo', '(c) Someone'
    path = tmp_path / f'a.{format_.lower()}'
    info = {'exif': exif.tobytes(), 'xmp': XMP, 'iptc': IPTC, 'dpi': (300.0, 300.0)}
    info['text'] = {'Author': 'Müller', 'Comment': 'words', 'Title': '月'}
    buffer = io.BytesIO()
    if format_ == 'TIFF':
        photo.save(buffer, format_)
        with path.open('wb') as out:
            write_tiff(out, [(buffer, info)])
    else:
        photo.save(path, format_, **metadata_options(info, format_))
    return path


@pytest.mark.parametrize('format_', ['WEBP', 'AVIF'])
@pytest.mark.parametrize('endian', ['<', '>'])
@pytest.mark.skipif(not features.check('avif'), reason='this Pillow has no AVIF')
def test_formats_without_a_place_for_the_resolution_have_it_in_exif(format_, endian):
    exif = Image.Exif()
    exif.endian, exif[DESCRIPTION] = endian, 'A photo'
    for given in {'exif': exif.tobytes()}, {}:
        buffer = io.BytesIO()
        options = metadata_options({**given, 'dpi': (300.0, 150.5)}, format_)
        Image.new('RGB', (8, 8)).save(buffer, format_, **options)
        found = Image.open(buffer).getexif()
        x, y, unit = 0x011A, 0x011B, 0x0128
        assert (found[x], found[y], found[unit]) == (300, 150.5, 2)
        assert found.get(DESCRIPTION) == ('A photo' if given else None)


def test_the_resolution_in_exif_is_kept():
    exif = Image.Exif()
    exif[0x011A] = 72.0
    options = metadata_options({'exif': exif.tobytes(), 'dpi': (300.0, 300.0)}, 'WEBP')
    found = Image.Exif()
    found.load(options['exif'])
    assert found[0x011A] == 72


def iptc_of(image):
    return (IptcImagePlugin.getiptcinfo(image) or {}).get((2, 120))


FORMATS = ['JPEG', 'PNG', 'WEBP', 'TIFF']


@pytest.mark.parametrize('format_', FORMATS)
def test_metadata_survives(tmp_path, photo, format_):
    result = colorized(saved(tmp_path, photo, format_))
    result.load()
    exif = result.getexif()
    assert (exif[DESCRIPTION], exif[COPYRIGHT]) == ('A photo', '(c) Someone')
    assert result.info['xmp'] == XMP.replace(b'"6"', b'"1"')  # upright
    if format_ in ('JPEG', 'TIFF'):
        assert iptc_of(result) == b'Moon!'
    if format_ != 'WEBP':
        assert result.info['dpi'] == pytest.approx((300, 300), abs=0.1)
    if format_ == 'PNG':
        texts = {key: result.text[key] for key in ('Author', 'Comment', 'Title')}
        assert texts == {'Author': 'Müller', 'Comment': 'words', 'Title': '月'}
        stored = bytes.fromhex(''.join(result.text['Raw profile type iptc'].split('\n')[3:]))
        assert stored == photoshop_resource(IPTC)
    if format_ == 'JPEG':
        assert result.info['comment'] == b'words'


@pytest.mark.parametrize('encoding', ['utf-8', 'latin-1'])
def test_comment_of_jpeg_keeps_its_bytes_and_is_text_elsewhere(tmp_path, photo, encoding):
    photo.save(tmp_path / 'a.jpg', comment='Café'.encode(encoding))
    assert colorized(tmp_path / 'a.jpg').info['comment'] == 'Café'.encode(encoding)
    result = ColorizationPipeline.from_generator(Gray(), size=32)(Image.open(tmp_path / 'a.jpg'))
    write_image(result, tmp_path / 'b.png', 'PNG', False)
    assert Image.open(tmp_path / 'b.png').text['Comment'] == 'Café'


@pytest.mark.parametrize('format_', FORMATS)
def test_result_says_that_it_is_srgb(tmp_path, photo, format_):
    result = colorized(saved(tmp_path, photo, format_))
    profile = ImageCms.ImageCmsProfile(io.BytesIO(result.info['icc_profile']))
    assert ImageCms.getProfileName(profile).strip() == 'sRGB built-in'
    before = np.array(result.convert('RGB'))
    ImageCms.profileToProfile(result, profile, ImageCms.createProfile('sRGB'), inPlace=True)
    assert np.abs(np.asarray(result).astype(int) - before).max() <= 1


def test_what_a_format_cannot_hold_is_named():
    info = {'xmp': b'x' * 70_000, 'iptc': IPTC, 'text': {'Comment': 'words', 'Author': 'Me'}}
    assert left_out(info, 'PNG') == ''
    assert 'XMP (too long), text was not' in left_out(info, 'JPEG')
    assert 'IPTC, text was not' in left_out(info, 'WEBP')
    assert left_out({'text': {'Comment': 'words'}, 'xmp': XMP, 'iptc': IPTC}, 'JPEG') == ''


@pytest.mark.parametrize('extra', [0, 1])
def test_what_is_too_long_for_jpeg_is_named_and_the_rest_is_kept(photo, extra):
    words = 'x' * (65_533 + extra)
    kinds = {
        'XMP (too long)': {'xmp': b'x' * (65_504 + extra)},
        'IPTC (too long)': {'iptc': bytes(65_506 + extra)},
        'the end of the comment': {'text': {'Comment': words}},
    }
    for name, info in kinds.items():
        lost = f'JPEG cannot hold all of its metadata: {name} was not copied' if extra else ''
        assert left_out(info, 'JPEG') == lost
        buffer = io.BytesIO()
        image = photo.convert('RGB')
        image.info.update(info)
        encode(image, buffer, 'JPEG')
        result = Image.open(buffer)
        if name.startswith('XMP'):
            assert ('xmp' in result.info) == (not extra)
        elif name.startswith('IPTC'):
            assert bool(result.info.get('photoshop')) == (not extra)
        else:
            assert result.info['comment'] == words[:65_533].encode()


def test_comment_of_gif_can_be_long(photo):
    buffer = io.BytesIO()
    photo.save(buffer, 'GIF', **metadata_options({'text': {'Comment': 'x' * 70_000}}, 'GIF'))
    assert len(Image.open(buffer).info['comment']) == 70_000


LINKED_XMP = [
    XMP.replace(b' tiff:', b' xmpNote:HasExtendedXMP="0123" tiff:'),
    XMP.replace(
        b'/></rdf',
        b'><xmpNote:HasExtendedXMP>0123</xmpNote:HasExtendedXMP></rdf:Description></rdf',
    ),
]


@pytest.mark.parametrize('packet', LINKED_XMP)
def test_extended_xmp_is_left_out_with_its_link(tmp_path, photo, packet):
    """Further segments of a JPEG file hold it (XMP specification, part 3, 1.1.3.1)."""
    more = b'http://ns.adobe.com/xmp/extension/\0' + b'0123'.rjust(32, b'0') + bytes(8) + b'<more/>'
    segment = b'\xff\xe1' + (2 + len(more)).to_bytes(2, 'big') + more
    options = metadata_options({'xmp': packet}, 'JPEG')
    photo.save(tmp_path / 'a.jpg', extra=options['extra'] + segment)
    with pytest.warns(UserWarning, match='^its extended XMP was not copied$'):
        result = colorized(tmp_path / 'a.jpg')
    assert b'Orientation="1"' in result.info['xmp']
    data = (tmp_path / 'result.jpeg').read_bytes()
    assert b'HasExtendedXMP' not in data
    assert b'/xmp/extension/' not in data


def test_xmp_of_tiff_that_is_not_in_the_file_is_named(tmp_path, photo):
    path = saved(tmp_path, photo, 'TIFF')
    data = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].tags[700]
    at = tag.offset + 8
    path.write_bytes(data[:at] + (2**31).to_bytes(4, 'little') + data[at + 4 :])
    with pytest.warns(UserWarning, match='^damaged or too long XMP was not copied$'):
        assert 'xmp' not in colorized(path).info


def test_iptc_is_found_among_other_resources_of_png(tmp_path, photo):
    resources = b'8BIM\x04\x0c\x03abc\0\0\0\x03xyz\0' + photoshop_resource(IPTC)
    texts = PngImagePlugin.PngInfo()
    texts.add_text('Raw profile type iptc', f'\niptc\n{len(resources):8}\n{resources.hex()}\n')
    photo.save(tmp_path / 'a.png', pnginfo=texts)
    result = colorized(tmp_path / 'a.png')
    assert IPTC.hex() in result.text['Raw profile type iptc'].replace('\n', '')


def test_tiff_pages_are_joined(tmp_path):
    pages = [np.full((5, 4 + n, 3), 40 * n, np.uint8) for n in range(4)]
    files = []
    for number, page in enumerate(pages):
        buffer = io.BytesIO()
        Image.fromarray(page).save(buffer, 'TIFF', compression='tiff_lzw' if number % 2 else None)
        files.append((buffer, {'dpi': (100.0 * (number + 1),) * 2}))
    with (tmp_path / 'a.tif').open('wb') as out:
        write_tiff(out, files)
    with Image.open(tmp_path / 'a.tif') as image:
        assert image.n_frames == 4
        for number, page in enumerate(pages):
            image.seek(number)
            np.testing.assert_array_equal(image, page)
            assert image.info['dpi'] == (100 * (number + 1),) * 2
    with tifffile.TiffFile(tmp_path / 'a.tif') as file:
        np.testing.assert_array_equal(file.pages[2].asarray(), pages[2])


@pytest.mark.parametrize('room', [0, 100, 3000, 3350])
def test_tiff_pages_of_more_than_four_gigabytes_are_refused(tmp_path, room):
    """The page has 3072 bytes of pixels, and the rest of the file before it is a hole."""
    page = io.BytesIO()
    Image.new('L', (64, 48)).save(page, 'TIFF')
    with (tmp_path / 'a.tif').open('wb') as out:
        out.seek(2**32 - room)
        with pytest.raises(OSError, match='a TIFF file cannot have more than 4 GB'):
            write_tiff(out, [(page, {'xmp': bytes(200)})])
    assert not (tmp_path / 'a.tif').stat().st_size  # nothing was written
