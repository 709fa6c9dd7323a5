"""Name what of a video cannot be kept."""

from typing import Any

from .errors import shortened
from .film_reader import FilmReader
from .film_tags import dropped_tags

_UPRIGHT = [1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30]  # the display matrix of no rotation
# What encoders get as side data, which PyAV does not give them.
_HDR = {
    'MASTERING_DISPLAY_METADATA': 'mastering display',
    'CONTENT_LIGHT_LEVEL': 'content light level',
}
_WITH_PIXEL_ASPECT = ('libx264', 'libx265')  # the encoders that store it themselves
_WITH_FIELDS = ('libx264', 'ffv1')


def lost_parts(film: FilmReader, container: str, encoder: str, format_: Any) -> list[str]:
    """Name what of a video the new one does not have.

    Args:
        film: the original.
        container: the name of the format of the new file.
        encoder: the name of the encoder.
        format_: the pixel format of the new video.
    """
    stream, first = film.stream, film.first
    lost = []
    if container == 'avi':
        if film.display_matrix not in (None, _UPRIGHT):
            lost.append('rotation')
        if film.chapters:
            lost.append('chapters')
        sounds = [s for s in film.others if s.type == 'audio']
        if any(s.metadata.get('language', 'und') != 'und' for s in sounds):
            lost.append('languages')
    if (
        container in ('matroska', 'webm')  # to which PyAV cannot tell it
        and encoder not in _WITH_PIXEL_ASPECT
        and stream.sample_aspect_ratio not in (None, 0, 1)
    ):
        lost.append('pixel aspect ratio')
    if first.interlaced_frame and encoder not in _WITH_FIELDS:
        lost.append('interlacing')
    tags = {name.lower(): text for name, text in stream.metadata.items()}
    if tags.get('alpha_mode') == '1' or (_has_alpha(first.format) and not _has_alpha(format_)):
        lost.append('transparency')
    lost += [name for kind, name in _HDR.items() if first.side_data.get(kind)]
    if dropped := dropped_tags(film, container):
        lost.append(f'{len(dropped)} tag{"s" * (len(dropped) > 1)} ({shortened(dropped)})')
    return lost


def _has_alpha(format_: Any) -> bool:
    return any(part.is_alpha for part in format_.components)
