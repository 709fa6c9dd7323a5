"""One process at a time writes to a folder."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from .errors import RunError
from .terminal import warn

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def locked_folder(folder: str | os.PathLike) -> Iterator[None]:
    """Keep the folder, which is made if it is missing, for this process.

    The system forgets the lock when the process ends, however it ends. Where locks do not work
    (some network file systems, Windows) there is none.

    Raises:
        RunError: if another process has locked it.
    """
    if fcntl is None:
        yield
        return
    path = Path(folder, '.lock')
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('a+') as file:
        try:
            # Not flock, which the workers of a data loader would inherit and hold longer.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                file.seek(0)
                raise RunError(
                    f'another training ({file.read().strip()}) writes to {folder}: '
                    'choose another folder (--work-dir), or wait for its end'
                ) from None
            warn(f'{path} cannot be locked ({error.strerror}): start no other training there')
        file.seek(0)
        file.truncate()
        file.write(f'process {os.getpid()} on {socket.gethostname()}\n')
        file.flush()
        yield
