import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut, chelsea

from projects.film.clips import clip
from projects.film.measure import measure

ROOT = Path(__file__).resolve().parents[3]
SIZE, LENGTH = 64, 5


@pytest.fixture
def frames(rng):
    return list(clip([astronaut()[::3, ::3], chelsea()[::2, ::2]], SIZE, LENGTH, rng))


def test_the_motion_is_that_of_the_pictures(frames):
    """Colors that are warped along the motion equal those of the frame up to interpolation."""
    for last, frame in pairwise(frames):
        if frame.before is None:
            continue
        x, y = (frame.before[..., axis].round().astype(int).clip(0, SIZE - 1) for axis in (0, 1))
        error = np.abs(last.color[y, x].astype(int) - frame.color).mean(-1)
        still = np.abs(last.color.astype(int) - frame.color).mean(-1)
        assert frame.known.mean() > 0.8
        assert not (frame.known & frame.shown).any()
        assert error[frame.known].mean() < 0.75 * still[frame.known].mean()
    assert [frame.before is None for frame in frames] == [True, *[False] * 4] * 2


def test_figures_of_known_colors(frames):
    truth = torch.zeros(2 * LENGTH, 2, SIZE, SIZE)
    steady = torch.full_like(truth, 3.0)
    off = 18**0.5
    figures = measure(frames, steady, truth)
    assert figures == pytest.approx(dict(change=0, error=off, shown=off, cut=off), abs=1e-5)
    flicker = steady.clone()
    flicker[::2] = 0
    assert measure(frames, flicker, truth)['change'] == pytest.approx(off, abs=1e-5)


def test_command(tmp_path, run_script, weights):
    for name, photo in dict(a=astronaut(), b=chelsea()).items():
        (tmp_path / 'photos').mkdir(exist_ok=True)
        Image.fromarray(photo[::3, ::3]).save(tmp_path / 'photos' / f'{name}.png')
    options = ['--photos', tmp_path / 'photos', '--clips', 1, '--length', 3, '--weights', weights]
    status, out, err = run_script(
        ROOT / 'projects/film/measure.py', *options, '--out', tmp_path / 'out', '--device', 'cpu'
    )
    assert (status, err) == (0, '')
    assert out.startswith('| strength | change | error | shown | cut | cuts seen |\n')
    found = json.loads((tmp_path / 'out/film.json').read_text())
    assert found['0.85']['cuts seen'] == 1
    assert found['0.85']['change'] == pytest.approx(0, abs=1e-4)  # one color everywhere
    assert Image.open(tmp_path / 'out/clip0.png').size[0] == 8 * 256
