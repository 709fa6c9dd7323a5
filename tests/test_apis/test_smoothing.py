import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from dualattn_mm.apis.smoothing import ColorSmoother
from dualattn_mm.cli.main import main
from dualattn_mm.utils.errors import ColorizeError, UserError

SIZE, STEP = 96, 3


def texture(rng, width=3 * SIZE):
    """A gray picture (SIZE, width), L in [0, 100], with detail that a flow can follow."""
    noise = cv2.GaussianBlur(rng.normal(0, 1, (SIZE, width)).astype(np.float32), (0, 0), 2)
    return np.clip(50 + 120 * noise, 0, 100).astype(np.float32)


def window(wide, left):
    return torch.from_numpy(np.ascontiguousarray(wide[..., left : left + SIZE]))


def as_ab(noise):
    return torch.from_numpy(noise.astype(np.float32))


def test_color_follows_a_pan(rng):
    """Correct colors with different noise per frame: the mean follows objects, not positions."""
    wide = texture(rng)
    stripes = 30 * np.sign(np.sin(np.arange(3 * SIZE) / 20))
    truth = np.stack([np.tile(stripes, (SIZE, 1)), np.tile(-stripes, (SIZE, 1))])
    smoother, errors, raw = ColorSmoother(0.8), [], []
    for index in range(25):
        here = window(truth, STEP * index).float()
        noisy = here + as_ab(rng.normal(0, 10, (2, SIZE, SIZE)))
        smooth = smoother(window(wide, STEP * index)[None], noisy)
        assert smooth.shape == noisy.shape
        assert smooth.dtype == torch.float32
        inner = (slice(None), slice(12, -12), slice(12, -30))  # what came into view is newer
        away = (torch.roll(here, 4, 2) == here) & (torch.roll(here, -4, 2) == here)  # from edges
        raw.append((noisy - here)[inner][away[inner]].abs().mean())
        errors.append((smooth - here)[inner][away[inner]].abs().mean())
    # The mean of the last 25 of white noise, each 0.8 of the one after: 1/3 of the deviation.
    assert np.mean(errors[10:]) < 0.42 * np.mean(raw[10:])
    assert smoother.cuts == 0


def test_still_picture_gives_the_running_mean(rng):
    gray = window(texture(rng), 0)[None]
    smoother, mean = ColorSmoother(0.5), None
    for _ in range(6):
        ab = as_ab(rng.normal(0, 10, (2, SIZE, SIZE)))
        mean = ab if mean is None else 0.5 * mean + 0.5 * ab
        torch.testing.assert_close(smoother(gray, ab), mean, atol=1e-3, rtol=0)


def test_flicker_of_the_brightness_is_no_motion(rng):
    gray = window(texture(rng), 0)[None] * 0.8
    smoother, mean = ColorSmoother(0.5), None
    for index in range(6):
        ab = as_ab(rng.normal(0, 10, (2, SIZE, SIZE)))
        mean = ab if mean is None else 0.5 * mean + 0.5 * ab
        smooth = smoother(gray + 8 * (index % 2), ab)
    torch.testing.assert_close(smooth, mean, atol=2, rtol=0)
    assert smoother.cuts == 0


def test_nothing_is_carried_over_a_cut(rng):
    smoother = ColorSmoother(0.9)
    red, blue = torch.full((2, SIZE, SIZE), 40.0), torch.full((2, SIZE, SIZE), -40.0)
    before, after = texture(rng), texture(rng)
    for _ in range(3):
        smoother(window(before, 0)[None], red)
    torch.testing.assert_close(smoother(window(after, 0)[None], blue), blue, atol=0, rtol=0)
    assert smoother.cuts == 1


def test_no_color_stays_behind_a_moving_edge(rng):
    """A bright red square moves over a dark blue ground."""
    ground, smoother = texture(rng) * 0.3, ColorSmoother(0.9)
    for index in range(10):
        gray = ground[:, :SIZE].copy()
        ab = np.full((2, SIZE, SIZE), -30.0)
        left = 10 + 4 * index
        gray[30:60, left : left + 24] = 60 + 0.4 * ground[30:60, 100:124]
        ab[:, 30:60, left : left + 24] = 40
        smooth = smoother(torch.from_numpy(gray)[None], as_ab(ab))
    behind = smooth[:, 32:58, left - 12 : left - 3]
    assert behind.mean() < -25
    assert smooth[:, 34:56, left + 4 : left + 20].mean() > 35


def test_strength_zero_changes_nothing(rng):
    smoother = ColorSmoother(0)
    for _ in range(2):
        ab = as_ab(rng.normal(0, 10, (2, SIZE, SIZE)))
        assert smoother(window(texture(rng), 0)[None], ab) is ab


@pytest.mark.parametrize('strength', [-0.1, 1, float('nan'), '1'])
def test_strength_out_of_range(strength):
    with pytest.raises(ColorizeError, match='smooth must be a number from 0 to below 1'):
        ColorSmoother(strength)


def test_photos_need_no_opencv_and_frames_say_what_is_missing(
    weights, tmp_path, monkeypatch, capsys
):
    """OpenCV's usual wheel cannot be imported without libGL, as in most containers."""
    for name in [name for name in sys.modules if name.partition('.')[0] == 'cv2']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'cv2', None)
    Image.new('L', (40, 30), 99).save(tmp_path / 'old.png')
    given = '--weights', str(weights), '-o', str(tmp_path / 'out'), '--size', '32'
    assert main(['colorize', str(tmp_path / 'old.png'), *given]) == 0
    assert (tmp_path / 'out/old.png').is_file()
    capsys.readouterr()
    with pytest.raises(
        UserError, match=r'cv2 is needed for frames .*: pip install .opencv-python-h'
    ):
        ColorSmoother()
