"""Lock a folder, so that only one process writes to it."""

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
    """Lock a folder for this process, and create it if it is missing.

    The system releases the lock when the process ends for any reason. There is no lock on systems
    that do not support it (some network file systems, Windows).

    Raises:
        RunError: if another process has locked the folder.
    """
    if fcntl is None:
        yield
        return
    path = Path(folder, '.lock')
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('a+') as file:
        try:
            # Not flock, because the workers of a data loader would inherit the lock and keep it.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                file.seek(0)
                raise RunError(
                    f'another training ({file.read().strip()}) writes to {folder}: '
                    'choose another folder (--work-dir), or wait until it ends'
                ) from None
            warn(f'{path} cannot be locked ({error.strerror}): start no other training there')
        file.seek(0)
        file.truncate()
        file.write(f'process {os.getpid()} on {socket.gethostname()}\n')
        file.flush()
        yield
