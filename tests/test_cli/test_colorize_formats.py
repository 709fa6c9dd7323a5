"""`dualattn colorize` with formats that not every program reads, and with several pages."""

import importlib.util
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, features
from skimage.data import astronaut

from dualattn_mm.apis import files, pages, save_generator
from dualattn_mm.apis.colorize_files import FileColorizer
from dualattn_mm.cli.main import main
from dualattn_mm.utils import libraries


@pytest.fixture
def photo():
    return Image.fromarray(astronaut()[::8, ::10]).convert('L')


@pytest.fixture
def run(two_convs, tmp_path, monkeypatch, capsys):
    """Run the command with a small network in an empty folder; return status and lines."""
    monkeypatch.chdir(tmp_path)
    save_generator('w.safetensors', two_convs(), dict(type='TwoConvs'))
    weights = ['--weights', 'w.safetensors', '--size', '32', '--device', 'cpu']

    def run_(*argv, output='out'):
        status = main(['colorize', *map(str, argv), '-o', output, *weights])
        captured = capsys.readouterr()
        return status, captured.out.splitlines(), captured.err.splitlines()

    return run_


def gray_of(path):
    return np.asarray(Image.open(path).convert('L')).astype(int)


@pytest.mark.parametrize(('name', 'codec'), [('a.jp2', 'jpg_2000'), ('a.avif', 'avif')])
def test_modern_formats_become_png(run, photo, name, codec):
    if not features.check(codec):
        pytest.skip(f'this Pillow has no {codec}')
    photo.save(name)
    assert run(name)[0] == 0
    assert np.abs(gray_of('out/a.png') - gray_of(name)).mean() < 2


def test_avif_is_written_if_asked_for(run, photo):
    if not features.check('avif'):
        pytest.skip('this Pillow has no avif')
    photo.save('a.png')
    assert run('a.png', '--format', 'avif')[0] == 0
    assert Image.open('out/a.avif').format == 'AVIF'
    assert np.abs(gray_of('out/a.avif') - gray_of('a.png')).mean() < 3


def test_a_pillow_without_avif_is_one_line(run, photo, monkeypatch):
    monkeypatch.setattr(files, 'OUTPUT_FORMATS', ('JPEG', 'PNG', 'WEBP', 'TIFF'))
    photo.save('a.png')
    assert run('a.png', '--format', 'avif') == (
        2,
        [],
        ['error: this Pillow cannot write AVIF: AVIF needs Pillow 11.3 or later, built with it'],
    )
    assert not Path('out').exists()


def test_sixteen_bits_of_jpeg_2000(run):
    if not features.check('jpg_2000'):
        pytest.skip('this Pillow has no jpg_2000')
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64) * 15
    Image.fromarray(values).save('a.jp2', irreversible=False)
    assert run('a.jp2')[0] == 0
    stored = cv2.imread('out/a.png', cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16
    assert len(np.unique(stored[..., 1])) > 3000


def test_sixteen_bits_without_opencv_cost_their_file_alone(run, photo, monkeypatch):
    deep = np.asarray(photo).astype(np.uint16) * 257
    cv2.imwrite('color.png', np.dstack([deep, deep, deep]))
    cv2.imwrite('gray.png', deep)
    photo.save('plain.png')
    monkeypatch.setitem(sys.modules, 'cv2', None)
    status, out, err = run('color.png', 'gray.png', 'plain.png')
    assert (status, len(err)) == (1, 2)
    assert out[0].startswith('1 done, 0 skipped, 2 failed')
    reason = 'cv2 is needed for images with 16 bits per channel ('
    assert err[0].startswith(f'color.png: cannot be read: {reason}')
    assert err[1].startswith(f'gray.png: the result cannot be written: {reason}')
    assert all(line.endswith("): pip install 'opencv-python-headless<4.12'") for line in err)
    assert [path.name for path in Path('out').iterdir()] == ['plain.png']


def test_heic(run, photo):
    pillow_heif = pytest.importorskip('pillow_heif')
    exif = Image.Exif()
    exif[0x8298] = '(c) Someone'
    pillow_heif.from_pillow(photo).save('a.HEIC', quality=95, exif=exif.tobytes())
    assert run('a.HEIC')[0] == 0
    assert np.abs(gray_of('out/a.png') - np.asarray(photo)).mean() < 3
    assert Image.open('out/a.png').getexif()[0x8298] == '(c) Someone'


def test_heic_without_its_library_is_one_line(run, monkeypatch):
    Path('a.heic').write_bytes(b'\0\0\0\x18ftypheic\0\0\0\0mif1heic')
    import_module = importlib.import_module

    def missing(name):
        if name == 'pillow_heif':
            raise ImportError('no such module')
        return import_module(name)

    monkeypatch.setattr(libraries.importlib, 'import_module', missing)
    status, out, err = run('a.heic')
    assert (status, out) == (1, ['0 done, 0 skipped, 1 failed -> out'])
    assert err == [
        'a.heic: cannot be read: pillow_heif is needed for HEIC photos (no such module): '
        "pip install 'dualattn_mm[heif]'"
    ]


def test_all_pages_of_a_tiff_file(run, photo):
    deep = np.arange(4096, dtype=np.uint16).reshape(32, 128) * 16
    with tifffile.TiffWriter('scan.tif') as file:
        file.write(np.asarray(photo), resolution=(300, 300), resolutionunit='INCH')
        file.write(deep, compression='zlib', description='second')
        file.write(np.asarray(photo.rotate(90, expand=True)))
    photo.save('one.tif')
    status, out, err = run('scan.tif', 'one.tif', '--pages', 'all')
    assert (status, err) == (0, [])
    assert out[0].startswith('2 done, 0 skipped, 0 failed')
    assert '3 pages of TIFF files done' in out[0]
    with tifffile.TiffFile('out/scan.tif') as file:
        first, second, third = (page.asarray() for page in file.pages)
        assert file.pages[0].resolution == (300, 300)
        assert file.pages[1].description == 'second'
    assert (first.dtype, second.dtype) == (np.uint8, np.uint16)
    assert first.shape == (*np.asarray(photo).shape, 3)
    assert len(np.unique(second[..., 1])) > 3000
    assert third.shape == (photo.width, photo.height, 3)
    assert np.abs(first[..., 1].astype(int) - np.asarray(photo)).mean() < 40
    assert run('scan.tif', 'one.tif', '--pages', 'all')[1] == ['0 done, 2 skipped, 0 failed -> out']


def test_each_page_is_an_image_in_the_summary(run, photo, monkeypatch):
    with tifffile.TiffWriter('scan.tif') as file:
        for turn in range(3):
            file.write(np.asarray(photo.rotate(turn)))
    photo.save('one.tif')
    monkeypatch.setattr(FileColorizer, 'colorize', seconds_of(FileColorizer.colorize, 5.0))
    colorized = pages.colorize_pages

    def colorize_pages(*args, **options):
        return colorized(*args, **options)._replace(seconds=15.0)

    monkeypatch.setattr(pages, 'colorize_pages', colorize_pages)
    out = run('scan.tif', 'one.tif', '--pages', 'all')[1]
    assert ', 5.00 s per image, 3 pages of TIFF files done' in out[0]


def seconds_of(call, seconds):
    """Return the function with another result: the time that it says it took."""

    def timed(*args):
        call(*args)
        return seconds

    return timed


def test_a_page_that_is_damaged_or_in_color_costs_its_file_alone(run, photo):
    color = Image.fromarray(astronaut()[::8, ::10])
    photo.save('color.tif', save_all=True, append_images=[color])
    photo.save('cut.tif', save_all=True, append_images=[photo], compression='tiff_lzw')
    with Image.open('cut.tif') as image:
        image.seek(1)
        start = image.tag_v2[273][0]
    with Path('cut.tif').open('rb+') as file:
        file.seek(start)
        file.write(b'\xff' * 500)
    photo.save('good.png')
    status, out, err = run('color.tif', 'cut.tif', 'good.png', '--pages', 'all')
    assert status == 1
    assert out[0].startswith('1 done, 0 skipped, 1 failed, 1 left in color')
    assert err[0].startswith('cut.tif: page 2: cannot be read')
    assert err[1] == 'warning: photos and videos in color that were left alone: 1 (see --recolor)'
    assert [path.name for path in Path('out').iterdir()] == ['good.png']
    assert run('color.tif', '--pages', 'all', '--recolor')[0] == 0


@pytest.mark.parametrize('page', [2, 3])
def test_a_page_whose_directory_is_damaged_is_reported(run, photo, page):
    photo.save('scan.tif', save_all=True, append_images=[photo, photo])
    with tifffile.TiffFile('scan.tif') as file:
        at = file.pages[page - 1].offset
    with Path('scan.tif').open('rb+') as file:
        file.seek(at)
        file.write(bytes(14))  # no entries, and no next page
    status, out, err = run('scan.tif', '--pages', 'all')
    assert (status, out) == (1, ['0 done, 0 skipped, 1 failed -> out'])
    assert err == [f'scan.tif: page {page}: cannot be read: Missing dimensions']
    assert not Path('out').exists() or not any(Path('out').iterdir())
    status, out, err = run('scan.tif')
    assert (status, len(err)) == (0, 1)
    assert err[0].startswith('warning: 1 of the files had several pages')


@pytest.mark.parametrize('name', ['color.tif', 'color.png', 'gray.png', 'pages.tif'])
def test_names_that_are_not_utf8_of_images_with_sixteen_bits(run, name):
    """OpenCV ends the process when it gets such a name."""
    folder = os.fsdecode(b'caf\xe9')
    os.mkdir(folder)
    pixels = astronaut()[::8, ::10].astype(np.uint16) * 257
    pages = {'gray.png': pixels[..., 0], 'pages.tif': np.stack([pixels, pixels])}
    tifffile.imwrite(f'{folder}/a.tif', pages.get(name, pixels))
    if name.endswith('.png'):
        os.remove(f'{folder}/a.tif')
        cv2.imwrite(name, pages.get(name, pixels))
        os.rename(name, f'{folder}/{name}')
    status, _, err = run(folder, '--recolor', '--pages', 'all', output=folder + '/new')
    assert (status, [e for e in err if 'had color' not in e]) == (0, [])
    [result] = Path(folder, 'new').iterdir()
    assert result.read_bytes()


def test_dropped_pages_are_named(run, photo):
    photo.save('scan.tif', save_all=True, append_images=[photo])
    assert run('scan.tif')[2] == [
        'warning: 1 of the files had several pages or frames; the first was colorized (--pages all '
        'colorizes all pages, and files other than TIFF also need --format tiff)'
    ]


def test_all_pages_need_a_tiff_result(run, photo):
    photo.save('scan.tif', save_all=True, append_images=[photo])
    photo.save('one.tif')
    files = [('scan.tif', ['--format', 'jpeg'], 'out'), ('scan.tif', [], 'out/x.png')]
    if features.check('avif'):
        photo.save('scan.avif', save_all=True, append_images=[photo.rotate(90)])
        files.append(('scan.avif', [], 'out'))
    for name, options, output in files:
        status, out, err = run(name, '--pages', 'all', *options, output=output)
        assert (status, out) == (1, [f'0 done, 0 skipped, 1 failed -> {output}'])
        assert err == [
            f'{name}: it has several pages, which only a TIFF file can hold: choose --format tiff '
            'or a .tif file, or leave out --pages all'
        ]
    assert not Path('out').exists() or not any(Path('out').iterdir())
    assert run('one.tif', '--pages', 'all', '--format', 'jpeg')[0] == 0
    assert run('scan.tif', '--pages', 'all', output='out/x.tif')[0] == 0


def test_photos_above_pillow_s_limit_are_read_if_asked_for(run, photo, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1000)
    photo.save('a.png')
    status, _, err = run('a.png', '--max-pixels', '1500')
    assert (status, len(err)) == (1, 1)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1000)
    assert run('a.png', '--max-pixels', '5000')[0] == 0
