"""Find all files in a folder and its subfolders."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path


def folders_below(
    folder: str | os.PathLike[str],
    follow_links: bool = True,
    on_error: Callable[[OSError], None] | None = None,
) -> Iterator[tuple[str, list[str]]]:
    """Yield a folder and its subfolders, in order, each with the sorted names of its files.

    Hidden files and folders are ignored. Each folder is visited once, so a link to a parent folder
    does not cause an endless loop.

    Args:
        folder: the folder to search.
        follow_links: also search linked folders.
        on_error: called for each unreadable folder, which is then skipped.

    Raises:
        OSError: if a folder cannot be read and `on_error` is None.
    """

    def fail(error: OSError) -> None:
        raise error

    visited = set()
    for parent, folders, names in os.walk(
        folder, onerror=on_error or fail, followlinks=follow_links
    ):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        yield parent, sorted(name for name in names if not name.startswith('.'))


def files_below(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield all files in a folder and its subfolders; see `folders_below`.

    Raises:
        OSError: if a folder cannot be read.
    """
    for parent, names in folders_below(folder):
        yield from (Path(parent, name) for name in names)
