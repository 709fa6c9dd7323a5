import fcntl
import io
import itertools
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from PIL import Image, ImageOps
from processes import PATIENCE
from skimage.color import rgb2lab
from skimage.data import astronaut

from dualattn_mm.apis import ColorizationPipeline, save_generator
from dualattn_mm.cli.main import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder `in` in the current directory, with a photo in several formats."""
    monkeypatch.chdir(tmp_path)
    photo = Image.fromarray(astronaut()[::8, ::10])
    alpha = photo.copy()
    alpha.putalpha(Image.linear_gradient('L').resize(photo.size))
    wide = Image.fromarray(np.asarray(photo.convert('L')).astype(np.uint16) * 257)
    os.makedirs('in/sub')
    photo.save('in/color.jpg')
    photo.convert('L').save('in/gray.png')
    photo.convert('CMYK').save('in/sub/print.jpg')
    photo.save('in/sub/old.bmp')
    alpha.save('in/sub/clear.webp', lossless=True)
    wide.save('in/sub/scan.tif')
    return photo


@pytest.fixture
def run(weights, capsys):
    """Run main(argv) with small settings; return the exit status and lines of stdout and stderr."""

    def run_(*argv, weights_=weights, recolor=True):
        given = ('--weights', str(weights_)) if weights_ else ()
        given += ('--recolor',) if recolor else ()
        status = main(['colorize', *map(str, argv), *given, '--size', '32', '--device', 'cpu'])
        captured = capsys.readouterr()
        return status, captured.out.splitlines(), captured.err.splitlines()

    return run_


def found(folder):
    return sorted(p.relative_to(folder).as_posix() for p in Path(folder).rglob('*') if p.is_file())


def test_a_folder_of_formats(photos, run):
    status, out, err = run('in', '-o', 'out')
    assert status == 0
    assert err == ['warning: 4 of the photos had color, which was replaced']
    assert len(out) == 1
    assert out[0].startswith('6 done, 0 skipped, 0 failed, ')
    assert out[0].endswith(' s per image -> out')
    modes = {name: Image.open(Path('out', name)).mode for name in found('out')}
    assert modes == {
        'color.jpg': 'RGB',
        'gray.png': 'RGB',
        'sub/clear.webp': 'RGBA',
        'sub/old.png': 'RGB',
        'sub/print.jpg': 'RGB',
        'sub/scan.tif': 'RGB',
    }
    for name in modes:
        result = Image.open(Path('out', name))
        assert result.size == photos.size
        lab = rgb2lab(np.asarray(result.convert('RGB')))
        middle = (lab[..., 0] > 40) & (lab[..., 0] < 80)  # in gamut
        assert np.abs(np.median(lab[middle][:, 1:], axis=0) - (12, -20)).max() < 1
    gray = np.asarray(photos.convert('L'))
    kept = rgb2lab(np.asarray(Image.open('out/gray.png')))[..., 0]
    expected = rgb2lab(np.repeat(gray[..., None], 3, axis=2))[..., 0]
    inside = (expected > 40) & (expected < 80)
    assert np.abs(kept - expected)[inside].max() < 0.5


def test_second_run_skips_and_overwrite_does_not(photos, run):
    run('in', '-o', 'out')
    Path('out/gray.png').write_bytes(b'mine')
    status, out, err = run('in', '-o', 'out')
    assert (status, out) == (0, ['0 done, 6 skipped, 0 failed -> out'])
    assert len(err) == 1
    assert '6 skipped' in err[0]
    assert Path('out/gray.png').read_bytes() == b'mine'
    status, out, _ = run('in', '-o', 'out', '--overwrite')
    assert out[0].startswith('6 done, 0 skipped, 0 failed')
    assert Image.open('out/gray.png').size == photos.size


def test_results_inside_the_input_folder(photos, run):
    assert run('in', '-o', 'in/results')[0] == 0
    before = found('in')
    _, out, _ = run('in', '-o', 'in/results')
    assert out == ['0 done, 6 skipped, 0 failed -> in/results']
    assert found('in') == before


@pytest.mark.parametrize('batch_size', ['1', '2', '8'])
def test_one_bad_file_does_not_spoil_the_others(photos, run, batch_size):
    data = Path('in/color.jpg').read_bytes()
    Path('in/half.jpg').write_bytes(data[: len(data) // 2])
    Path('in/empty.png').write_bytes(b'')
    Path('in/text.jpg').write_text('no image')
    status, out, err = run('in', '-o', 'out', '--batch-size', batch_size)
    assert status == 1
    assert out[0].startswith('6 done, 0 skipped, 3 failed, ')
    assert sorted(line.split(':')[0] for line in err) == [
        'in/empty.png',
        'in/half.jpg',
        'in/text.jpg',
        'warning',
    ]
    assert len(found('out')) == 6


@pytest.mark.parametrize('option', [[], ['--overwrite']])
def test_the_second_of_two_files_with_one_result_fails(photos, run, option):
    photos.convert('L').save('in/sub/old.png')
    for done in (6, 0 if not option else 6):
        status, out, err = run('in', '-o', 'out', *option)
        line = (
            'in/sub/old.png: in/sub/old.bmp would also be saved as out/sub/old.png: '
            'rename one of them'
        )
        assert (status, line in err) == (1, True)
        assert out[0].startswith(f'{done} done, {6 - done} skipped, 1 failed')
    np.testing.assert_array_equal(Image.open('in/sub/old.bmp'), photos)


def test_only_bad_files(photos, run):
    Path('bad.jpg').write_text('no image')
    status, out, _ = run('bad.jpg', '-o', 'out')
    assert (status, out) == (1, ['0 done, 0 skipped, 1 failed -> out'])


def test_result_that_cannot_be_written(photos, run):
    os.makedirs('out')
    Path('out/sub').write_text('a file where a folder should be')
    status, out, err = run('in', '-o', 'out')
    assert status == 1
    assert out[0].startswith('2 done, 0 skipped, 4 failed')
    assert ['cannot be written' in line for line in err] == [True] * 4 + [False]
    assert err[-1].startswith('warning: 1 of the photos had color')
    assert found('out') == ['color.jpg', 'gray.png', 'sub']


def test_compare(photos, run):
    Image.new('L', (3000, 30), 128).save('in/long.png')
    assert run('in', '-o', 'out', '--compare')[0] == 0
    assert len(found('out')) == 14
    pair = np.asarray(Image.open('out/gray.png.compare.png'))
    height, width = pair.shape[:2]
    assert (width, height) == (2 * photos.width, photos.height)
    left, right = pair[:, : width // 2], pair[:, width // 2 :]
    np.testing.assert_array_equal(left[..., 0], photos.convert('L'))
    assert np.ptp(left, axis=2).max() == 0
    np.testing.assert_array_equal(right, Image.open('out/gray.png'))
    assert Image.open('out/long.png.compare.png').size == (2048, 10)
    assert Image.open('out/sub/clear.webp.compare.png').mode == 'RGBA'


def test_saturation(photos, run):
    run('in/gray.png', '-o', 'out', '--saturation', '0')
    np.testing.assert_array_equal(
        np.asarray(Image.open('out/gray.png'))[..., 1], photos.convert('L')
    )


def test_gray_and_toned_photos_give_no_warning(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gray = Image.fromarray(astronaut()).convert('L')
    os.mkdir('in')
    gray.save('in/gray.jpg')
    gray.convert('RGB').save('in/rgb.jpg')
    ImageOps.colorize(gray, (20, 12, 8), (250, 235, 200)).save('in/sepia.jpg')
    assert run('in', '-o', 'out', recolor=False)[2] == []


def test_photos_in_color_are_left_alone_unless_asked(photos, run):
    status, out, err = run('in', '-o', 'out', recolor=False)
    assert status == 0
    assert err == ['warning: photos and videos in color that were left alone: 4 (see --recolor)']
    assert out[0].startswith('2 done, 0 skipped, 0 failed, 4 left in color, ')
    assert found('out') == ['gray.png', 'sub/scan.tif']
    assert run('in', '-o', 'out')[2] == [
        '2 skipped: the result already exists (use --overwrite to replace it)',
        'warning: 4 of the photos had color, which was replaced',
    ]


def test_format_and_quality(photos, run):
    status, _, err = run('in/gray.png', 'in/sub/scan.tif', '-o', 'out', '--format', 'jpeg')
    assert (status, err, found('out')) == (0, [], ['gray.jpg', 'scan.jpg'])
    assert Image.open('out/gray.jpg').format == 'JPEG'
    run('in/gray.png', '-o', 'low', '--format', 'webp', '--quality', '10')
    run('in/gray.png', '-o', 'high', '--format', 'webp', '--quality', '99')
    low, high = (Path(folder, 'gray.webp').stat().st_size for folder in ('low', 'high'))
    assert 2 * low < high
    assert run('in/gray.png', '-o', 'new.png', '--format', 'jpeg')[2] == [
        'error: new.png is not a JPEG file: change its suffix or --format'
    ]


def test_later_pages_are_warned_of_once(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gray = Image.fromarray(astronaut()).convert('L')
    os.mkdir('in')
    for name in ('scan.tif', 'book.tif', 'phone.jpg'):
        other = [Image.new('L', gray.size)]
        format_ = dict(format='MPO') if name == 'phone.jpg' else {}
        gray.save(Path('in', name), save_all=True, append_images=other, **format_)
    gray.save('in/one.tif')
    assert run('in', '-o', 'out')[::2] == (
        0,
        [
            'warning: 2 of the files had several pages or frames; the first was colorized (--pages '
            'all colorizes all pages, and files other than TIFF also need --format tiff)'
        ],
    )


def test_damaged_metadata_is_left_out_with_a_word(photos, run):
    exif = b'Exif\0\0II*\0\x08\0\0\0\x01\0\x0e\x01\x02\0\xff\xff\0\0\xff\xff\0\0'
    photos.convert('L').save('in/gray.jpg', exif=exif)
    status, out, err = run('in/gray.jpg', '-o', 'out')
    assert (status, len(err)) == (0, 1)
    assert out[0].startswith('1 done')
    assert re.match(r'in/gray\.jpg: .*EXIF data was not copied', err[0])


def test_larger_photos_than_the_limit_are_refused(photos, run):
    size = photos.width * photos.height
    assert run('in/gray.png', '-o', 'out', '--max-pixels', size)[0] == 0
    status, _, err = run('in/gray.png', '-o', 'new', '--max-pixels', size - 1)
    assert status == 1
    assert err == [
        f'in/gray.png: the size of {photos.width} x {photos.height} exceeds the limit of '
        f'{size - 1:,} pixels (--max-pixels; max_pixels in Python)'
    ]


def test_other_files_in_a_folder_are_counted_and_reported(photos, run):
    for name in ('a.psd', 'b.xcf', 'sub/c.pdf', 'sub/d.svg', '.hidden.heic'):
        Path('in', name).write_bytes(b'x')
    status, out, _ = run('in', '-o', 'out')
    assert status == 0
    named = 'in/a.psd, in/b.xcf, in/sub/c.pdf, ...'
    ignored = f'4 ignored because they are not images or videos of a known format ({named})'
    assert f' 0 failed, {ignored}, ' in out[0]


def test_output_defaults_to_a_folder_here(photos, run):
    assert run('in/gray.png')[1][0].endswith(' -> colorized')
    assert found('colorized') == ['gray.png']


@pytest.mark.parametrize(('name', 'format_'), [('new.jpg', 'JPEG'), ('deep/new.webp', 'WEBP')])
def test_output_file_for_one_photo(photos, run, name, format_):
    status, out, _ = run('in/gray.png', '-o', name, '--compare')
    assert status == 0
    assert out[0].endswith(f' -> {name}')
    with Image.open(name) as result:
        assert (result.format, result.size, result.mode) == (format_, photos.size, 'RGB')
    assert Path(f'{name}.compare.png').is_file()
    written = Path(name).read_bytes()
    assert run('in/gray.png', '-o', name, '--compare')[1][0].startswith('0 done, 1 skipped')
    assert Path(name).read_bytes() == written


def test_output_file_of_one_photo_in_a_folder_is_no_input_later(photos, run):
    os.mkdir('one')
    photos.save('one/old.jpg')
    for _ in range(2):
        assert run('one', '-o', 'one/new.jpg', '--overwrite')[1][0].startswith('1 done, 0 skipped')
    assert found('one') == ['new.jpg', 'old.jpg']


def test_transparency_does_not_go_into_a_jpeg_file(photos, run, monkeypatch):
    with monkeypatch.context() as context:
        context.setattr(ColorizationPipeline, 'predict', None)  # it is refused before
        status, out, err = run('in/sub/clear.webp', '-o', 'new.jpg')
    assert (status, out) == (1, ['0 done, 0 skipped, 1 failed -> new.jpg'])
    assert err == [
        'in/sub/clear.webp: JPEG cannot store transparency: choose another --format, such as png'
    ]
    assert not Path('new.jpg').exists()
    assert run('in/sub/clear.webp', '-o', 'new.png')[0] == 0
    assert Image.open('new.png').mode == 'RGBA'


def test_alpha_that_is_opaque_does_not_keep_a_photo_from_jpeg(photos, run):
    photos.convert('RGBA').save('opaque.png')
    photos.convert('L').point(lambda value: min(value, 254)).save('unused.gif', transparency=255)
    deep = np.full((40, 50, 4), 65535, np.uint16)
    deep[..., :3] = np.arange(2000).reshape(40, 50, 1)
    cv2.imwrite('deep.png', deep)
    assert run('opaque.png', 'unused.gif', 'deep.png', '--format', 'jpeg')[::2] == (
        0,
        ['warning: 1 of the photos had color, which was replaced'],
    )
    assert found('colorized') == ['deep.jpg', 'opaque.jpg', 'unused.jpg']


def test_names_cannot_forge_lines(photos, run):
    forged = 'bad\n9 done, 0 skipped, 0 failed -> out\x1b[1A.jpg'
    Path('in', forged).write_text('no image')
    Path('in', forged).with_suffix('.xcf').write_text('no image')
    status, out, err = run('in', '-o', 'out')
    assert (status, len(out), len(err)) == (1, 1, 2)
    assert err[0].startswith(r'in/bad\n9 done, 0 skipped, 0 failed -> out\x1b[1A.jpg: not a JPEG')
    assert r'(in/bad\n9 done, 0 skipped, 0 failed -> out\x1b[1A.xcf)' in out[0]
    assert main(['colorize', '\x1b[2J\n']) == 2


def test_summary_in_a_terminal_without_the_letters(photos, weights, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), 'ascii', 'strict')
    monkeypatch.setattr(sys, 'stdout', stream)
    argv = ['in/gray.png', '-o', '写真', '--weights', str(weights), '--size', '32']
    assert main(['colorize', *argv]) == 0
    assert stream.buffer.getvalue().endswith(rb' -> \u5199\u771f' + b'\n')
    assert found('写真') == ['gray.png']


WRONG_USE = [
    (['none.jpg'], r'none\.jpg does not exist'),
    (['in', '*.xcf'], r'\*.xcf does not exist'),
    (['in', '--weights', 'none.safetensors'], r'weights file none\.safetensors does not exist'),
    (['in', '--weights', 'in/color.jpg'], r'in/color\.jpg'),
    (['in', '--weights', 'other.safetensors'], r'2 missing .*enter'),
    (['in', '--config', 'none.py'], r'none\.py is neither a config file'),
    (['in', '--size', '31'], 'size must be an integer >= 32, got 31'),
    (['in', '--batch-size', '0'], 'batch_size must be an integer >= 1, got 0'),
    (['in', '--saturation', '-1'], 'saturation'),
    (['in', '--saturation', 'nan'], 'saturation'),
    (['in', '--saturation', 'inf'], 'saturation'),
    (['in', '--device', 'cuda'], 'device cuda is not available'),
    (['in', '-o', 'in/color.jpg/out'], 'cannot write to the folder'),
    (['in', '-o', 'in'], 'is an input'),
    (['in', '-o', 'in', '--overwrite'], 'is an input'),
    (['in', '--quality', '101'], '101 is not a whole number from 1 to 100'),
    (['in', '--device', 'mps'], 'device mps is not available'),
]


@pytest.mark.parametrize(('argv', 'message'), WRONG_USE, ids=lambda value: str(value)[:40])
def test_wrong_use(photos, weights, monkeypatch, capsys, two_convs, argv, message):
    """Wrong usage gives one line and exit status 2, and changes nothing."""
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    os.mkdir('movies')
    Path('movies/a.xcf').write_text('no photo')
    broken = {k: v for k, v in two_convs().state_dict().items() if 'leave' in k}
    save_generator('other.safetensors', broken, dict(type='TwoConvs'))
    before = found('.')
    defaults = ['--weights', str(weights), '-o', 'out']  # of an option given twice the last counts
    assert main(['colorize', *defaults, *argv]) == 2
    captured = capsys.readouterr()
    assert captured.out == ''
    assert re.fullmatch(f'error: .*{message}.*\n', captured.err)
    assert found('.') == before
    assert not Path('out').exists()


@pytest.mark.parametrize('argv', [[], ['-o', 'out'], ['in', '--size', 'big'], ['in', '--what']])
def test_wrong_arguments_are_reported_in_one_line(photos, capsys, argv):
    assert main(['colorize', *argv]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith('error: ')


def test_messages_are_in_the_order_of_the_files(photos, run):
    for number in range(0, 30, 2):
        Path(f'in/{number:02}.jpg').write_text('no image')
    data = Path('in/color.jpg').read_bytes()
    for number in range(1, 30, 2):
        Path(f'in/{number:02}.jpg').write_bytes(data[: len(data) // 2])
    *err, _ = run('in', '-o', 'out', '--batch-size', '3')[2]
    names = [line.split(':')[0] for line in err]
    truncated = [line.split(':')[0] for line in err if 'truncated' in line]
    assert len(names) == 30
    assert truncated == [f'in/{number:02}.jpg' for number in range(1, 30, 2)]


@pytest.fixture
def interrupt():
    """Press Ctrl-C, also if the tests run in the background, where it is ignored."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    signal.signal(signal.SIGINT, handler)


def test_ctrl_c_while_writing(photos, run, monkeypatch, interrupt, dropped):
    save, begun, completed = Image.Image.save, [], []
    saved = itertools.count(1)  # several threads save: each number is seen by one of them

    def slow(self, path, *args, **kwargs):
        begun.append(path)
        save(self, path, *args, **kwargs)
        number = next(saved)
        if number == 3:
            interrupt()
        assert number < 3 or dropped.wait(PATIENCE)
        completed.append(path)

    for number in range(50):
        photos.save(f'in/{number}.png')
    monkeypatch.setattr(Image.Image, 'save', slow)
    status, out, err = run('in', '-o', 'out', '--batch-size', '50')
    assert (status, out, len(err)) == (130, [], 1)
    assert len(begun) < 40
    assert len(found('out')) == len(completed) == len(begun)
    for name in found('out'):
        Image.open(Path('out', name)).load()


def test_ctrl_c_in_the_network(photos, run, uniform_color, monkeypatch, interrupt):
    def interrupted(self, lightness):
        interrupt()
        time.sleep(10)
        pytest.fail('not interrupted')

    monkeypatch.setattr(uniform_color, 'forward', interrupted)
    status, out, err = run('in', '-o', 'out')
    assert (status, out, len(err)) == (130, [], 1)
    assert found('out') == []


def test_pillow_s_warnings_are_not_shown(photos, run, monkeypatch):
    """This includes warnings from the reading threads."""
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', photos.width * photos.height - 1)
    filters = list(warnings.filters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        assert run('in', '-o', 'out')[0] == 0
    assert [warning for warning in caught if 'PIL' in warning.filename] == []
    assert warnings.filters == filters


def fail_for_photos(monkeypatch, network, error):
    """Fail except for the single image on which weights are tried when they are loaded."""
    forward = network.forward

    def fail(self, lightness):
        if len(lightness) > 1:
            raise error
        return forward(self, lightness)

    monkeypatch.setattr(network, 'forward', fail)


def test_out_of_memory_is_a_failure(photos, run, uniform_color, monkeypatch):
    fail_for_photos(monkeypatch, uniform_color, torch.cuda.OutOfMemoryError('CUDA out of memory'))
    status, out, err = run('in', '-o', 'out')
    assert status == 1
    assert out == ['0 done, 0 skipped, 6 failed -> out']
    assert len(err) == 6
    assert all('not enough memory' in line for line in err)
    assert found('out') == []


def test_unexpected_error_is_not_hidden(photos, run, uniform_color, monkeypatch):
    fail_for_photos(monkeypatch, uniform_color, RuntimeError('a bug'))
    with pytest.raises(RuntimeError, match='a bug'):
        run('in', '-o', 'out')


FOREIGN = ('mmcv', 'mmdet', 'mmpretrain', 'mmagic', 'mmdet3d', 'torchvision', 'skimage', 'sklearn')
TRAINING = ('sympy', 'torch._dynamo', 'torch.distributed.fsdp', 'torch.distributed.optim')


@pytest.mark.slow
def test_the_script_itself(photos, tiny, start):
    """In a process of its own, from another folder, without the task libraries, and without a home
    or a known user, as in a container that runs under any number. Nothing is imported that only
    training needs."""
    save_generator('tiny.safetensors', MODELS.build(tiny), tiny)
    Path('bad.jpg').write_text('no image')
    code = 'import runpy, sys\n' + ''.join(f'sys.modules[{name!r}] = None\n' for name in FOREIGN)
    code += f'try: runpy.run_path({str(ROOT / "tools" / "colorize.py")!r}, None, "__main__")\n'
    code += f'finally: print("imported:", [*filter(sys.modules.get, {TRAINING!r})])'
    argv = ('in', 'bad.jpg', '--recolor', '-o', 'out', '--weights', 'tiny.safetensors')
    alone = ('env', '-u', 'HOME', '-u', 'USER', '-u', 'LOGNAME', sys.executable, '-W', 'ignore')
    process = start(*alone, '-c', code, *argv, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, err
    assert out.startswith('6 done, 0 skipped, 1 failed')
    assert out.endswith('imported: []\n')
    assert err.count('bad.jpg: not a JPEG') == 1
    assert len(found('out')) == 6


def test_progress_bar_on_a_terminal(photos, weights, monkeypatch):
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack('4H', 24, 80, 0, 0))
    with os.fdopen(writer, 'w') as terminal:
        monkeypatch.setattr(sys, 'stderr', terminal)
        Path('in/bad.jpg').write_text('no image')
        argv = ['colorize', 'in', '-o', 'out', '--weights', str(weights), '--size', '32']
        assert main(argv) == 1
        terminal.flush()
        shown = ''
        while '6/6' not in shown:  # to the end of the test's patience where it never comes
            assert select.select([reader], [], [], 10)[0], shown
            shown += os.read(reader, 100_000).decode()
    os.close(reader)
    assert 'in/bad.jpg: not a JPEG' in shown


def test_names_that_are_too_long_for_a_result_cost_no_other_photo(photos, run):
    long = 'x' * 240
    photos.save(f'in/{long}.png')
    photos.save('in/short.png')
    status, out, err = run('in', '-o', 'out', '--compare')
    assert status == 1
    assert f'in/{long}.png: the result cannot be written: File name too long' in err
    assert out[0].startswith('7 done, 0 skipped, 1 failed')
    assert 'short.png' in found('out')
    assert not [name for name in found('out') if name.endswith('.tmp')]


def test_damaged_metadata_is_reported_and_the_photo_is_colorized(photos, run):
    maker = struct.pack('<HHIII', 0x010F, 5, 1, 0, 0)  # a number instead of a text
    exif = b'Exif\0\0II*\0\x08\0\0\0\x01\0' + maker + bytes(4)
    photos.save('in/damaged.jpg', exif=exif, icc_profile=b'no profile')
    status, out, err = run('in/damaged.jpg', 'in/gray.png', '-o', 'out')
    assert status == 0
    assert out[0].startswith('2 done, 0 skipped, 0 failed')
    [line] = [line for line in err if 'damaged.jpg' in line]
    assert 'EXIF data was not copied (Make)' in line
    assert 'its ICC profile was ignored' in line
