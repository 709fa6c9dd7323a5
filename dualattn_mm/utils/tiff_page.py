"""Read a page of a TIFF file as if it was the first one.

Libraries find a page by reading the directories of all pages before it, so reading every page would
take a time that grows with the square of their number.
"""

import io
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .tiff_format import SHORT, TiffReader, number

_ORIENTATION = 0x0112


class _FileFromPage(io.FileIO):
    """A file with another beginning, which is not stored."""

    # These two call `readinto`; those of FileIO do not.
    read = io.RawIOBase.read  # type: ignore[assignment]
    readall = io.RawIOBase.readall

    def __init__(self, path: Path, head: bytes):
        super().__init__(path)
        self._head = head

    def readinto(self, buffer: Any) -> int:
        start = self.tell()
        count = super().readinto(buffer)
        head = self._head[start : start + count]
        memoryview(buffer)[: len(head)] = head
        return count


def open_page(path: Path, at: int) -> BinaryIO:
    """Open a TIFF file for reading, with a page as its first one.

    libtiff reads the pixels by the descriptor of the file and the offset of the directory, which
    are unchanged.

    Args:
        path: the file.
        at: the offset of the directory of the page.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: if it is damaged.
    """
    with path.open('rb') as file:
        head = TiffReader(file).head(at)
    return io.BufferedReader(_FileFromPage(path, head))


def upright_page(path: Path, at: int | None) -> np.ndarray:
    """Return the bytes of a TIFF file with a page as its first one, and without its orientation.

    They take almost no memory, because they are those of the file.

    Args:
        path: the file.
        at: the offset of the directory of the page; None for the first page.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: if it is damaged.
    """
    data = np.memmap(path, np.uint8, 'c')
    with path.open('rb') as file:
        reader = TiffReader(file)
        at = reader.first if at is None else at
        changes = {0: reader.head(at)}
        if (place := reader.place_of(at, _ORIENTATION)) is not None:
            changes[place] = number(reader.order, SHORT, 1).data
    for start, new in changes.items():
        data[start : start + len(new)] = np.frombuffer(new, np.uint8)
    return data
