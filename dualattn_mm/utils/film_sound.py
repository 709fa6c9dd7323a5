"""Fit streams of sound to another container."""

import contextlib
import io
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from .film_reader import FilmReader
from .films import require_av

_LAYOUTS = {1: 'mono', 2: 'stereo'}


@contextlib.contextmanager
def fitting_sound(source: Any, container: str, film: FilmReader) -> Iterator[Any]:
    """Give a stream of sound that can be the template of its copy.

    AVI computes the times of sound from its block size. The one that another file states for
    compressed sound puts it out of sync. Matroska does not state a block size.

    Args:
        source: a stream of sound with a codec that FFmpeg knows.
        container: the name of the format of the new file.
        film: the film of the stream.

    Raises:
        ValueError, FFmpegError: if the container cannot hold the stream.
    """
    is_pcm = source.name.startswith('pcm_')
    if container == 'mp4' and is_pcm and _is_unnamed(source) and source.channels not in _LAYOUTS:
        raise ValueError  # FFmpeg says so after the last frame only
    # FFmpeg does not write WMA to Matroska, and its block size is right already.
    if container != 'avi' or is_pcm or source.name.startswith('wma'):
        yield source
        return
    if source.name.startswith(('eac3', 'adpcm_')):
        raise ValueError  # FFmpeg does not know how long their packets are in AVI
    av, file = require_av(), io.BytesIO()
    with av.open(file, 'w', format='matroska') as output:
        stream = output.add_stream_from_template(source, opaque=True)
        if packet := film.first_packet(source):  # from which the length of packets is found
            packet.pts = packet.dts = 0
            packet.stream = stream
            output.mux(packet)
    file.seek(0)
    with av.open(file) as fitting:
        yield fitting.streams[0]


def set_layout(source: Any, stream: Any) -> None:
    """Name the channels of mono and stereo sound whose file does not name them."""
    if _is_unnamed(source) and source.channels in _LAYOUTS:
        stream.codec_context.layout = _LAYOUTS[source.channels]


class AviShifts:
    """Measures how far sound moves against the frames in AVI.

    AVI stores no times: its sound starts with the first frame and has no gaps.

    Args:
        film: the original.

    Attributes:
        most: the largest shift in seconds.
    """

    def __init__(self, film: FilmReader):
        self._start = film.start
        self._ends: dict[int, Fraction] = {}  # of the streams in AVI
        self.most = Fraction(0)

    def note(self, packet: Any, stream: Any) -> None:
        """Note the next packet of a stream of sound in the new file, with its original time."""
        time = _seconds(packet.dts if packet.pts is None else packet.pts, packet) - self._start
        end = self._ends.get(stream.index, Fraction(0))
        self.most = max(self.most, abs(time - end))
        self._ends[stream.index] = end + _length(packet, stream.codec_context)


def _length(packet: Any, context: Any) -> Fraction:
    """Return the exact duration of a packet, because files round it."""
    # AVI files do not state the duration of WMA packets, either.
    if context.name.startswith(('pcm_', 'wma')) and context.bit_rate:
        return Fraction(8 * packet.size, context.bit_rate)
    if context.frame_size:
        return Fraction(context.frame_size, context.sample_rate)
    return _seconds(packet.duration or 0, packet)


def _seconds(count: int, timed: Any) -> Fraction:
    return count * Fraction(timed.time_base)


def _is_unnamed(source: Any) -> bool:
    return source.layout.name == f'{source.channels} channels'
