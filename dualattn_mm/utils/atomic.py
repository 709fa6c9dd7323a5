"""Files that are written whole or not at all."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from .errors import ColorizeError, first_line


@contextlib.contextmanager
def replacing(path: Path, name: str | None = None) -> Iterator[Path]:
    """Write a temporary file, which takes the place of `path` if the block ends without an error.

    Whatever happens, there is then a whole file at `path`, or what was there before. Missing
    folders are made.

    Args:
        path: the file to write or replace.
        name: of the temporary file, in the same folder; None takes a new one each time.

    Yields:
        The path of the temporary file.

    Raises:
        OSError: if the folder or the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Short, since a file name may already be as long as the system allows; hidden, so that no
    # other program takes it for a file of its own kind.
    temporary = path.with_name(name or f'.{uuid.uuid4().hex}.tmp')
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write_bytes(path: Path, data: bytes) -> None:
    """Write a file as :func:`replacing` does.

    Raises:
        OSError: if it cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


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
