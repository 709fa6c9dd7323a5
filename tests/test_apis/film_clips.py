"""Short films made with PyAV for tests, and what is read from films."""

from fractions import Fraction

import numpy as np
import pytest

from dualattn_mm.utils.film_writer import FilmOptions

av = pytest.importorskip('av', reason="needs the extra 'video'")
WIDTH, HEIGHT, COUNT = 64, 48, 12
EXACT = FilmOptions(crf=0, preset='ultrafast')  # H.264 is lossless at 0
LIMITED, FULL = 1, 2
BT709, BT601 = 1, 6


def subtitled(path, lines):
    """Make a clip with SubRip subtitles: one line of bytes every 200 ms, for 100 ms."""
    kept = {}

    def change(output, _):
        kept['text'] = output.add_mux_stream('subrip')
        kept['text'].metadata['language'] = 'deu'
        output.add_attachment('font.ttf', 'font/ttf', b'a font')

    def after(output):
        for index, line in enumerate(lines):
            packet = av.Packet(line)
            packet.stream, packet.time_base = kept['text'], Fraction(1, 1000)
            packet.pts = packet.dts = 200 * index
            packet.duration = 100
            output.mux(packet)

    return make_clip(path, change=change, after=after)


def gray_frames(count=COUNT, low=60, high=190):
    """Frames of a gradient that moves to the right."""
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    for index in range(count):
        yield (low + (high - low) * (0.5 + 0.5 * np.sin((x - index + y / 3) / 9))).astype(np.uint8)


def make_clip(
    path,
    codec='libx264',
    pix_fmt='yuv420p',
    times=None,
    color=(LIMITED, BT601),
    crf='0',
    last=None,
    fields=None,
    change=lambda output, stream: None,
    after=lambda output: None,
):
    """A clip of `gray_frames` whose chroma is neutral.

    times: of the frames, in 1/1000 s.
    last: the duration of the last of them.
    fields: 'tff' or 'bff' marks them as interlaced.
    change, after: called with the container before the first and after the last frame.
    """

    def mux(found):
        for packet in found:
            if last and packet.pts == times[-1]:
                packet.duration = last
            output.mux(packet)

    with av.open(str(path), 'w') as output:
        options = {'ffv1': {}, 'mpeg4': {'qscale': '2'}}.get(codec, {'crf': crf})
        stream = output.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pix_fmt
        stream.codec_context.color_range, stream.codec_context.colorspace = color
        if times:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        change(output, stream)
        for index, gray in enumerate(gray_frames()):
            frame = av.VideoFrame(WIDTH, HEIGHT, pix_fmt)
            for part, place in zip(frame.format.components, frame.planes, strict=True):
                type_ = np.uint8 if part.bits == 8 else np.dtype('<u2')
                values = np.frombuffer(place, type_).reshape(place.height, -1)
                values[:] = 1 << (part.bits - 1)
                if not part.is_chroma:
                    values[:, :WIDTH] = gray.astype(type_) << (part.bits - 8)
            frame.color_range, frame.colorspace = color
            frame.pts = times[index] if times else index
            frame.time_base = Fraction(1, 1000 if times else 25)
            mux(stream.encode(filtered(frame, 'setfield', fields) if fields else frame))
        mux(stream.encode(None))
        after(output)
    return path


def filtered(frame, name, options):
    """What a filter of FFmpeg makes of a frame; None if it drops it."""
    graph, format_ = av.filter.Graph(), frame.format
    source = graph.add_buffer(None, frame.width, frame.height, format_, time_base=frame.time_base)
    graph.link_nodes(source, graph.add(name, options), graph.add('buffersink')).configure()
    graph.push(frame)
    try:
        return graph.pull()
    except av.BlockingIOError:
        return None


def read(path):
    with av.open(str(path)) as film:
        return list(film.decode(video=0))


def luma(frame):
    place = frame.planes[0]
    type_ = np.uint8 if frame.format.components[0].bits == 8 else np.dtype('<u2')
    return np.frombuffer(place, type_).reshape(place.height, -1)[:, : place.width]


def packets(path, kind):
    with av.open(str(path)) as film:
        (stream,) = getattr(film.streams, kind)
        avi = film.format.name == 'avi'  # which stores the order of the packets, and no times
        return [
            (bytes(packet), (packet.dts if avi else packet.pts) * packet.time_base)
            for packet in film.demux(stream)
            if packet.size
        ]


def add_sound(output, codec):
    stream = output.add_stream(codec, rate=48000)
    if codec.startswith('wma'):
        stream.bit_rate = 128000  # it has no default
    stream.metadata['language'] = 'fra'
    return stream


def write_sound(stream, output, seconds=0.5, later=0, start=0):
    """Write noise from a time in seconds, whose second half comes later by this many seconds."""
    noise = np.random.default_rng(0).normal(0, 0.1, (2, int(48000 * seconds))).astype(np.float32)
    resampler = av.AudioResampler(stream.format, stream.layout, 48000)
    frame = av.AudioFrame.from_ndarray(noise, 'fltp', 'stereo')
    frame.sample_rate, frame.pts = 48000, 0
    for part in (*resampler.resample(frame), None):
        for packet in stream.encode(part):
            moved = start + (later if packet.pts * packet.time_base > seconds / 2 else 0)
            if moved:
                packet.pts += round(moved / packet.time_base)
                packet.dts = packet.pts
            output.mux(packet)


def sounding(path, times=None, seconds=0.5, codec='ffv1', sound='flac', later=0, start=0):
    """Make a clip with sound."""
    kept = {}
    return make_clip(
        path,
        codec,
        times=times,
        change=lambda output, _: kept.update(sound=add_sound(output, sound)),
        after=lambda output: write_sound(kept['sound'], output, seconds, later, start),
    )
