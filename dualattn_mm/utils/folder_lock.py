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
        OSError: if the file of the lock cannot be opened, or is a link, which is never followed.
    """
    if fcntl is None:
        yield
        return
    path = Path(folder, '.lock')
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'a+', opener=_without_links) as file:
        try:
            # Not flock, because the workers of a data loader would inherit the lock and keep it.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                file.seek(0)
                raise RunError(
                    f'another training ({file.read().strip()}) writes to {folder}: '
                    'choose another folder (--work-dir of dualattn train), or wait until it ends'
                ) from None
            warn(f'{path} cannot be locked ({error.strerror}): start no other training there')
        file.seek(0)
        file.truncate()
        file.write(f'process {os.getpid()} on {socket.gethostname()}\n')
        file.flush()
        yield


def _without_links(path: str, flags: int) -> int:
    """Open a file, which is about to be overwritten, unless it is a link to another one."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)
