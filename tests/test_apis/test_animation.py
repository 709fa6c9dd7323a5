import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab

from dualattn_mm.apis import ColorizationPipeline
from dualattn_mm.apis.animation import colorize_animation
from dualattn_mm.utils.errors import ColorizeError

TIMES = [40, 120, 500, 40]


@pytest.fixture
def pipe(uniform_color):
    return ColorizationPipeline.from_generator(uniform_color(), size=32, batch_size=3)


def make(path, mode='L', **options):
    """A moving gradient; in mode LA, everything except a triangle is transparent."""
    row = np.linspace(80, 180, 64)
    frames = [
        Image.fromarray(np.tile(np.roll(row, 8 * i), (48, 1)).astype(np.uint8)) for i in range(4)
    ]
    if mode == 'LA':
        alpha = Image.fromarray(np.tri(48, 64, dtype=np.uint8) * 255)
        for frame in frames:
            frame.putalpha(alpha)
        frames = [frame.convert('RGBA') for frame in frames]
    first, *others = frames
    first.save(path, save_all=True, append_images=others, duration=TIMES, **options)
    return path


def frames_of(path):
    with Image.open(path) as image:
        found = []
        for index in range(image.n_frames):
            image.seek(index)
            found.append((image.convert('RGBA'), image.info['duration']))
        return found, image.info.get('loop')


@pytest.mark.parametrize('mode', ['L', 'LA'])
@pytest.mark.parametrize('suffix', ['.gif', '.webp', '.png'])
def test_all_frames_are_colorized_and_kept(tmp_path, pipe, suffix, mode):
    options = dict(lossless=True) if suffix == '.webp' else {}
    source = make(tmp_path / f'a{suffix}', mode, loop=3, **options)
    result = colorize_animation(pipe, source, tmp_path / f'b{suffix}')
    assert (result.frames, result.remark) == (4, '')
    (before, loop), (after, new_loop) = frames_of(source), frames_of(tmp_path / f'b{suffix}')
    assert new_loop == loop == 3
    assert [time for _, time in after] == [time for _, time in before] == TIMES
    for (old, _), (new, _) in zip(before, after, strict=True):
        old, new = np.asarray(old), np.asarray(new)
        np.testing.assert_array_equal(new[..., 3], old[..., 3])
        seen = new[..., 3] == 255
        old_lab, new_lab = rgb2lab(old[..., :3])[seen], rgb2lab(new[..., :3])[seen]
        np.testing.assert_allclose(new_lab[:, 1:].mean(0), (12, -20), atol=2)
        assert np.abs(new_lab[:, 0] - old_lab[:, 0]).mean() < 2


def test_no_loop_stays_no_loop(tmp_path, pipe):
    colorize_animation(pipe, make(tmp_path / 'a.gif'), tmp_path / 'b.gif')
    assert frames_of(tmp_path / 'b.gif')[1] is None


def test_format_with_one_frame_is_refused(tmp_path, pipe):
    with pytest.raises(ColorizeError, match=r'\.jpg files have only one frame: choose'):
        colorize_animation(pipe, make(tmp_path / 'a.gif'), tmp_path / 'b.jpg')
    assert not (tmp_path / 'b.jpg').exists()


def test_all_frames_count_for_the_limit(tmp_path, pipe):
    source = make(tmp_path / 'a.webp')
    pipe.max_pixels = 4 * 64 * 48 - 1
    with pytest.raises(ColorizeError, match=r'^the size of 4 frames of 64 x 48 exceeds the limit'):
        colorize_animation(pipe, source, tmp_path / 'b.webp')
