"""Fit the header of a stream of sound to another container."""

import contextlib
import io
from collections.abc import Iterator
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
    if container != 'avi' or is_pcm:
        yield source
        return
    if source.name == 'eac3':
        raise ValueError  # FFmpeg does not know how long its packets are in AVI
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


def _is_unnamed(source: Any) -> bool:
    return source.layout.name == f'{source.channels} channels'
