"""Silence libtiff: Pillow reads TIFF files with it, and it prints to the terminal."""

import ctypes
from functools import cache
from pathlib import Path


@cache
def silence_libtiff() -> None:
    """Turn off libtiff's output in this process. It works on Linux only.

    Nothing is lost: Pillow raises libtiff's errors as exceptions and handles its warnings.
    """
    try:
        lines = Path('/proc/self/maps').read_text(errors='replace').splitlines()
    except OSError:
        return
    fields = (line.split(maxsplit=5) for line in lines)
    loaded = {path for *_, path in fields if Path(path).name.startswith('libtiff')}
    for path in loaded:
        try:
            library = ctypes.CDLL(path)
            for name in ('TIFFSetWarningHandler', 'TIFFSetErrorHandler'):
                set_handler = getattr(library, name)
                set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
                set_handler(None)
        except (OSError, AttributeError):
            continue
