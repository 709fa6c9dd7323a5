"""Colorize the uploads of a server one after the other, in temporary folders."""

import asyncio
import contextlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
from starlette.datastructures import UploadFile

from ..utils.errors import RunError
from ..utils.films import FILM_SUFFIXES
from ..utils.folder_lock import locked_folder
from ..utils.image_io import IMAGE_SUFFIXES
from .limits import Limits, Refused, busy
from .process import WorkerProcess

_PREFIX = 'dualattn-serve-'
_STALE_SECONDS = 60


class Service:
    """Colorizes uploads.

    Args:
        worker: colorizes one file at a time.
        limits: the limits of the server.
        folder: its temporary files.

    Attributes:
        waiting: number of uploads that wait or are being colorized.
    """

    def __init__(self, worker: WorkerProcess, limits: Limits, folder: Path):
        self.worker, self.limits, self.folder = worker, limits, folder
        self.waiting = 0
        self._turn = asyncio.Lock()

    @contextlib.contextmanager
    def new_folder(self) -> Iterator[Path]:
        """Provide a new folder, which is removed in the end."""
        with tempfile.TemporaryDirectory(dir=self.folder, ignore_cleanup_errors=True) as name:
            yield Path(name)

    async def colorize(
        self,
        source: Path,
        folder: Path,
        suffix: str | None = None,
        saturation: float | None = None,
        preview: bool = False,
        is_gone: Callable[[], Awaitable[bool]] | None = None,
    ) -> dict[str, Any]:
        """Wait for the uploads before this one, and colorize it.

        Args:
            source, folder, suffix, saturation, preview: as of `upload.colorize_upload`.
            is_gone: tells whether nobody waits for the result any more.

        Returns:
            What `upload.colorize_upload` returns.

        Raises:
            Refused: if the file cannot be colorized, or not in time.
        """
        task = dict(
            source=str(source),
            folder=str(folder),
            suffix=suffix,
            saturation=saturation,
            preview=preview,
        )
        self.waiting += 1
        try:
            with anyio.move_on_after(self.limits.seconds) as waiting:
                await self._turn.acquire()
            if waiting.cancelled_caught:
                raise busy()
            try:
                if is_gone and await is_gone():
                    raise Refused(499, 'The client closed the connection.')
                answer = await self.worker.call(task, self.limits.seconds)
            finally:
                self._turn.release()
        finally:
            self.waiting -= 1
        if 'error' in answer:
            raise Refused(answer['status'], f'The file cannot be colorized: {answer["error"]}.')
        return answer


def stored_name(name: str) -> str:
    """Return the name under which an upload is stored, with a known suffix or none."""
    suffix = Path(name).suffix.lower()
    return 'upload' + (suffix if suffix in FILM_SUFFIXES + IMAGE_SUFFIXES else '')


def shown_name(name: str) -> str:
    """Return the name of an upload, without folders and characters that no answer can contain."""
    return Path(name.encode('utf-8', 'replace').decode()).name


def store(upload: UploadFile, path: Path) -> None:
    """Write the content of an upload to a file."""
    with path.open('wb') as file:
        shutil.copyfileobj(upload.file, file)


@contextlib.asynccontextmanager
async def started_service(settings: dict[str, Any], limits: Limits) -> AsyncIterator[Service]:
    """Start the process that colorizes, and remove all temporary files in the end.

    Folders that killed servers of this user left more than a minute ago are removed, too.

    Args:
        settings: weights, config, device and size, as of `ColorizationPipeline`.
        limits: the limits of the server.

    Raises:
        UserError: if the weights or the settings cannot be used.
    """
    _remove_stale()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    limited = {'max_pixels': limits.pixels, 'max_frames': limits.frames}
    worker = WorkerProcess({**settings, **limited}, folder)
    try:
        with locked_folder(folder):
            try:
                await worker.start()
                yield Service(worker, limits, folder)
            finally:
                await worker.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_stale() -> None:
    """Remove this user's folders of servers that have ended. Those of others cannot be locked.

    Newer folders stay, because a server that is starting locks its folder after making it.
    """
    if not hasattr(os, 'getuid'):  # Windows, which has no locks
        return
    for folder in Path(tempfile.gettempdir()).glob(f'{_PREFIX}*'):
        with contextlib.suppress(RunError, OSError):
            found = folder.lstat()
            ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
            if ours and time.time() - found.st_mtime > _STALE_SECONDS:
                with locked_folder(folder):
                    shutil.rmtree(folder, ignore_errors=True)
