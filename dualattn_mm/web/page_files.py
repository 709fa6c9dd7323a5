"""The uploads and results of the page."""

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

KEEP_SECONDS = 3600
# All uploads and results on disk, as a multiple of the largest upload.
_MOST_STORED = 64
# What a file or a folder counts in addition to its content: even an empty one takes space.
_EACH = 8192


class PageFiles:
    """The files of the page, each upload and each result in a folder of its own.

    Args:
        folder: where they are.
        largest: the largest size of an upload.

    Attributes:
        names: the names that uploads and downloads have for the user, by path. On disk they have
            others that cannot be guessed, so that whoever knows a path has received it from this
            server.
    """

    def __init__(self, folder: Path, largest: int):
        self.folder, self._most = folder, _MOST_STORED * largest
        self.names: dict[str, str] = {}
        self._kept: list[set[str]] = []

    def new_folder(self) -> Path:
        """Make a folder."""
        path = self.folder / uuid.uuid4().hex
        path.mkdir(parents=True)
        return path

    def room(self) -> int:
        """Return how many bytes there is room for."""
        room = self._most
        for path, folders, names in os.walk(self.folder):  # passes over folders that vanish
            room -= _EACH * len(folders)
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    room -= _EACH + os.lstat(os.path.join(path, name)).st_size
        return room

    @contextlib.contextmanager
    def kept(self, names: set[str]) -> Iterator[None]:
        """Keep folders with these names during a run, and for an hour after it.

        Those that are added to the set meanwhile are kept, too.
        """
        self._kept.append(names)
        try:
            yield
        finally:
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    os.utime(self.folder / name)
            self._kept = [others for others in self._kept if others is not names]

    def remove(self, names: Iterable[str]) -> None:
        """Remove folders."""
        for name in names:
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def tidy(self) -> None:
        """Remove what has not been used for an hour."""
        for path in self.folder.iterdir():
            if any(path.name in names for names in self._kept):
                continue
            with contextlib.suppress(FileNotFoundError):  # a run has just removed its last results
                if time.time() - path.stat().st_mtime > KEEP_SECONDS:
                    if path.is_dir():
                        self.remove([path.name])
                    else:
                        path.unlink()
        for name in list(self.names):  # the event loop adds some meanwhile
            if not os.path.exists(name):
                self.names.pop(name, None)
