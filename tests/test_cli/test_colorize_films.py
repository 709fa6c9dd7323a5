"""Films and photos on the command line."""

import os
import shutil
import signal
import sys

import numpy as np
import pytest
from PIL import Image
from processes import PATIENCE, start_dualattn, wait_until
from skimage.color import rgb2lab

from dualattn_mm.apis.smoothing import ColorSmoother
from dualattn_mm.cli.main import main

av = pytest.importorskip('av', reason="needs the extra 'video'")


@pytest.fixture
def here(tmp_path, monkeypatch, rng):
    """A folder `in` in the current directory, with a photo, and a film in a subfolder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'in' / 'sub').mkdir(parents=True)
    Image.fromarray(rng.integers(0, 255, (48, 64), np.uint8)).save('in/photo.png')
    write_film('in/sub/film.mp4', rng.integers(0, 255, (5, 48, 64), np.uint8))
    return tmp_path


def write_film(path, images):
    """Write images, (H, W) or (H, W, 3) uint8, as the frames of a film with one key frame."""
    with av.open(str(path), 'w') as output:
        stream = output.add_stream('libx264', rate=25, width=64, height=48, pix_fmt='yuv420p')
        stream.options = {'preset': 'ultrafast'}
        for image in images:
            format_ = 'gray' if image.ndim == 2 else 'rgb24'
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format_)))
        output.mux(stream.encode(None))


@pytest.fixture
def images(rng):
    """A gray and a toned image, and one in color, (48, 64, 3) uint8."""
    gray = np.repeat(rng.integers(0, 255, (6, 8, 1)), 8, axis=0).repeat(8, axis=1)
    color = rng.integers(0, 255, (6, 8, 3)).repeat(8, axis=0).repeat(8, axis=1)
    toned = gray * [1, 0.8, 0.6]
    return [image.astype(np.uint8) for image in (gray.repeat(3, axis=2), toned, color)]


@pytest.fixture
def run(weights, capsys):
    def run_(*words):
        options = ('--weights', str(weights), '--size', '32', '--device', 'cpu')
        status = main(['colorize', *map(str, words), *options])
        captured = capsys.readouterr()
        return status, captured.out.splitlines(), captured.err.splitlines()

    return run_


def frames(path):
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format='rgb24').astype(int) for frame in film.decode(video=0)]


def test_folder_of_photos_and_films(here, run):
    status, out, err = run('in', '-o', 'out')
    assert (status, err) == (0, [])
    assert out[0].startswith('2 done, 0 skipped, 0 failed, ')
    assert ', 1 of them a video at ' in out[0]
    assert out[0].endswith(' frames per second -> out')
    assert (here / 'out/photo.png').exists()
    assert len(frames('out/sub/film.mp4')) == 5
    status, out, err = run('in', '-o', 'out')
    assert out == ['0 done, 2 skipped, 0 failed -> out']


def test_output_file_for_one_film(here, run):
    assert run('in/sub/film.mp4', '-o', 'new.mkv', '--crf', 10, '--preset', 'ultrafast')[0] == 0
    (red, green) = np.mean([frame.mean((0, 1))[:2] for frame in frames('new.mkv')], 0)
    assert red > green + 5
    with av.open('new.mkv') as film:
        assert film.format.name == 'matroska,webm'


def test_colon_in_the_name_of_a_folder_is_no_protocol(here, run):
    assert run('in/sub/film.mp4', '-o', 'film:new')[0] == 0
    assert len(frames(here / 'film:new/film.mp4')) == 5


def test_saturation_zero_gives_gray_films(here, run):
    assert run('in/sub/film.mp4', '--saturation', 0, '--no-smooth')[0] == 0
    for frame in frames('colorized/film.mp4'):
        assert np.abs(frame - frame.mean(2, keepdims=True)).max() <= 3


def test_unreadable_film_costs_no_other_file(here, run):
    (here / 'in/broken.mov').write_bytes(b'no film' * 100)
    status, out, err = run('in', '-o', 'out')
    assert status == 1
    assert err == ['in/broken.mov: cannot be read: Invalid data found when processing input']
    assert out[0].startswith('2 done, 0 skipped, 1 failed, ')
    assert ', 1 of them a video at ' in out[0]


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['in/sub/film.mp4', '-o', 'a.png'], 'a.png and in/sub/film.mp4 must both be videos'),
        (['in/photo.png', '-o', 'a.mp4'], 'a.mp4 and in/photo.png must both be videos'),
        (['in', '-o', 'a.mp4'], 'a.mp4 is one file, but there are 2'),
        (['in/sub/film.mp4', '-o', 'in/sub'], 'is an input and would be overwritten'),
        (['in/sub/film.mp4', '--smooth', '1'], 'smooth must be a number from 0 to below 1'),
    ],
)
def test_wrong_use(here, run, words, message):
    status, out, err = run(*words)
    assert (status, out, len(err)) == (2, [], 1)
    assert message in err[0]
    assert not (here / 'colorized').exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ('number', 'status'), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)]
)
def test_film_whose_run_is_stopped_leaves_no_result(here, run, rng, number, status):
    noise = list(rng.integers(0, 255, (10, 48, 64), np.uint8))
    write_film('in/long.mp4', noise * 100)
    argv = ['in/long.mp4', '-o', 'out', '--size', 32, '--device', 'cpu']
    process = start_dualattn(here, 'colorize', *argv)

    def has_written():
        assert process.exitcode is None
        return any(path.stat().st_size for path in (here / 'out').glob('.colorize-*'))

    wait_until(has_written, 'a part of the film is written')
    os.kill(process.pid, number)
    process.join(PATIENCE)
    assert process.exitcode == status
    left = [path.name for path in (here / 'out').iterdir()]
    assert len(left) == (number == signal.SIGKILL)  # a later run removes it
    assert all(name.startswith('.colorize-') for name in left)
    write_film('in/long.mp4', noise)
    assert run('in/long.mp4', '-o', 'out')[0] == 0
    assert len(frames('out/long.mp4')) == len(noise)


def test_missing_pyav_is_reported_with_the_extra_to_install(here, run, monkeypatch):
    monkeypatch.setitem(sys.modules, 'av', None)
    status, out, err = run('in', '-o', 'out')
    assert (status, len(err)) == (1, 1)
    assert out[0].startswith('1 done, 0 skipped, 1 failed, ')
    assert err[0].startswith('in/sub/film.mp4: av is needed for videos')
    assert err[0].endswith("pip install 'dualattn_mm[video]'")
    assert (here / 'out/photo.png').exists()


@pytest.mark.parametrize('name', ['old.MPG', 'tape.vob'])
def test_films_of_other_kinds_are_named_with_a_remedy(here, run, name):
    shutil.copy('in/sub/film.mp4', name)
    status, _, err = run(name, '-o', 'out')
    assert (status, len(err)) == (1, 1)
    assert err[0].startswith(f'{name}: videos must be .mp4, .m4v, .mov, .mkv, .avi, .webm: convert')


def test_all_frames_of_animated_images_are_colorized(here, run, rng):
    stills = [Image.fromarray(rng.integers(0, 255, (48, 64), np.uint8)) for _ in range(3)]
    stills[0].save('in/moves.gif', save_all=True, append_images=stills[1:], duration=100)
    stills[0].save('in/still.gif')
    status, out, err = run('in', '-o', 'out')
    assert (status, err) == (0, [])
    assert out[0].startswith('4 done, 0 skipped, 0 failed, ')
    assert ', 2 of them videos at ' in out[0]
    assert Image.open('out/moves.gif').n_frames == 3
    assert Image.open('out/still.png').mode == 'RGB'


def test_output_file_for_one_animation(here, run, rng):
    stills = [Image.fromarray(rng.integers(0, 255, (48, 64), np.uint8)) for _ in range(3)]
    for name in ('moves.gif', 'moves.png'):
        stills[0].save(f'in/{name}', save_all=True, append_images=stills[1:], duration=100)
        new = f'new-{name}.GIF'
        assert run(f'in/{name}', '-o', new)[::2] == (0, [])
        assert (Image.open(new).format, Image.open(new).n_frames) == ('GIF', 3)
    status, out, err = run('in/photo.png', '-o', 'photo.gif')
    assert (status, out) == (1, ['0 done, 0 skipped, 1 failed -> photo.gif'])
    assert err == [
        'in/photo.png: photo.gif can only be an animation: choose a .png file for a photo'
    ]
    assert not (here / 'photo.gif').exists()


def test_films_in_color_are_left_alone_unless_asked(tmp_path, run, images, monkeypatch):
    gray, toned, color = images
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'in').mkdir()
    write_film('in/color.mp4', [gray] * 12 + [color] * 4 + [gray] * 4)
    write_film('in/toned.mp4', [gray] * 5 + [toned] * 5)
    write_film('in/logo.mkv', [color] + [gray] * 19)
    stills = [Image.fromarray(image) for image in (gray, color, gray)]
    stills[0].save('in/color.gif', save_all=True, append_images=stills[1:])
    status, out, err = run('in', '-o', 'out')
    assert status == 0
    assert err == ['warning: photos and videos in color that were left alone: 2 (see --recolor)']
    assert '0 failed, 2 left in color, 2 of them videos at ' in out[0]
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['logo.mkv', 'toned.mp4']
    status, out, err = run('in', '-o', 'out', '--recolor')
    assert (status, err) == (
        0,
        ['2 skipped: the result already exists (use --overwrite to replace it)'],
    )
    assert ', 2 of them videos at ' in out[0]


def test_folder_of_frames_in_color_is_left_alone_as_a_whole(tmp_path, run, images, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, middle in (('gray', images[0]), ('color', images[2])):
        (tmp_path / 'in' / name).mkdir(parents=True)
        for number, image in enumerate((images[0], middle, images[0])):
            Image.fromarray(image).save(f'in/{name}/{number}.png')
    status, out, err = run('in', '-o', 'out', '--frames')
    assert status == 0
    assert err == ['warning: photos and videos in color that were left alone: 3 (see --recolor)']
    assert out[0].startswith('3 done, 0 skipped, 0 failed, 3 left in color, ')
    assert not (tmp_path / 'out' / 'color').exists()


def test_frames_that_are_named_one_by_one_are_sampled_as_those_of_a_folder(
    tmp_path, run, images, monkeypatch
):
    """Of 20 frames, the first and the last are not looked at, so the logo does not count."""
    monkeypatch.chdir(tmp_path)
    for name in ('logo', 'color'):
        (tmp_path / name).mkdir()
        for number in range(20):
            colored = number == 0 if name == 'logo' else number >= 10
            Image.fromarray(images[2 if colored else 0]).save(f'{name}/{number}.png')
    for name in ('logo', 'color'):
        given = [f'{name}/{number}.png' for number in range(20)]
        first, *_ = run(*given, '-o', f'{name}-one-by-one', '--frames')[1]
        second, *_ = run(name, '-o', f'{name}-folder', '--frames')[1]
        done = '20 done, 0 skipped, 0 failed'
        if name == 'color':
            done = '0 done, 0 skipped, 0 failed, 20 left in color'
        assert first.startswith(done)
        assert second.startswith(done)


@pytest.fixture
def redness(tmp_path, run, monkeypatch):
    """Return a function that colorizes three frames of a still image, and returns their mean a.

    The predictions of each call of the command are 12 + 1, 12 + 2 and so on.
    """
    (tmp_path / 'in').mkdir()
    monkeypatch.chdir(tmp_path)
    x, y = np.meshgrid(np.arange(64), np.arange(64))
    gray = Image.fromarray((128 + 60 * np.sin(x / 5) * np.cos(y / 7)).astype(np.uint8))
    for number in (1, 2, 10):
        gray.save(f'in/frame{number}.png')
    seen = []
    call = ColorSmoother.__call__
    monkeypatch.setattr(
        ColorSmoother,
        '__call__',
        lambda *a: seen.append(a[0]) or call(a[0], a[1], a[2] + len(seen)),
    )

    def redness_():
        seen.clear()
        assert run('in', '-o', 'out', '--frames', '--smooth', '0.5', '--saturation', 1)[0] == 0
        return [rgb2lab(Image.open(f'out/frame{n}.png'))[..., 1].mean() for n in (1, 2, 10)]

    return redness_


def test_folder_of_frames_is_smoothed_in_the_order_of_numbers(redness):
    """For a still image, each result has the mean color of all previous frames."""
    # 12 + 1; the mean of that and 12 + 2; the mean of that and 12 + 3
    np.testing.assert_allclose(redness(), [13, 13.5, 14.25], atol=0.25)


def test_smoothing_starts_anew_at_the_first_missing_frame(redness):
    redness()
    for number in (2, 10):
        os.remove(f'out/frame{number}.png')
    # The first result stays; then 12 + 1; the mean of that and 12 + 2
    np.testing.assert_allclose(redness(), [13, 13, 13.5], atol=0.25)
