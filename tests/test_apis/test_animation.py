import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from skimage.color import rgb2lab

from dualattn_mm.apis import ColorizationPipeline
from dualattn_mm.apis.animation import colorize_animation
from dualattn_mm.utils.errors import ColorizeError, TooLargeError

TIMES = [40, 120, 500, 40]
DESCRIPTION, ORIENTATION = 270, 274
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'


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


# GIF counts repetitions; WebP and PNG count plays. None has no extension, so it is played once.
@pytest.mark.parametrize(
    ('gif', 'plays'), [(None, 1), (0, 0), (1, 2), (3, 4), (65_534, 65_535), (65_535, 65_536)]
)
def test_number_of_plays_is_kept_in_other_formats(tmp_path, pipe, gif, plays):
    make(tmp_path / 'a.gif', **({} if gif is None else {'loop': gif}))
    stated = {'.gif': gif, '.webp': min(plays, 65_535), '.png': plays}
    for suffix, loop in stated.items():
        colorize_animation(pipe, tmp_path / 'a.gif', tmp_path / f'b{suffix}')
        assert frames_of(tmp_path / f'b{suffix}')[1] == loop
    colorize_animation(pipe, tmp_path / 'b.png', tmp_path / 'c.gif')
    assert frames_of(tmp_path / 'c.gif')[1] == gif


def test_more_plays_than_a_gif_holds(tmp_path, pipe):
    make(tmp_path / 'a.png', loop=100_000)
    colorize_animation(pipe, tmp_path / 'a.png', tmp_path / 'b.gif')
    assert frames_of(tmp_path / 'b.gif')[1] == 65_535


def test_format_with_one_frame_is_refused(tmp_path, pipe):
    with pytest.raises(ColorizeError, match=r'\.jpg files have only one frame: choose'):
        colorize_animation(pipe, tmp_path / 'never_read.gif', tmp_path / 'b.jpg')
    assert not (tmp_path / 'b.jpg').exists()


def test_result_that_exists_is_reported_before_the_work(tmp_path, pipe):
    target = make(tmp_path / 'b.gif')
    with pytest.raises(ColorizeError, match='the file already exists and is not overwritten'):
        colorize_animation(pipe, tmp_path / 'never_read.gif', target)


def test_frame_that_is_shown_for_too_long_is_one_line(tmp_path, pipe):
    source, target = tmp_path / 'a.webp', tmp_path / 'b.gif'
    first, *others = (Image.new('L', (32, 32), 50 + 50 * index) for index in range(3))
    first.save(source, save_all=True, append_images=others, duration=[40, 655_350, 40])
    colorize_animation(pipe, source, target)
    assert frames_of(target)[0][1][1] == 655_350
    first.save(source, save_all=True, append_images=others, duration=[40, 655_360, 40])
    with pytest.raises(ColorizeError, match=r'^a GIF file cannot store how long a frame is shown'):
        colorize_animation(pipe, source, target, overwrite=True)


def test_all_frames_count_for_the_limit(tmp_path, pipe):
    source = make(tmp_path / 'a.webp')
    pipe.max_pixels = 4 * (64 * 48 + 1024)
    colorize_animation(pipe, source, tmp_path / 'b.webp')
    pipe.max_pixels -= 1
    with pytest.raises(ColorizeError, match=r'^its first 4 frames of 64 x 48 exceed the limit of'):
        colorize_animation(pipe, source, tmp_path / 'c.webp')


@pytest.mark.parametrize(('suffix', 'last'), [('.gif', 2), ('.webp', 0), ('.png', 0)])
def test_frames_beyond_the_most_are_not_read(tmp_path, pipe, monkeypatch, suffix, last):
    """GIF files do not state how many there are."""
    source, shown = make(tmp_path / f'a{suffix}'), []
    opened = type(Image.open(source))
    seek = opened.seek
    monkeypatch.setattr(opened, 'seek', lambda image, n: (shown.append(n), seek(image, n))[1])
    with pytest.raises(TooLargeError, match=r'^it has more than 2 frames$'):
        colorize_animation(pipe, source, tmp_path / f'b{suffix}', max_frames=2)
    assert max(shown) == last
    assert colorize_animation(pipe, source, tmp_path / f'b{suffix}', max_frames=4).frames == 4


def write_sixteen_bits(path, frames):
    """Write an animated PNG file, which Pillow cannot do with 16 bits."""
    height, width = frames[0].shape

    def chunk(name, data):
        check = zlib.crc32(name + data)
        file.write(struct.pack('>I', len(data)) + name + data + struct.pack('>I', check))

    with path.open('wb') as file:
        file.write(b'\x89PNG\r\n\x1a\n')
        chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 16, 0, 0, 0, 0))
        chunk(b'acTL', struct.pack('>II', len(frames), 0))
        for index, frame in enumerate(frames):
            number = max(0, 2 * index - 1)  # of the chunk
            box = struct.pack('>IIII', width, height, 0, 0)
            chunk(b'fcTL', struct.pack('>I', number) + box + struct.pack('>HHBB', 1, 10, 0, 0))
            data = zlib.compress(b''.join(b'\0' + row.astype('>u2').tobytes() for row in frame))
            if index:
                chunk(b'fdAT', struct.pack('>I', number + 1) + data)
            else:
                chunk(b'IDAT', data)
        chunk(b'IEND', b'')


def test_gray_frames_with_sixteen_bits_keep_their_lightness(tmp_path, pipe):
    frames = [np.tile(np.linspace(0, 65535, 64), (48, 1)) * share for share in (1, 0.9, 0.7)]
    write_sixteen_bits(tmp_path / 'a.png', frames)
    result = colorize_animation(pipe, tmp_path / 'a.png', tmp_path / 'b.png', saturation=0)
    assert result.remark == 'its 16 bits per channel were reduced to 8'
    for frame, (found, _) in zip(frames, frames_of(tmp_path / 'b.png')[0], strict=True):
        np.testing.assert_allclose(np.asarray(found)[..., 0], frame / 257, atol=1.5)


def gray_profile(gamma):
    """An ICC profile of gray with this exponent."""
    curve = struct.pack('>4s4xIH', b'curv', 1, round(gamma * 256)) + bytes(2)
    table = struct.pack('>I4sII', 1, b'kTRC', 144, len(curve))
    head = bytearray(128)
    head[8:12], head[12:24], head[36:40] = b'\x04\x20\0\0', b'mntrGRAYXYZ ', b'acsp'
    head[:4] = struct.pack('>I', 144 + len(curve))
    return bytes(head) + table + curve


def test_profile_of_gray_frames_is_applied(tmp_path, pipe):
    source = make(tmp_path / 'a.png', icc_profile=gray_profile(1.0))
    result = colorize_animation(pipe, source, tmp_path / 'b.png', saturation=0)
    assert result.remark == ''
    dark, light = (frames_of(tmp_path / name)[0][0][0] for name in ('a.png', 'b.png'))
    expected = 255 * (1.055 * (np.asarray(dark)[..., 0] / 255) ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(np.asarray(light)[..., 0], expected, atol=1.5)


def test_damaged_metadata_is_said_once_and_not_warned_of(tmp_path, pipe, recwarn):
    source = make(tmp_path / 'a.webp', exif=b'Exif\0\0II*\0\x08\0\0\0\x05\0garbage')
    result = colorize_animation(pipe, source, tmp_path / 'b.webp')
    assert 'EXIF data was not copied' in result.remark
    assert ';' not in result.remark
    assert not [warning for warning in recwarn if 'EXIF' in str(warning.message)]


def described(path, **options):
    """A turned animation with all kinds of metadata that its format holds."""
    exif, texts = Image.Exif(), PngImagePlugin.PngInfo()
    exif[DESCRIPTION], exif[ORIENTATION] = 'the moon', 6
    texts.add_text('Title', 'a film')
    texts.add_itxt('XML:com.adobe.xmp', XMP.decode())
    kinds = {
        '.png': dict(exif=exif, dpi=(300, 300), pnginfo=texts),
        '.webp': dict(exif=exif, xmp=XMP, lossless=True),
        '.gif': dict(comment=b'by hand'),
    }
    return make(path, **kinds[path.suffix])


@pytest.mark.parametrize('target', ['b.png', 'b.webp', 'b.gif'])
@pytest.mark.parametrize('source', ['a.png', 'a.webp', 'a.gif'])
def test_metadata_is_kept_or_the_loss_is_said(tmp_path, pipe, source, target):
    result = colorize_animation(pipe, described(tmp_path / source), tmp_path / target)
    lost = {
        ('a.png', 'b.webp'): 'WEBP cannot hold all of its metadata: text was not copied',
        ('a.gif', 'b.webp'): 'WEBP cannot hold all of its metadata: text was not copied',
        ('a.png', 'b.gif'): (
            'GIF cannot hold all of its metadata: EXIF, XMP, resolution, text was not copied'
        ),
        ('a.webp', 'b.gif'): 'GIF cannot hold all of its metadata: EXIF, XMP was not copied',
    }
    assert result.remark == lost.get((source, target), '')
    with Image.open(tmp_path / target) as image:
        assert image.n_frames == 4
        if target == 'b.gif':
            assert image.info.get('comment') == (b'by hand' if source == 'a.gif' else None)
            return
        assert image.info['icc_profile']
        exif = image.getexif()
        assert exif.get(DESCRIPTION) == (None if source == 'a.gif' else 'the moon')
        assert exif.get(ORIENTATION, 1) == 1
        assert image.size == ((64, 48) if source == 'a.gif' else (48, 64))
        assert image.info.get('xmp') == (None if source == 'a.gif' else XMP)
        if target == 'b.png':
            titles = {'a.png': {'Title': 'a film'}, 'a.gif': {'Comment': 'by hand'}}
            assert {k: v for k, v in image.text.items() if 'xmp' not in k} == titles.get(source, {})
        if source == 'a.png':
            dpi = exif.get(282) if target == 'b.webp' else image.info['dpi'][0]
            assert float(dpi) == pytest.approx(300, abs=0.1)


def test_quality_of_webp(tmp_path, pipe, rng):
    noise = [Image.fromarray(rng.integers(0, 255, (48, 64), np.uint8)) for _ in range(3)]
    noise[0].save(tmp_path / 'a.webp', save_all=True, append_images=noise[1:], lossless=True)
    sizes = []
    for quality in (5, 95, None):
        target = tmp_path / f'{quality}.webp'
        colorize_animation(pipe, tmp_path / 'a.webp', target, quality=quality)
        sizes.append(target.stat().st_size)
    assert sizes[0] < 0.5 * sizes[1]
    assert b'VP8L' in (tmp_path / 'None.webp').read_bytes()
