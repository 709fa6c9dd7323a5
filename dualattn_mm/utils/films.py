"""Common code for reading and writing videos: suffixes, and the optional library PyAV."""

import sys
from pathlib import Path
from typing import Any

from .errors import UserError
from .libraries import library

# The FFmpeg container for each suffix, and the codec to use if the original cannot be kept.
CONTAINERS = {
    '.mp4': ('mp4', 'h264'),
    '.m4v': ('mp4', 'h264'),
    '.mov': ('mov', 'h264'),
    '.mkv': ('matroska', 'h264'),
    '.avi': ('avi', 'h264'),
    '.webm': ('webm', 'vp9'),
}
FILM_SUFFIXES = tuple(CONTAINERS)
# Of other videos, which are neither read nor written. Python's `mimetypes` does not know all.
OTHER_FILM_SUFFIXES = (
    *('.3gp', '.asf', '.flv', '.m2ts', '.mpeg', '.mpg', '.mts', '.mxf', '.ogv', '.ts', '.vob'),
    '.wmv',
)


def is_film(path: Path) -> bool:
    """Return whether a file has the suffix of a video."""
    return path.suffix.lower() in FILM_SUFFIXES


def require_av() -> Any:
    """Import PyAV.

    Raises:
        UserError: if it is not installed, or does not exist for this version of Python.
    """
    if sys.version_info < (3, 11):
        raise UserError('videos need Python 3.11 or later')
    return library('av', 'videos', "'dualattn_mm[video]'")
