"""Files that are written whole or not at all."""

import os
import uuid
from pathlib import Path

from .errors import ColorizeError, first_line


def atomic_write_bytes(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, then rename it; missing folders are made.

    Raises:
        OSError: if it cannot be written; there is then what was there before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f'.{uuid.uuid4().hex}.tmp'
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(outdir: Path) -> None:
    """Make the output folder and try it.

    Raises:
        ColorizeError: if no file can be written there.
    """
    probe = outdir / f'.colorize-{os.getpid()}.tmp'
    try:
        outdir.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise ColorizeError(f'cannot write to the folder {outdir}: {reason}') from None
