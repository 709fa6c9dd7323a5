"""Files that are written whole or not at all."""

import contextlib
import errno
import os
import time
import uuid
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from .errors import ColorizeError, first_line

_STALE = 3600  # seconds; a file that is written changes more often


@contextlib.contextmanager
def atomic_file(path: Path, overwrite: bool = True) -> Iterator[Path]:
    """Gives a temporary file in the folder of `path`, which gets this name at the end.

    Missing folders are made. Whatever happens, there is a whole file at `path` afterwards, or what
    was there before. Temporary files that killed processes left in the folder are removed.

    Args:
        path: the file.
        overwrite: whether to replace a file that exists.

    Raises:
        FileExistsError: if there is a file by now and `overwrite` is false.
        OSError: if the folder or the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(path.parent, hour=int(time.monotonic() // _STALE))
    # Short, since a file name may already be as long as the system allows; hidden, so that no
    # other program takes it for a file of its own kind.
    temporary = path.parent / f'.colorize-{uuid.uuid4().hex}.tmp'
    try:
        temporary.touch(exist_ok=False)
        yield temporary
        with temporary.open('rb+') as file:
            written = os.fstat(file.fileno()).st_size
            os.fsync(file.fileno())  # some disks tell only now that they are full
            if os.fstat(file.fileno()).st_size != written:
                raise OSError(errno.EIO, 'the disk took only a part of the file')
        if not overwrite and os.path.lexists(path):
            raise FileExistsError('appeared while working; not overwritten')
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write_bytes(path: Path, data: bytes | memoryview, overwrite: bool = True) -> None:
    """Write all of a file by `atomic_file`.

    Raises:
        FileExistsError, OSError: as `atomic_file`.
    """
    with atomic_file(path, overwrite) as temporary:
        temporary.write_bytes(data)


@lru_cache(maxsize=256)
def _remove_stale(folder: Path, hour: int) -> None:
    """Remove old temporary files, once per folder and hour: a folder can hold very many files."""
    for path in folder.glob('.colorize-*.tmp'):
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime > _STALE:
                path.unlink()


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
