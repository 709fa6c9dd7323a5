"""libtiff, through which Pillow reads TIFF files, writes its own lines to the terminal."""

import ctypes
from functools import cache
from pathlib import Path


@cache
def silence_libtiff() -> None:
    """Stop that, in this process, where the loaded libraries are known (on Linux).

    Pillow raises what libtiff calls errors, and copes with what it warns of.
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
