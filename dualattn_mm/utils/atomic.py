"""Write files atomically: completely or not at all."""

import contextlib
import errno
import os
import tempfile
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from .errors import ColorizeError, reason_of
from .remote import check_place, exists, is_remote, scratch_name, upload

_STALE = 3600  # seconds; a file that is being written changes more often


@contextlib.contextmanager
def atomic_file(path: Path, overwrite: bool = True, keep: bool = False) -> Iterator[Path]:
    """Give a temporary file in the folder of `path`, which gets this name at the end.

    A remote file is written on this machine and then uploaded. Missing folders are created.
    Whatever happens, `path` afterwards holds either the complete new file or its previous content.
    Temporary files that killed processes left in the folder are removed.

    Args:
        path: the file.
        overwrite: whether to replace an existing file.
        keep: whether to keep the complete file on this machine if it cannot be uploaded. The error
            then names it.

    Raises:
        FileExistsError: if `overwrite` is false and the file exists now, or at the end.
        OSError: if the folder or the file cannot be written.
        ColorizeError: if a remote file cannot be written.
    """
    check_free(path, overwrite)  # before the work, not only after it
    if is_remote(path):
        with tempfile.TemporaryDirectory(prefix='colorize-') as folder:
            copy = Path(folder, f'copy{path.suffix}')
            with atomic_file(copy) as temporary:
                yield temporary
            try:
                check_free(path, overwrite, 'was created by another program')
                upload(copy, path)
            except (ColorizeError, FileExistsError) as error:
                if not keep:
                    raise
                kept = Path(tempfile.mkdtemp(prefix='colorized-'), path.name)
                os.replace(copy, kept)
                raise ColorizeError(f'{error}; it was kept as {kept}') from error
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(path.parent, hour=int(time.monotonic() // _STALE))
    with scratch_file(path.parent) as temporary:
        temporary.touch(exist_ok=False)
        yield temporary
        with temporary.open('rb+') as file:
            written = os.fstat(file.fileno()).st_size
            os.fsync(file.fileno())  # some disks report only now that they are full
            if os.fstat(file.fileno()).st_size != written:
                raise OSError(errno.EIO, 'only a part of the file was written')
        check_free(path, overwrite, 'was created by another program')
        os.replace(temporary, path)


def check_free(path: Path, overwrite: bool, what: str = 'already exists') -> None:
    """Raise FileExistsError if a file exists that must not be replaced."""
    if not overwrite and exists(path):
        raise FileExistsError(f'the file {what} and is not overwritten')


@contextlib.contextmanager
def scratch_file(folder: Path, suffix: str = '') -> Iterator[Path]:
    """Give the name of a hidden file in a folder, which is removed at the end."""
    scratch = folder / scratch_name(suffix)
    try:
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)


def atomic_write_bytes(path: Path, data: bytes | memoryview, overwrite: bool = True) -> None:
    """Write all of a file by `atomic_file`.

    Raises:
        FileExistsError, OSError: as `atomic_file`.
    """
    with atomic_file(path, overwrite) as temporary:
        temporary.write_bytes(data)


@lru_cache(maxsize=256)
def _remove_stale(folder: Path, hour: int) -> None:
    """Remove old temporary files, once per folder and hour, because a folder can be very large."""
    for path in folder.glob('.colorize-*.tmp*'):
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime > _STALE:
                path.unlink()


def check_writable(outdir: Path) -> None:
    """Create the output folder and check that files can be written there.

    Raises:
        ColorizeError: if the folder cannot be created or written to.
    """
    if is_remote(outdir):
        check_place(outdir)
        return
    try:
        outdir.mkdir(parents=True, exist_ok=True)
        with scratch_file(outdir) as probe:
            probe.touch()
    except OSError as error:
        raise ColorizeError(f'cannot write to the folder {outdir}: {reason_of(error)}') from None
