"""What is common to reading and writing films: their names, and PyAV, which is optional."""

from pathlib import Path
from typing import Any

from .errors import first_line
from .libraries import library

# Per suffix: the container that FFmpeg writes, and the codec for what cannot be kept.
CONTAINERS = {
    '.mp4': ('mp4', 'h264'),
    '.m4v': ('mp4', 'h264'),
    '.mov': ('mov', 'h264'),
    '.mkv': ('matroska', 'h264'),
    '.avi': ('avi', 'h264'),
    '.webm': ('webm', 'vp9'),
}
FILM_SUFFIXES = tuple(CONTAINERS)


def is_film(path: Path) -> bool:
    """Whether a file is called like a film."""
    return path.suffix.lower() in FILM_SUFFIXES


def require_av() -> Any:
    """PyAV.

    Raises:
        UserError: if it is not installed.
    """
    return library('av', 'films', "'dualattn_mm[video]'")


def reason_of(error: BaseException) -> str:
    """Return what an error of PyAV or of the system says, in one line."""
    return getattr(error, 'strerror', None) or first_line(error)
