"""What is copied from films beside their frames: sound, subtitles, data, attachments, covers."""

import io
from fractions import Fraction

import pytest
from film_clips import (
    COUNT,
    add_sound,
    av,
    make_clip,
    packets,
    read,
    sounding,
    subtitled,
    write_sound,
)
from PIL import Image

from dualattn_mm.apis.film import colorize_film


@pytest.mark.parametrize(
    ('name', 'codec', 'sound'),
    [
        ('a.mp4', 'libx264', 'aac'),
        ('a.mov', 'libx264', 'pcm_s16le'),
        ('a.mkv', 'libx264', 'flac'),
        ('a.avi', 'libx264', 'mp2'),
        ('a.webm', 'libvpx-vp9', 'libopus'),
    ],
)
def test_everything_else_is_copied(tmp_path, pipe, name, codec, sound):
    streams, turned, chaptered = {}, name[2:] in ('mp4', 'mov'), name[2:] not in ('avi', 'webm')
    chapters = [
        dict(id=1, start=0, end=200, time_base=Fraction(1, 1000), metadata={'title': 'one'}),
        dict(id=2, start=200, end=480, time_base=Fraction(1, 1000), metadata={'title': 'two'}),
    ]

    def change(output, stream):
        output.metadata['title'] = 'A film'
        streams['sound'] = add_sound(output, sound)
        if chaptered:
            output.set_chapters(chapters)
        if turned:
            stream.set_display_rotation(-90)

    source = make_clip(
        tmp_path / name,
        codec,
        crf='30',
        change=change,
        after=lambda output: write_sound(streams['sound'], output),
    )
    target = tmp_path / 'out' / name
    assert not colorize_film(pipe, source, target).remark
    assert packets(target, 'audio') == packets(source, 'audio')
    with av.open(str(target)) as film:
        assert film.metadata['title'] == 'A film'
        if name != 'a.avi':  # which names no languages
            assert film.streams.audio[0].language == 'fra'
        if chaptered:
            found = [(c['start'] * c['time_base'], c['metadata']['title']) for c in film.chapters()]
            assert found == [(0, 'one'), (Fraction(1, 5), 'two')]
    assert read(target)[0].rotation == (-90 if turned else 0)


def test_subtitles_and_attachments_are_copied(tmp_path, pipe):
    source = subtitled(tmp_path / 'a.mkv', [b'line at 0', b'line at 200'])
    assert not colorize_film(pipe, source, tmp_path / 'b.mkv').remark
    assert packets(tmp_path / 'b.mkv', 'subtitles') == packets(source, 'subtitles') != []
    with av.open(str(tmp_path / 'b.mkv')) as film:
        assert film.streams.subtitles[0].language == 'deu'
        (font,) = film.streams.attachments
        assert (font.name, font.mimetype, font.data) == ('font.ttf', 'font/ttf', b'a font')


@pytest.mark.parametrize('name', ['a.mp4', 'a.mkv'])
def test_cover_picture_is_copied(tmp_path, pipe, name):
    buffer = io.BytesIO()
    Image.new('RGB', (16, 16), 'red').save(buffer, 'JPEG')
    kept = {}

    def change(output, stream):
        if name == 'a.mkv':
            output.add_attachment('cover.jpg', 'image/jpeg', buffer.getvalue())
            return
        cover = output.add_stream('mjpeg', width=16, height=16, pix_fmt='yuvj420p')
        cover.disposition = av.stream.Disposition.attached_pic
        kept['cover'] = cover

    def after(output):
        if kept:
            packet = av.Packet(buffer.getvalue())
            packet.stream, packet.pts, packet.dts = kept['cover'], 0, 0
            output.mux(packet)

    source = make_clip(tmp_path / name, change=change, after=after)
    result = colorize_film(pipe, source, tmp_path / 'out' / name)
    assert (result.frames, result.remark) == (COUNT, '')
    with av.open(str(tmp_path / 'out' / name)) as film:
        _, cover = film.streams.video
        assert cover.disposition == av.stream.Disposition.attached_pic
        assert next(bytes(packet) for packet in film.demux(cover)) == buffer.getvalue()


def test_text_of_subtitles_is_converted_for_another_container(tmp_path, pipe):
    lines = ['first <i>line</i> é'.encode(), 'Latin-1: é'.encode('latin-1'), b'two\nlines']
    source = subtitled(tmp_path / 'a.mkv', lines)
    result = colorize_film(pipe, source, tmp_path / 'b.mp4')
    assert result.remark == (
        'streams that .mp4 cannot hold: 2 (attachment font.ttf, a part of subtitle srt)'
    )
    with av.open(str(tmp_path / 'b.mp4')) as film:
        (text,) = film.streams.subtitles
        assert (text.codec_context.codec.canonical_name, text.language) == ('mov_text', 'deu')
    assert not colorize_film(pipe, tmp_path / 'b.mp4', tmp_path / 'c.mkv', recolor=True).remark
    expected = [(lines[0], 0), (lines[2], Fraction(400, 1000))]
    assert packets(tmp_path / 'c.mkv', 'subtitles') == expected


@pytest.mark.parametrize(
    ('codec', 'name'), [('flac', 'b.webm'), ('flac', 'b.mov'), ('libopus', 'b.mov')]
)
def test_streams_that_do_not_fit_are_reported(tmp_path, pipe, codec, name):
    source = sounding(tmp_path / 'a.mkv', codec='libx264', sound=codec)
    result = colorize_film(pipe, source, tmp_path / name)
    sound = codec.removeprefix('lib')
    assert result.remark == f'streams that {name[1:]} cannot hold: 1 (audio {sound})'
    assert len(read(tmp_path / name)) == COUNT


@pytest.mark.parametrize('name', ['a.mkv', 'a.avi'])
@pytest.mark.parametrize('layout', ['mono', 'stereo', '5.1'])
def test_pcm_without_named_channels_fits_into_mp4(tmp_path, pipe, name, layout):
    kept = {}

    def change(output, _):
        kept['sound'] = output.add_stream('pcm_s16le', rate=48000, layout=layout)

    def after(output):
        sound = kept['sound']
        frame = av.AudioFrame('s16', layout, 4800)
        frame.sample_rate, frame.pts = 48000, 0
        for part in frame.planes:
            part.update(bytes(part.buffer_size))
        output.mux(sound.encode(frame))

    source = make_clip(tmp_path / name, 'mpeg4', change=change, after=after)
    result = colorize_film(pipe, source, tmp_path / 'b.mp4')
    assert result.frames == COUNT
    if (name, layout) == ('a.mkv', '5.1'):  # AVI names more than two channels
        assert result.remark == 'streams that .mp4 cannot hold: 1 (audio pcm_s16le)'
    else:
        assert not result.remark
        assert packets(tmp_path / 'b.mp4', 'audio')


def add_fonts(output, _):
    for name in 'abcd':
        output.add_attachment(f'{name}.ttf', 'font/ttf', b'a font')


def add_timecode(_, stream):
    stream.metadata['timecode'] = '01:02:03:04'


@pytest.mark.parametrize(
    ('name', 'codec', 'target', 'left_out'),
    [
        ('a.mov', b'gpmd', 'b.mov', ''),  # the telemetry of cameras
        ('a.mov', b'gpmd', 'b.mp4', ''),
        ('a.mov', b'gpmd', 'b.mkv', '1 (data bin_data)'),
        ('a.mov', b'odd ', 'b.mov', ''),
        ('a.mov', b'odd ', 'b.mp4', '1 (data)'),
        ('a.mov', b'odd ', 'b.avi', '1 (data)'),
        ('a.mov', b'tmcd', 'b.mp4', ''),
        ('a.mov', b'tmcd', 'b.avi', '1 (data)'),
        ('a.mkv', None, 'b.mp4', '4 (attachment a.ttf, attachment b.ttf, attachment c.ttf, ...)'),
        ('a.mkv', None, 'b.webm', '4 (attachment a.ttf, attachment b.ttf, attachment c.ttf, ...)'),
    ],
)
def test_data_and_attachments_are_copied_or_reported(tmp_path, pipe, name, codec, target, left_out):
    source = make_clip(tmp_path / name, change=add_timecode if codec else add_fonts)
    if codec:  # PyAV writes no data streams, but the one of a timecode looks like another
        source.write_bytes(source.read_bytes().replace(b'tmcd', codec))
    result = colorize_film(pipe, source, tmp_path / target)
    suffix = target[1:]
    assert result.remark == (left_out and f'streams that {suffix} cannot hold: {left_out}')
    assert len(read(tmp_path / target)) == COUNT
    if codec and not left_out:
        assert packets(tmp_path / target, 'data') == packets(source, 'data') != []
