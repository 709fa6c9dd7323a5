"""Films on the command line, beside photos."""

import sys

import numpy as np
import pytest
from PIL import Image

from dualattn_mm.cli.main import main

av = pytest.importorskip('av', reason="needs the extra 'video'")


@pytest.fixture
def here(tmp_path, monkeypatch, rng):
    """A folder `in` with a film in a subfolder and a photo; it is the current directory's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'in' / 'sub').mkdir(parents=True)
    Image.fromarray(rng.integers(0, 255, (48, 64), np.uint8)).save('in/photo.png')
    with av.open('in/sub/film.mp4', 'w') as output:
        stream = output.add_stream('libx264', rate=25, width=64, height=48, pix_fmt='yuv420p')
        for _ in range(5):
            gray = rng.integers(0, 255, (48, 64), np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(gray, 'gray')))
        output.mux(stream.encode(None))
    return tmp_path


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
    assert out[0].startswith('1 done, 0 skipped, 0 failed, ')
    assert ', 1 film done, ' in out[0]
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


def test_saturation_zero_gives_gray_films(here, run):
    assert run('in/sub/film.mp4', '--saturation', 0, '--no-smooth')[0] == 0
    for frame in frames('colorized/film.mp4'):
        assert np.abs(frame - frame.mean(2, keepdims=True)).max() <= 3


def test_unreadable_film_costs_no_other_file(here, run):
    (here / 'in/broken.mov').write_bytes(b'no film' * 100)
    status, out, err = run('in', '-o', 'out')
    assert status == 1
    assert err == ['in/broken.mov: cannot be read: Invalid data found when processing input']
    assert out[0].startswith('1 done, 0 skipped, 1 failed, ')
    assert ', 1 film done, ' in out[0]


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['in/sub/film.mp4', '-o', 'a.png'], 'a.png and in/sub/film.mp4 must both be films'),
        (['in/photo.png', '-o', 'a.mp4'], 'a.mp4 and in/photo.png must both be films'),
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


def test_without_pyav_one_line_names_the_extra(here, run, monkeypatch):
    monkeypatch.setitem(sys.modules, 'av', None)
    status, out, err = run('in/sub/film.mp4')
    assert (status, out, len(err)) == (2, [], 1)
    assert err[0].startswith('error: av is needed for films')
    assert err[0].endswith("pip install 'dualattn_mm[video]'")
