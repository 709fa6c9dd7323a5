"""Name what of a video cannot be kept."""

from .film_reader import FilmReader

_UPRIGHT = [1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30]  # the display matrix of no rotation
# What encoders get as side data, which PyAV does not give them.
_HDR = {
    'MASTERING_DISPLAY_METADATA': 'mastering display',
    'CONTENT_LIGHT_LEVEL': 'content light level',
}


def lost_parts(film: FilmReader, container: str) -> list[str]:
    """Name what of a video the new one does not have."""
    lost = []
    if container == 'avi' and film.display_matrix not in (None, _UPRIGHT):
        lost.append('rotation')
    if any(part.is_alpha for part in film.first.format.components):
        lost.append('transparency')
    return lost + [name for kind, name in _HDR.items() if film.first.side_data.get(kind)]
