"""What films lose is named, and nothing else is lost."""

import io
from fractions import Fraction

import numpy as np
import pytest
from film_clips import COUNT, add_sound, av, luma, make_clip, read, write_sound
from PIL import Image

from dualattn_mm.apis.film import colorize_film


@pytest.mark.parametrize(
    ('codec', 'name', 'lost'),
    [
        ('libx264', 'b.mkv', False),
        ('libx265', 'b.mkv', False),
        ('libx264', 'b.avi', False),
        ('libvpx-vp9', 'b.mp4', False),
        ('libvpx-vp9', 'b.mkv', True),
        ('libx264', 'b.webm', True),
    ],
)
def test_pixel_aspect_ratio(tmp_path, pipe, codec, name, lost):
    def change(_, stream):
        stream.codec_context.sample_aspect_ratio = Fraction(16, 15)

    source = make_clip(tmp_path / 'a.mp4', codec, change=change)
    result = colorize_film(pipe, source, tmp_path / name)
    assert result.remark == ('not kept: pixel aspect ratio' if lost else '')
    with av.open(str(tmp_path / name)) as film:
        assert (film.streams.video[0].sample_aspect_ratio == Fraction(16, 15)) != lost


def test_losses_of_avi(tmp_path, pipe):
    kept = {}

    def change(output, _):
        output.set_chapters(
            [dict(id=1, start=0, end=480, time_base=Fraction(1, 1000), metadata={'title': 'one'})]
        )
        output.metadata.update(title='A film', artist='me', director='you', disc='1')
        kept['sound'] = add_sound(output, 'libmp3lame')

    source = make_clip(
        tmp_path / 'a.mkv', change=change, after=lambda output: write_sound(kept['sound'], output)
    )
    result = colorize_film(pipe, source, tmp_path / 'b.avi')
    assert result.remark == 'not kept: chapters, languages, 2 tags (DISC, DIRECTOR)'
    with av.open(str(tmp_path / 'b.avi')) as film:
        assert (film.metadata['title'], film.metadata['artist']) == ('A film', 'me')
    assert not colorize_film(pipe, tmp_path / 'b.avi', tmp_path / 'c.avi', recolor=True).remark


@pytest.mark.parametrize('name', ['b.mp4', 'b.mov', 'b.mkv'])
@pytest.mark.parametrize('tag', ['make', 'composer', 'director'])
def test_all_tags_are_copied(tmp_path, pipe, name, tag):
    def change(output, _):
        output.metadata[tag] = 'someone'

    assert not colorize_film(
        pipe, make_clip(tmp_path / 'a.mkv', change=change), tmp_path / name
    ).remark
    with av.open(str(tmp_path / name)) as film:
        assert {k.lower(): v for k, v in film.metadata.items()}[tag] == 'someone'


@pytest.mark.parametrize(
    ('name', 'remark', 'has_cover'),
    [
        ('b.mp4', 'not kept: 1 tag (DIRECTOR)', True),
        ('b.mkv', '', True),
        ('b.mov', 'streams that .mov cannot hold: 1 (cover picture)', False),
        (
            'b.avi',
            'streams that .avi cannot hold: 1 (cover picture); not kept: 1 tag (DIRECTOR)',
            False,
        ),
    ],
)
def test_cover_picture_and_other_tags(tmp_path, pipe, name, remark, has_cover):
    def change(output, _):
        buffer = io.BytesIO()
        Image.new('RGB', (16, 16), 'red').save(buffer, 'JPEG')
        output.add_attachment('cover.jpg', 'image/jpeg', buffer.getvalue())
        output.metadata.update(director='you', comment='good')

    source = make_clip(tmp_path / 'a.mkv', change=change)
    result = colorize_film(pipe, source, tmp_path / name)
    assert (result.frames, result.remark) == (COUNT, remark)
    with av.open(str(tmp_path / name)) as film:
        pictures = [bool(s.disposition & s.disposition.attached_pic) for s in film.streams.video]
    assert pictures == [False, True] if has_cover else [False]


@pytest.mark.parametrize(
    ('codec', 'name', 'lost'),
    [
        ('libx264', 'b.mkv', False),
        ('ffv1', 'b.mkv', False),
        ('libx264', 'b.webm', True),
    ],
)
def test_interlacing(tmp_path, pipe, codec, name, lost):
    def change(_, stream):
        flags = av.codec.context.Flags
        stream.codec_context.flags |= flags.interlaced_dct | flags.interlaced_me

    source = make_clip(tmp_path / 'a.mkv', codec, fields='tff', change=change)
    result = colorize_film(pipe, source, tmp_path / name)
    assert result.remark == ('not kept: interlacing' if lost else '')
    assert read(tmp_path / name)[0].interlaced_frame != lost


def test_transparency_that_ffv1_stores_is_kept(tmp_path, pipe):
    source = make_clip(tmp_path / 'a.mkv', 'ffv1', 'yuva420p')
    assert not colorize_film(pipe, source, tmp_path / 'b.mkv').remark
    before, after = (read(tmp_path / name)[0].planes[3] for name in ('a.mkv', 'b.mkv'))
    assert bytes(before) == bytes(after)


def test_transparency_that_webm_does_not_get_is_reported(tmp_path, pipe):
    source = make_clip(tmp_path / 'a.mkv', 'ffv1', 'yuva420p')
    assert colorize_film(pipe, source, tmp_path / 'b.webm').remark == 'not kept: transparency'


def test_transparency_of_webm_is_lost_with_its_tag(tmp_path, pipe):
    source = make_clip(tmp_path / 'a.webm', 'libvpx-vp9', 'yuva420p', crf='30')
    assert colorize_film(pipe, source, tmp_path / 'b.webm').remark == 'not kept: transparency'
    with av.open(str(tmp_path / 'b.webm')) as film:
        assert not {'alpha_mode', 'ALPHA_MODE'} & {*film.streams.video[0].metadata}


@pytest.mark.parametrize(
    ('pix_fmt', 'stored'),
    [('gray10le', 'yuv420p10le'), ('gray12le', 'yuv420p12le'), ('gray16le', 'yuv420p16le')],
)
def test_bits_are_kept_if_the_encoder_has_them(tmp_path, pipe, pix_fmt, stored):
    source = make_clip(tmp_path / 'a.mkv', 'ffv1', pix_fmt)
    assert not colorize_film(pipe, source, tmp_path / 'b.mkv').remark
    before, after = read(source)[0], read(tmp_path / 'b.mkv')[0]
    assert after.format.name == stored
    np.testing.assert_array_equal(luma(after), luma(before))


def test_frames_of_another_size_are_reported(tmp_path, pipe):
    with av.open(str(tmp_path / 'a.mkv'), 'w') as output:
        stream = output.add_mux_stream('mjpeg', rate=25, width=64, height=48)
        stream.time_base = Fraction(1, 1000)
        for index, width in enumerate((64, 64, 96, 96, 96)):
            buffer = io.BytesIO()
            Image.new('L', (width, 48), 60 + 10 * index).convert('YCbCr').save(buffer, 'JPEG')
            packet = av.Packet(buffer.getvalue())
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 1000), True
            packet.pts = packet.dts = 40 * index
            output.mux(packet)
    result = colorize_film(pipe, tmp_path / 'a.mkv', tmp_path / 'b.mkv')
    assert result.remark == '3 frames are scaled to the size of the first one'
    assert [frame.width for frame in read(tmp_path / 'b.mkv')] == [64] * 5
