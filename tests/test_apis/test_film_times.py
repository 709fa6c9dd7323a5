"""The times of films: of frames and sound, in files that are damaged or cut off, too."""

import contextlib
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
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

from dualattn_mm.apis.film import colorize_film
from dualattn_mm.utils.film_order import AviOrder


def test_variable_frame_rate_is_kept(tmp_path, pipe):
    times = [0, 40, 45, 300, 301, 500, 1000, 1040, 1080, 2000, 2100, 2400]
    for name in ('a.mp4', 'a.mkv', 'a.mov', 'a.webm'):
        codec = 'libvpx-vp9' if name.endswith('webm') else 'libx264'
        source = make_clip(tmp_path / name, codec, times=times, crf='30')
        colorize_film(pipe, source, tmp_path / 'out' / name)
        assert [round(f.time * 1000) for f in read(tmp_path / 'out' / name)] == times


def test_avi_has_the_frame_rate_of_the_film(tmp_path, pipe):
    rate = Fraction(30000, 1001)

    def change(_, stream):
        stream.codec_context.framerate = rate
        stream.time_base = stream.codec_context.time_base = Fraction(1, 30000)

    times = [index * 1001 / 30 for index in range(COUNT)]
    source = make_clip(tmp_path / 'a.mp4', times=times, change=change)
    assert not colorize_film(pipe, source, tmp_path / 'b.avi').remark
    with av.open(str(tmp_path / 'b.avi')) as film:
        assert film.streams.video[0].average_rate == rate
        assert film.streams.video[0].frames == COUNT
    assert [time * rate for _, time in packets(tmp_path / 'b.avi', 'video')] == [*range(COUNT)]


@pytest.mark.parametrize(
    ('times', 'rate'),
    [
        ([0, 40, 60, 300, 320, 500, 1000, 1040, 1080, 2000, 2100, 2400], 50),
        ([0, 37, 44, 301, 302, 503, 997, 1033, 1081, 1999, 2111, 2399], 120),
    ],
)
def test_variable_frame_rate_is_kept_in_avi(tmp_path, pipe, times, rate):
    source = make_clip(tmp_path / 'a.mp4', times=times)
    assert not colorize_film(pipe, source, tmp_path / 'b.avi').remark
    with av.open(str(tmp_path / 'b.avi')) as film:
        assert film.streams.video[0].average_rate == rate
    found = [float(1000 * time) for _, time in packets(tmp_path / 'b.avi', 'video')]
    np.testing.assert_allclose(found, times, atol=9)  # the fifth is moved behind the fourth


@pytest.mark.parametrize(
    ('name', 'codec'),
    [
        ('b.mp4', 'libx264'),
        ('b.mkv', 'libx264'),
        ('b.mp4', 'libx265'),
        ('b.webm', 'libvpx-vp9'),
        ('b.mkv', 'libsvtav1'),
        ('b.mkv', 'ffv1'),
    ],
)
def test_duration_of_the_last_frame_is_kept(tmp_path, pipe, name, codec):
    times = list(range(0, 40 * COUNT, 40))
    source = make_clip(tmp_path / 'a.mkv', codec, times=times, crf='30', last=3000)
    assert not colorize_film(pipe, source, tmp_path / name).remark
    with av.open(str(tmp_path / name)) as film:
        assert film.duration == 3_440_000
    *others, last = read(tmp_path / name)
    assert [round(1000 * frame.time) for frame in (*others, last)] == times
    assert last.duration * last.time_base == 3


def test_damaged_frames_are_counted_and_bridged(tmp_path, pipe):
    def change(output, stream):
        stream.codec_context.gop_size = 1  # no frame needs another one

    source = make_clip(tmp_path / 'a.mkv', change=change)
    data = bytearray(source.read_bytes())
    damaged = packets(source, 'video')[5][0]
    at = data.index(damaged)
    data[at : at + len(damaged)] = bytes(len(damaged))
    source.write_bytes(data)
    result = colorize_film(pipe, source, tmp_path / 'b.mkv')
    assert result.remark == '1 frame is damaged, the first at 0.20 s'
    times = [round(frame.time, 3) for frame in read(tmp_path / 'b.mkv')]
    assert times[:5] + times[-6:] == [0, 0.04, 0.08, 0.12, 0.16, 0.24, 0.28, 0.32, 0.36, 0.4, 0.44]


def in_groups_of(count, b_frames=0):
    """Return a change of a clip that makes every frame of this number a key frame."""

    def change(_, stream):
        stream.codec_context.gop_size = count
        stream.codec_context.max_b_frames = b_frames

    return change


def overwrite(path, index, content=b''):
    """Replace a packet of a video by this content and zeros."""
    packet = packets(path, 'video')[index][0]
    path.write_bytes(path.read_bytes().replace(packet, content.ljust(len(packet), b'\0')))


def slots(path):
    return [round(25 * frame.time) for frame in read(path)]


@pytest.mark.parametrize('name', ['a.avi', 'a.mp4'])
def test_frames_after_one_that_repeats_the_last_keep_their_times(tmp_path, pipe, name):
    source = make_clip(tmp_path / name, 'mpeg4', change=in_groups_of(COUNT))
    not_coded = b'\0\0\1\xb6\x52\xcf'  # how Xvid stores a frame like the one before
    for index in (3, 4):
        overwrite(source, index, not_coded)
    result = colorize_film(pipe, source, tmp_path / 'b.mkv')
    assert result.remark == (
        '2 frames gave no picture (they are damaged, or repeat the previous one)'
    )
    assert slots(tmp_path / 'b.mkv') == [0, 1, 2, *range(5, COUNT)]


@pytest.mark.parametrize('codec', ['mpeg4', 'libx264'])
def test_damaged_frames_of_avi_move_no_others(tmp_path, pipe, codec):
    source = make_clip(tmp_path / 'a.avi', codec, change=in_groups_of(COUNT, b_frames=2), crf='30')
    colorize_film(pipe, source, tmp_path / 'b.mkv')
    assert slots(tmp_path / 'b.mkv') == [*range(COUNT)]
    overwrite(source, 4)
    result = colorize_film(pipe, source, tmp_path / 'c.mkv')
    assert '1 frame is damaged' in result.remark
    assert slots(tmp_path / 'c.mkv')[-3:] == [*range(COUNT)][-3:]


def test_packets_of_avi_that_ffmpeg_splits(tmp_path, pipe):
    whole, source = tmp_path / 'a.avi', tmp_path / 'b.avi'
    make_clip(whole, change=in_groups_of(COUNT, b_frames=2), crf='30')
    with av.open(str(whole)) as film, av.open(str(source), 'w') as output:
        stream = output.add_stream_from_template(film.streams.video[0])
        stream.codec_context.codec_tag = 'VSSH'  # whose packets FFmpeg does not take for frames
        parts = [content for content, _ in packets(whole, 'video')]
        for index in range(0, COUNT, 2):
            packet = av.Packet(b''.join(parts[index : index + 2]))
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 25), not index
            packet.pts = packet.dts = index // 2
            output.mux(packet)
    with av.open(str(source)) as film:
        assert [p.dts for p in film.demux(video=0) if p.size].count(None) > 0
    assert colorize_film(pipe, source, tmp_path / 'c.mkv').frames == COUNT


def test_more_frames_than_times_in_avi():
    order = AviOrder()
    for time in range(3):
        order.add(time)
    frames = [SimpleNamespace(opaque=None, pict_type=3) for _ in range(3)]
    frames.append(SimpleNamespace(opaque=2, pict_type=1))
    assert [order.time_of(frame) for frame in frames] == [0, 1, 2, 2]


def test_frames_that_need_a_damaged_one_are_counted(tmp_path, pipe):
    source = make_clip(tmp_path / 'a.mkv', change=in_groups_of(4), crf='10')
    overwrite(source, 4)
    result = colorize_film(pipe, source, tmp_path / 'b.mkv')
    missing = COUNT - result.frames - 1
    assert missing > 0
    assert result.remark == (
        f'1 frame is damaged, the first at 0.16 s; {missing} frames gave no picture '
        '(they are damaged, or repeat the previous one)'
    )


def test_frames_before_the_start_of_a_trimmed_film_are_not_missed(tmp_path, pipe):
    whole, source = make_clip(tmp_path / 'a.mp4', change=in_groups_of(COUNT)), tmp_path / 'b.mp4'
    with av.open(str(whole)) as film, av.open(str(source), 'w') as output:
        stream = output.add_stream_from_template(film.streams.video[0])
        for packet in film.demux():
            if packet.size:
                packet.pts -= round(0.2 / packet.time_base)
                packet.dts -= round(0.2 / packet.time_base)
                packet.stream = stream
                output.mux(packet)
    assert len(read(source)) == COUNT - 5
    result = colorize_film(pipe, source, tmp_path / 'c.mp4')
    assert (result.frames, result.remark) == (COUNT - 5, '')


def test_frames_that_are_never_shown_are_not_missed(tmp_path, pipe):
    source = make_clip(tmp_path / 'a.webm', 'libvpx', crf='30')
    packet = packets(source, 'video')[5][0]
    assert packet[0] & 0x10  # it is shown
    hidden = bytes([packet[0] & ~0x10]) + packet[1:]
    source.write_bytes(source.read_bytes().replace(packet, hidden))
    result = colorize_film(pipe, source, tmp_path / 'b.webm')
    assert (result.frames, result.remark) == (COUNT - 1, '')


@pytest.mark.parametrize('name', ['b.mkv', 'b.mp4'])
def test_sound_with_a_time_out_of_order_is_kept(tmp_path, pipe, name):
    kept = {}
    source = make_clip(
        tmp_path / 'a.mkv',
        change=lambda output, _: kept.update(sound=add_sound(output, 'flac')),
        after=lambda output: write_sound(kept['sound'], output),
    )
    data, before = bytearray(source.read_bytes()), packets(source, 'audio')
    at = data.index(before[2][0]) - 3  # of the time, two bytes before the flags
    data[at : at + 2] = bytes(2)
    source.write_bytes(data)
    assert [time for _, time in packets(source, 'audio')][2] < before[1][1]
    result = colorize_film(pipe, source, tmp_path / name)
    assert result.remark == '1 time is out of order'
    after = packets(tmp_path / name, 'audio')
    assert [content for content, _ in after] == [content for content, _ in before]
    times = [round(time, 3) for _, time in after]
    assert times[2] == pytest.approx(before[1][1], abs=0.001)
    assert times[:2] + times[3:] == [time for _, time in before[:2] + before[3:]]
    assert len(read(tmp_path / name)) == COUNT


def test_frames_of_the_same_time_are_kept(tmp_path, pipe):
    times = [0, 40, 40, *range(80, 440, 40)]
    source = make_clip(tmp_path / 'a.mkv', 'ffv1', times=times)
    assert [round(1000 * frame.time) for frame in read(source)] == times
    result = colorize_film(pipe, source, tmp_path / 'b.mp4')
    assert result.remark == '1 time is out of order'
    found = [round(1000 * frame.time) for frame in read(tmp_path / 'b.mp4')]
    assert found == [0, 40, 41, *times[3:]]


def test_truncated_film_is_reported(tmp_path, pipe):
    source = make_clip(tmp_path / 'a.mkv', 'ffv1', times=[1000 * i for i in range(COUNT)])
    data = source.read_bytes()
    source.write_bytes(data[: data.index(packets(source, 'video')[6][0]) + 5])
    result = colorize_film(pipe, source, tmp_path / 'b.mkv')
    assert result.remark == 'it ends at 5.04 s of 11.04 s'
    assert len(read(tmp_path / 'b.mkv')) == 6


@pytest.mark.parametrize('own', [True, False])
def test_truncated_film_with_sound_is_reported(tmp_path, pipe, own):
    source = sounding(tmp_path / 'a.mkv', times=[1000 * i for i in range(COUNT)])
    data = source.read_bytes()
    if not own:  # as programs write that put the tag at the end, where it is lost
        data = data.replace(b'DURATION', b'DURATIOX')
    source.write_bytes(data[: data.index(packets(source, 'video')[6][0])])
    result = colorize_film(pipe, source, tmp_path / 'b.mkv')
    assert result.remark == 'it ends at 5.04 s of 11.04 s'


@pytest.mark.parametrize('name', ['a.mp4', 'a.mkv'])
def test_slow_film_is_not_reported_as_truncated(tmp_path, pipe, name):
    def change(_, stream):
        stream.codec_context.framerate = Fraction(1, 2)

    source = make_clip(tmp_path / name, change=change, times=[2000 * i for i in range(COUNT)])
    assert not colorize_film(pipe, source, tmp_path / 'out' / name).remark


def test_sound_that_is_longer_than_the_film_is_no_truncation(tmp_path, pipe):
    source = sounding(tmp_path / 'a.mkv', times=list(range(COUNT)), seconds=2)
    assert not colorize_film(pipe, source, tmp_path / 'b.mkv').remark


@pytest.mark.parametrize('name', ['a.avi', 'a.mkv'])
@pytest.mark.parametrize('codec', ['ac3', 'aac', 'libmp3lame'])
def test_sound_is_in_sync_in_avi(tmp_path, pipe, name, codec):
    source = sounding(tmp_path / name, seconds=4, codec='mpeg4', sound=codec)
    lost = 'not kept: languages' if name == 'a.mkv' else ''
    assert colorize_film(pipe, source, tmp_path / 'b.avi').remark == lost
    before, after = packets(source, 'audio'), packets(tmp_path / 'b.avi', 'audio')
    assert b''.join(content for content, _ in after) == b''.join(content for content, _ in before)
    with av.open(str(tmp_path / 'b.avi')) as film:
        assert film.duration / 1e6 == pytest.approx(4, abs=0.05)
    assert float(after[-1][1]) == pytest.approx(4, abs=0.05)


@pytest.mark.parametrize('codec', ['wmav1', 'wmav2'])
def test_wma_is_in_sync_in_avi(tmp_path, pipe, codec):
    source = sounding(tmp_path / 'a.avi', seconds=4, codec='mpeg4', sound=codec)
    assert not colorize_film(pipe, source, tmp_path / 'b.avi').remark
    before, after = packets(source, 'audio'), packets(tmp_path / 'b.avi', 'audio')
    assert [content for content, _ in after] == [content for content, _ in before] != []
    times = [[float(time) for _, time in found] for found in (before, after)]
    np.testing.assert_allclose(times[1], times[0], atol=0.01)


@pytest.mark.parametrize(('name', 'codec'), [('a.mkv', 'eac3'), ('a.avi', 'adpcm_ms')])
def test_sound_that_would_be_out_of_sync_in_avi_is_left_out(tmp_path, pipe, name, codec):
    source = sounding(tmp_path / name, codec='mpeg4', sound=codec)
    result = colorize_film(pipe, source, tmp_path / 'b.avi')
    assert result.remark.startswith(f'streams that .avi cannot hold: 1 (audio {codec})')


@pytest.mark.parametrize(
    ('sound', 'start', 'later', 'sound_start', 'shift'),
    [
        ('libmp3lame', 0, 0, 0, None),
        ('libmp3lame', 500, 0, 0, '0.52'),
        ('libmp3lame', 500, 0, 0.5, None),
        ('libmp3lame', 0, 0.5, 0, '0.48'),  # its first packet is before 0
        ('pcm_s16le', 0, 0, 0, None),
        ('pcm_s16le', 500, 0, 0, '0.50'),
        ('pcm_s16le', 500, 0, 0.5, None),
        ('pcm_s16le', 500, 0, 1.25, '0.75'),
    ],
)
def test_sound_that_avi_moves_is_reported(tmp_path, pipe, sound, start, later, sound_start, shift):
    """In AVI, the frames and the sound start at 0, so what is reported is how far they differ."""
    times = [start + 40 * index for index in range(COUNT)]
    source = sounding(tmp_path / 'a.mkv', times, 20, 'libx264', sound, later, sound_start)
    assert not colorize_film(pipe, source, tmp_path / 'b.mkv').remark
    moved = f'sound moves by up to {shift} s, because AVI stores no times; ' if shift else ''
    remark = colorize_film(pipe, source, tmp_path / 'b.avi').remark
    assert remark == f'{moved}not kept: languages'
    frames = [round(1000 * time) for _, time in packets(tmp_path / 'b.avi', 'video')]
    assert frames == [40 * index for index in range(COUNT)]
    before, after = (packets(path, 'audio') for path in (source, tmp_path / 'b.avi'))
    assert b''.join(content for content, _ in after) == b''.join(content for content, _ in before)
    assert after[0][1] == 0
    assert float(after[-1][1]) == pytest.approx(20, abs=0.1)


def join(paths, target):
    """Copy the videos of several films into one."""
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(av.open(str(target), 'w'))
        films = [stack.enter_context(av.open(str(path))) for path in paths]
        streams = [output.add_stream_from_template(film.streams.video[0]) for film in films]
        for film, stream in zip(films, streams, strict=True):
            for packet in film.demux():
                if packet.size:
                    packet.stream = stream
                    output.mux(packet)
    return target


@pytest.mark.parametrize('name', ['b.mkv', 'b.mp4', 'b.avi'])
def test_more_videos_are_copied_without_colors(tmp_path, pipe, name):
    first = make_clip(tmp_path / 'a.mp4', change=in_groups_of(COUNT, 2), crf='30')
    source = join([first, first], tmp_path / 'a.mkv')
    result = colorize_film(pipe, source, tmp_path / name)
    if name == 'b.avi':
        assert result.remark == 'streams that .avi cannot hold: 1 (video h264)'
        return
    assert result.remark == '1 more video stream was copied without colors'
    with av.open(str(tmp_path / name)) as film:
        frames = list(film.decode(video=1))
    assert [round(25 * frame.time) for frame in frames] == [*range(COUNT)]


def test_more_videos_that_do_not_fit_are_reported(tmp_path, pipe):
    films = make_clip(tmp_path / 'a.mp4'), make_clip(tmp_path / 'a.webm', 'libvpx', crf='30')
    result = colorize_film(pipe, join(films, tmp_path / 'a.mkv'), tmp_path / 'b.mov')
    assert result.remark.startswith('streams that .mov cannot hold: 1 (video vp8)')
    assert len(read(tmp_path / 'b.mov')) == COUNT


@pytest.mark.parametrize('name', ['b.mkv', 'b.mp4'])
def test_subtitle_with_a_time_out_of_order_is_kept(tmp_path, pipe, name):
    source = subtitled(tmp_path / 'a.mkv', [b'first line', b'second line'])
    data = bytearray(source.read_bytes())
    for line, time in ((b'first line', 200), (b'second line', 0)):
        at = data.index(line) - 3  # of the time, two bytes before the flags
        data[at : at + 2] = time.to_bytes(2, 'big')
    source.write_bytes(data)
    result = colorize_film(pipe, source, tmp_path / name)
    assert result.remark.startswith('1 time is out of order')
    found = [(content[-10:], time) for content, time in packets(tmp_path / name, 'subtitles')]
    assert (b'first line', Fraction(1, 5)) in found
    assert (b'econd line', Fraction(1, 5)) in found


@pytest.mark.parametrize('name', ['b.mp4', 'b.mov'])
def test_last_packet_of_sound_is_kept(tmp_path, pipe, name):
    source = sounding(tmp_path / 'a.mkv', codec='libx264', sound='alac')
    assert not colorize_film(pipe, source, tmp_path / name).remark
    before, after = (packets(path, 'audio') for path in (source, tmp_path / name))
    assert [content for content, _ in after] == [content for content, _ in before]
