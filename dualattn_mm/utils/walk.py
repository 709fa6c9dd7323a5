"""Files below a folder."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path


def files_below(
    folder: str | os.PathLike[str],
    follow_links: bool = True,
    on_error: Callable[[OSError], None] | None = None,
) -> Iterator[Path]:
    """All files below a folder and its subfolders, in the order of their names.

    Hidden files and folders are left out. Each folder is visited once, so a link to a folder above
    itself is no endless loop.

    Args:
        folder: where to look.
        follow_links: also look into linked folders.
        on_error: called for each folder that cannot be read, which then is left out.

    Raises:
        OSError: if a folder cannot be read and there is no `on_error`.
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
        yield from (Path(parent, name) for name in sorted(names) if not name.startswith('.'))
