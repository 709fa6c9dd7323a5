"""Films, made here with PyAV, against PyAV's own conversions and packets."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from film_clips import (
    BT601,
    BT709,
    COUNT,
    EXACT,
    FULL,
    LIMITED,
    add_sound,
    av,
    filtered,
    luma,
    make_clip,
    packets,
    read,
    write_sound,
)
from skimage.color import rgb2lab

from dualattn_mm.apis import ColorizationPipeline
from dualattn_mm.apis.film import colorize_film
from dualattn_mm.utils.errors import ColorizeError, InColorError
from dualattn_mm.utils.film_reader import FilmReader
from dualattn_mm.utils.film_writer import FilmOptions, FilmWriter
from dualattn_mm.utils.yuv import encoding_of

# ITU-T H.273: the matrix and the primaries of BT.2020, and the transfer characteristics of HDR.
BT2020, PQ, HLG = 9, 16, 18
UNSPECIFIED = 2
ROOT = Path(__file__).resolve().parents[2]
HDR = {
    'x265-params': 'log-level=none:max-cll=1000,400:master-display='
    'G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)'
}


@pytest.mark.parametrize(
    ('pix_fmt', 'range_', 'matrix'),
    [
        ('yuv420p', LIMITED, BT601),
        ('yuv420p', LIMITED, BT709),
        ('yuvj420p', FULL, BT601),
        ('yuv422p', LIMITED, BT709),
        ('yuv444p', FULL, BT709),
        ('yuv420p10le', LIMITED, BT709),
        ('gray', LIMITED, BT709),
    ],
)
def test_luma_stays_and_colors_are_right(tmp_path, pipe, pix_fmt, range_, matrix):
    source = make_clip(tmp_path / 'in.mkv', pix_fmt=pix_fmt, color=(range_, matrix))
    result = colorize_film(pipe, source, tmp_path / 'out.mkv', options=EXACT)
    assert result.frames == COUNT
    assert not result.remark
    before, after = read(source), read(tmp_path / 'out.mkv')
    assert [frame.pts for frame in after] == [frame.pts for frame in before]
    for old, new in zip(before, after, strict=True):
        # x264 is lossless with 8 bits only: 4 of 1023 are 1 of 255
        unit = 4 if pix_fmt.endswith('10le') else 0
        np.testing.assert_allclose(luma(new).astype(int), luma(old), atol=unit)
    new = after[-1]
    assert new.color_range == range_ or (new.format.name.startswith('yuvj') and range_ == FULL)
    assert new.colorspace == matrix
    rgb = new.to_ndarray(format='rgb24', src_colorspace=matrix, src_color_range=range_)
    lab = rgb2lab(rgb)
    np.testing.assert_allclose(lab[..., 1:].mean((0, 1)), (12, -20), atol=1.5)
    np.testing.assert_allclose(lab[..., 1:].std((0, 1)), 0, atol=1.5)


@pytest.mark.parametrize(('height', 'matrix'), [(718, BT601), (720, BT709)])
def test_film_that_states_no_matrix_gets_the_usual_one(tmp_path, pipe, height, matrix):
    with av.open(str(tmp_path / 'a.mp4'), 'w') as output:
        stream = output.add_stream('libx264', rate=25, width=64, height=height)
        gray = np.linspace(60, 190, height * 64).reshape(height, 64).astype(np.uint8)
        output.mux(stream.encode(av.VideoFrame.from_ndarray(gray, 'gray')))
        output.mux(stream.encode(None))
    assert read(tmp_path / 'a.mp4')[0].colorspace == UNSPECIFIED
    colorize_film(pipe, tmp_path / 'a.mp4', tmp_path / 'b.mp4', options=EXACT)
    (frame,) = read(tmp_path / 'b.mp4')
    assert frame.colorspace == matrix
    rgb = frame.to_ndarray(format='rgb24', src_colorspace=matrix, src_color_range=LIMITED)
    np.testing.assert_allclose(rgb2lab(rgb)[..., 1:].mean((0, 1)), (12, -20), atol=1)


@pytest.mark.parametrize('transfer', [PQ, HLG])
@pytest.mark.parametrize('name', ['b.mp4', 'b.mkv'])
def test_hdr_films_keep_the_tags_of_their_colors(tmp_path, pipe, name, transfer):
    def tags(frame):
        return frame.color_primaries, frame.color_trc, frame.colorspace

    def change(output, stream):
        stream.codec_context.options = {'x265-params': 'log-level=none'}
        stream.codec_context.color_primaries = BT2020
        stream.codec_context.color_trc = transfer

    source = make_clip(
        tmp_path / 'a.mkv', 'libx265', 'yuv420p10le', color=(LIMITED, BT2020), change=change
    )
    assert tags(read(source)[0]) == (BT2020, transfer, BT2020)  # or this test shows nothing
    colorize_film(pipe, source, tmp_path / name)
    assert {tags(frame) for frame in read(tmp_path / name)} == {(BT2020, transfer, BT2020)}


@pytest.mark.parametrize(
    ('name', 'codec', 'kept'),
    [
        ('a.mp4', 'libx264', 'h264'),
        ('a.mp4', 'libx265', 'hevc'),
        ('a.mov', 'mpeg4', 'h264'),
        ('a.avi', 'mpeg4', 'h264'),
        ('a.avi', 'libx264', 'h264'),
        ('a.mkv', 'ffv1', 'ffv1'),
        ('a.mkv', 'libsvtav1', 'av1'),
        ('a.webm', 'libvpx', 'vp9'),
    ],
)
def test_container_and_codec_are_kept(tmp_path, pipe, name, codec, kept):
    source = make_clip(tmp_path / name, codec, crf='30')
    assert colorize_film(pipe, source, tmp_path / 'out' / name).frames == COUNT
    with av.open(str(source)) as old, av.open(str(tmp_path / 'out' / name)) as new:
        assert new.format.name == old.format.name
        (stream,) = new.streams.video
        assert stream.codec_context.codec.canonical_name == kept
        # AVI stores the order of the packets, and no times of the frames.
        time = (
            (lambda p: p.dts * p.time_base) if name == 'a.avi' else (lambda p: p.pts * p.time_base)
        )
        found = [sorted(time(p) for p in f.demux(video=0) if p.size) for f in (old, new)]
        assert len(found[1]) == COUNT
        assert found[0] == found[1]


@pytest.mark.parametrize('name', ['b.avi', 'b.mp4', 'b.mkv'])
@pytest.mark.parametrize(
    ('pix_fmt', 'range_', 'matrix', 'usual'),
    [
        ('yuv420p', LIMITED, BT601, True),
        ('yuv420p', LIMITED, BT709, False),
        ('yuv420p', FULL, BT601, False),
        ('gray', FULL, BT601, False),
    ],
)
def test_range_and_matrix_of_ffv1_are_kept(tmp_path, pipe, name, pix_fmt, range_, matrix, usual):
    source = make_clip(tmp_path / 'a.mkv', 'ffv1', pix_fmt, color=(range_, matrix))
    colorize_film(pipe, source, tmp_path / name, options=EXACT)
    with av.open(str(tmp_path / name)) as film:
        codec = film.streams.video[0].codec_context.codec.canonical_name
        frame = next(film.decode(video=0))
    # Nothing but MKV states them for FFV1, and other programs assume the usual ones.
    assert codec == ('ffv1' if usual or name == 'b.mkv' else 'h264')
    found = encoding_of(frame, 8)
    assert (found.full_range, found.matrix) == (range_ == FULL, matrix)
    np.testing.assert_array_equal(luma(frame), luma(read(source)[0]))


@pytest.mark.parametrize('name', ['b.avi', 'b.mkv', 'b.webm'])
@pytest.mark.parametrize('degrees', [-90, 180, 0])
def test_rotation_is_kept_or_the_loss_is_said(tmp_path, pipe, name, degrees):
    source = make_clip(
        tmp_path / 'a.mp4', change=lambda _, stream: stream.set_display_rotation(degrees)
    )
    lost = degrees != 0 and name == 'b.avi'
    result = colorize_film(pipe, source, tmp_path / name)
    assert result.remark == ('not kept: rotation' if lost else '')
    assert abs(read(tmp_path / name)[0].rotation) == (0 if lost else abs(degrees))


@pytest.mark.parametrize(
    ('name', 'codec', 'pix_fmt', 'options', 'lost'),
    [
        ('a.mov', 'prores_ks', 'yuva444p10le', {}, 'transparency'),
        ('a.mkv', 'libx265', 'yuv420p10le', HDR, 'mastering display, content light level'),
    ],
)
def test_lost_parts_of_the_video_are_said(tmp_path, pipe, name, codec, pix_fmt, options, lost):
    def change(output, stream):
        stream.codec_context.options = options

    source = make_clip(tmp_path / name, codec, pix_fmt, change=change)
    assert colorize_film(pipe, source, tmp_path / 'b.mkv').remark == f'not kept: {lost}'
    frame = read(tmp_path / 'b.mkv')[0]
    assert len(frame.format.components) == 3
    assert 'MASTERING_DISPLAY_METADATA' not in frame.side_data


def test_interlaced_films_stay_interlaced(tmp_path, pipe):
    def change(output, stream):
        flags = av.codec.context.Flags
        stream.codec_context.flags |= flags.interlaced_dct | flags.interlaced_me

    colorize_film(pipe, make_clip(tmp_path / 'a.mp4', change=change), tmp_path / 'b.mp4')
    assert all(frame.interlaced_frame for frame in read(tmp_path / 'b.mp4'))


@pytest.mark.parametrize('fields', ['tff', 'bff'])
@pytest.mark.parametrize(
    ('codec', 'pix_fmt'),
    [
        ('ffv1', 'gray'),
        ('ffv1', 'gray10le'),
        ('ffv1', 'yuv422p'),
        ('libx264', 'gray'),
    ],
)
def test_order_of_fields_is_kept(tmp_path, pipe, codec, pix_fmt, fields):
    def change(output, stream):
        flags = av.codec.context.Flags
        stream.codec_context.flags |= flags.interlaced_dct | flags.interlaced_me

    source = make_clip(tmp_path / 'a.mkv', codec, pix_fmt, fields=fields, change=change)
    colorize_film(pipe, source, tmp_path / 'b.mkv', options=EXACT)
    wanted = f'eq(interlace_type,{"TOPFIRST" if fields == "tff" else "BOTTOMFIRST"})'
    for name in ('a.mkv', 'b.mkv'):
        assert all(filtered(frame, 'select', wanted) for frame in read(tmp_path / name)), name


def test_playlists_of_other_files_are_not_opened(tmp_path, pipe):
    make_clip(tmp_path / 'secret.mp4')
    playlist = '#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n'
    for text in (playlist, "ffconcat version 1.0\nfile 'secret.mp4'\n"):
        (tmp_path / 'list.mp4').write_text(text)
        with pytest.raises(ColorizeError, match=r'cannot be read|its content is not'):
            colorize_film(pipe, tmp_path / 'list.mp4', tmp_path / 'out.mp4')


@pytest.mark.parametrize(('codec', 'crf'), [('rawvideo', 11), ('libx264', 17)])
def test_quality_is_higher_for_an_input_with_many_bits(tmp_path, pipe, codec, crf):
    source = make_clip(tmp_path / 'a.mkv', codec, crf='30')
    colorize_film(pipe, source, tmp_path / 'b.mkv')
    # x264 states its options in the first packet. The others differ from run to run.
    assert f' crf={crf}.0 '.encode() in packets(tmp_path / 'b.mkv', 'video')[0][0]


@pytest.mark.parametrize(
    ('codec', 'crf', 'preset'),
    [('libx265', 20, 'medium'), ('libvpx-vp9', 24, '4'), ('libsvtav1', 24, '8')],
)
def test_default_quality_and_speed_of_other_codecs(tmp_path, pipe, codec, crf, preset):
    source = make_clip(tmp_path / 'a.mkv', codec, crf='30')
    found = {}
    for options in (
        FilmOptions(),
        FilmOptions(crf, preset),
        FilmOptions(crf + 1, preset),
        FilmOptions(crf - 1, preset),
    ):
        colorize_film(pipe, source, tmp_path / 'b.mkv', options=options, overwrite=True)
        found[options] = packets(tmp_path / 'b.mkv', 'video')
    default, same, *others = found.values()
    assert default == same
    assert default not in others


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (b'', 'the file is empty'),
        (b'no film' * 100, 'cannot be read: Invalid data found when processing input'),
        (b'\0\0\0\x18ftypisom\0\0\2\0isomiso2', 'cannot be read: '),
    ],
)
def test_unreadable_films_are_reported_in_one_line(tmp_path, pipe, content, reason):
    path = tmp_path / 'a.mp4'
    path.write_bytes(content)
    with pytest.raises(ColorizeError) as error:
        colorize_film(pipe, path, tmp_path / 'out.mp4')
    assert str(error.value).startswith(reason)
    assert '\n' not in str(error.value)
    assert list(tmp_path.iterdir()) == [path]


def test_other_content_under_the_name_of_a_film_is_named(tmp_path, pipe):
    make_clip(tmp_path / 'a.ts', crf='30').rename(tmp_path / 'a.mp4')
    with pytest.raises(ColorizeError, match=r'^it is damaged, or its content is not MP4, MOV, MKV'):
        colorize_film(pipe, tmp_path / 'a.mp4', tmp_path / 'out.mp4')


class Piped:
    """A file to which data can only be appended, as to a pipe."""

    def __init__(self, path):
        self.write = path.open('wb', buffering=0).write


def test_film_without_a_duration_is_sampled_over_its_length(tmp_path, pipe):
    colors = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)
    colors = colors.repeat(8, axis=0).repeat(8, axis=1)
    with av.open(Piped(tmp_path / 'a.mkv'), 'w', format='matroska') as output:
        stream = output.add_stream('libx264', rate=25, width=64, height=48)
        for index in range(50):
            picture = colors if index > 10 else colors * 0
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, 'rgb24')))
        output.mux(stream.encode(None))
    with av.open(str(tmp_path / 'a.mkv')) as film:
        assert film.duration is None
    with pytest.raises(InColorError):
        colorize_film(pipe, tmp_path / 'a.mkv', tmp_path / 'out.mkv')


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='needs named pipes')
def test_pipe_is_no_film(tmp_path, pipe):
    os.mkfifo(tmp_path / 'a.mp4')
    with pytest.raises(ColorizeError, match='it is not a regular file'):
        colorize_film(pipe, tmp_path / 'a.mp4', tmp_path / 'out.mp4')


def test_sound_alone_is_no_film(tmp_path, pipe):
    with av.open(str(tmp_path / 'a.mp4'), 'w') as output:
        write_sound(add_sound(output, 'aac'), output)
    with pytest.raises(ColorizeError, match='no video stream'):
        colorize_film(pipe, tmp_path / 'a.mp4', tmp_path / 'out.mp4')


def test_interruption_leaves_no_half_file(tmp_path, uniform_color):
    class Interrupted(uniform_color):
        calls = 0

        def forward(self, lightness):
            self.calls += 1
            if self.calls == 2:
                raise KeyboardInterrupt
            return super().forward(lightness)

    source = make_clip(tmp_path / 'a.mp4')
    pipe = ColorizationPipeline.from_generator(Interrupted(), size=32, batch_size=4)
    with pytest.raises(KeyboardInterrupt):
        colorize_film(pipe, source, tmp_path / 'out.mp4')
    assert list(tmp_path.iterdir()) == [source]


def test_encoder_of_av1_prints_nothing(tmp_path, start):
    make_clip(tmp_path / 'a.mkv', 'libsvtav1', crf='30')
    command = (sys.executable, '-m', 'dualattn_mm', 'colorize', 'a.mkv', '--size', '32')
    process = start(*command, PYTHONPATH=str(ROOT))
    assert 'Svt' not in process.communicate()[0]
    assert process.returncode == 0
    with av.open(str(tmp_path / 'colorized' / 'a.mkv')) as film:
        assert film.streams.video[0].codec_context.codec.canonical_name == 'av1'


@pytest.mark.parametrize('kind', [av.error.PatchWelcomeError, av.error.EncoderNotFoundError])
def test_errors_of_ffmpeg_while_writing_are_reported_in_one_line(tmp_path, pipe, monkeypatch, kind):
    def fail(*_):
        raise kind(1, 'not written')

    source = make_clip(tmp_path / 'a.mp4')
    monkeypatch.setattr(FilmWriter, 'write', fail)
    with pytest.raises(ColorizeError, match=r'^the result cannot be written: not written$'):
        colorize_film(pipe, source, tmp_path / 'b.mp4')


def test_film_that_is_removed_while_it_is_read_is_reported(tmp_path):
    source = make_clip(tmp_path / 'a.mp4')
    with FilmReader(source, 10**6) as film:
        source.unlink()
        with pytest.raises(ColorizeError, match=r'^cannot be read: No such file'):
            film.in_color()


def test_existing_film_is_replaced_only_if_asked(tmp_path, pipe):
    source = make_clip(tmp_path / 'a.mp4')
    (tmp_path / 'b.mp4').write_bytes(b'mine')
    with pytest.raises(ColorizeError, match='not overwritten'):
        colorize_film(pipe, source, tmp_path / 'b.mp4')
    assert (tmp_path / 'b.mp4').read_bytes() == b'mine'
    colorize_film(pipe, source, tmp_path / 'b.mp4', overwrite=True)
    assert len(read(tmp_path / 'b.mp4')) == COUNT


@pytest.mark.parametrize('name', ['b.mpg', 'b'])
def test_suffix_of_no_container_is_reported(tmp_path, pipe, name):
    source = make_clip(tmp_path / 'a.mp4')
    with pytest.raises(ColorizeError, match=rf'^{name} cannot be a video: .*\.mp4, .*\.webm$'):
        colorize_film(pipe, source, tmp_path / name)
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (FilmOptions(crf=52), 'crf of libx264 must be from 0 to 51, got 52'),
        (FilmOptions(preset='soon'), 'libx264 cannot be started .*--crf and --preset'),
    ],
)
def test_options_that_the_encoder_refuses(tmp_path, pipe, options, message):
    source = make_clip(tmp_path / 'a.mp4')
    with pytest.raises(ColorizeError, match=message):
        colorize_film(pipe, source, tmp_path / 'b.mp4', options=options)
    assert list(tmp_path.iterdir()) == [source]


def test_options_that_a_lossless_encoder_ignores_are_reported(tmp_path, pipe):
    source = make_clip(tmp_path / 'a.mkv', 'ffv1')
    result = colorize_film(pipe, source, tmp_path / 'b.mkv', options=FilmOptions(crf=20))
    assert result.remark == 'FFV1 is lossless, so --crf and --preset have no effect'


def test_the_network_sees_upright_frames(tmp_path):
    """The network colors the upper half of its input."""

    class UpperHalf(torch.nn.Module):
        def forward(self, lightness):
            ab = torch.zeros(len(lightness), 2, *lightness.shape[2:])
            ab[:, 0, : lightness.shape[2] // 2] = 40
            return ab

    pipe = ColorizationPipeline.from_generator(UpperHalf(), size=32)
    source = make_clip(
        tmp_path / 'a.mp4', change=lambda _, stream: stream.set_display_rotation(-90)
    )
    colorize_film(pipe, source, tmp_path / 'b.mp4', options=EXACT)
    shown = np.rot90(read(tmp_path / 'b.mp4')[0].to_ndarray(format='rgb24'), -1)
    redness = shown[..., 0].astype(int) - shown[..., 1]
    assert redness[:24].min() > 20
    assert np.abs(redness[40:]).max() < 5
