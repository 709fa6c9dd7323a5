"""Find the files to colorize. Only folders are read, so that a million files take seconds."""

import glob
import heapq
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from itertools import chain, groupby, repeat
from pathlib import Path

from ..utils.errors import ColorizeError, shortened
from ..utils.films import FILM_SUFFIXES
from ..utils.image_io import PHOTO_SUFFIXES
from ..utils.remote import as_local, is_remote, kind_of, remote_folders_below
from ..utils.walk import folders_below

_SUFFIXES = PHOTO_SUFFIXES + FILM_SUFFIXES


@dataclass
class Sources:
    """The files to colorize. A folder is stored once, and of each file only its name.

    by_number: sort the files of a folder by the numbers in their names: 2 before 10.
    names: the folders of the results, relative to the output folder; for each of them the folders
        that the files are in, with their sorted names.
    count: number of files, including those that were given twice.
    failed: (path, reason) of what cannot be read.
    passed_over: files in folders and patterns whose names do not have a known suffix.
    """

    by_number: bool = False
    names: dict[Path, list[tuple[str, list[str]]]] = field(default_factory=dict)
    count: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)
    passed_over: dict[str, None] = field(default_factory=dict)

    def add(self, folder: Path, parent: str, names: list[str]) -> None:
        """Add files of the folder `parent`, whose results go into `folder`."""
        self.names.setdefault(folder, []).append((parent, sorted(names, key=self._order)))
        self.count += len(names)

    def clusters(self) -> Iterator[tuple[Path, list[Path]]]:
        """Yield the folder for the results, and files of which two could have the same result.

        Such files have the same name up to the first dot and the same folder for their results.
        A file that was given twice, even through a link, counts once; a link with another name
        gets a separate result.
        """
        for folder, parts in self.names.items():
            files = heapq.merge(
                *(zip(names, repeat(parent)) for parent, names in parts),
                key=lambda file: self._order(file[0]),
            )
            for _, same in groupby(files, lambda file: _stem(file[0])):
                paths = [Path(parent, name) for name, parent in same]
                if len(paths) > 1:
                    known: dict[tuple[str, str], Path] = {}
                    for path in paths:
                        known.setdefault((os.path.realpath(path), path.name), path)
                    paths = list(known.values())
                yield folder, paths

    def names_by_folder(self) -> dict[Path, list[str]]:
        """Return the sorted names of the files in each folder, however the files were given."""
        found: dict[Path, set[str]] = {}
        for parent, names in chain.from_iterable(self.names.values()):
            found.setdefault(Path(parent), set()).update(names)
        return {folder: sorted(names, key=self._order) for folder, names in found.items()}

    def _order(self, name: str) -> tuple:
        stem = _stem(name)
        return (_numbers(stem), stem, name) if self.by_number else (stem, name)


def _stem(name: str) -> str:
    return os.path.normcase(name).partition('.')[0]


def _numbers(text: str) -> list[tuple[int, str]]:
    parts = re.findall(r'\d+|\D+', text)
    return [(int(part), '') if part.isdecimal() else (-1, part) for part in parts]


def find_sources(inputs: Sequence[str], output: Path, by_number: bool = False) -> Sources:
    """Find the files.

    An input is a file, a folder or a glob pattern, or the URL of one in a place that fsspec serves.
    Folders are searched with their subfolders;
    hidden files, hidden folders and linked folders are ignored. In a pattern, '**' matches any
    number of folders. The result of a file goes directly into the output folder. A result from a
    folder keeps its path below that folder, and a result from a pattern keeps its path from the
    first wildcard on. Files in folders and patterns without a known suffix are ignored, and so is
    everything in the output folder.

    Args:
        inputs: files, folders and patterns.
        output: the folder for the results, or the file for a single result.
        by_number: see `Sources`.

    Raises:
        ColorizeError: if an input matches no file.
    """
    result = Sources(by_number)
    for text in inputs:
        count, failed_before = result.count, len(result.failed)
        others = list(_add(text, output, result))
        if result.count == count and len(result.failed) == failed_before:
            if others or os.path.isdir(text):
                there = f' (found only {shortened(others)})' if others else ''
                raise ColorizeError(f'no image in {text}{there}')
            raise ColorizeError(f'{text or repr(text)} does not exist')
        result.passed_over.update(dict.fromkeys(others))
    return result


def _add(text: str, output: Path, result: Sources) -> Iterator[str]:
    """Add the files of an input, and yield the paths of files without a known suffix."""
    remote = is_remote(text) and not os.path.isdir(text)
    path = Path(text) if remote else as_local(text)
    if remote:
        kind = kind_of(path)
    else:
        kind = 'directory' if os.path.isdir(path) else 'file' if os.path.exists(path) else None
    if text and kind == 'directory':
        folders, base = _search(path, result), path
    elif text and kind:
        holder = path.parent if remote else as_local(path.parent)
        result.add(Path(), str(holder), [path.name])
        return
    elif glob.has_magic(text):
        base = _fixed_part(path)
        folders = _matches_below(path, base, result)
    else:
        try:
            os.stat(text)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            pass  # there is none
        except OSError as error:  # a folder on the way is closed, or links lead in a circle
            result.failed.append((path, f'cannot be read: {error.strerror}'))
        return
    # Results of an earlier run, where `output` lies in what is searched.
    results = Path(os.path.realpath(output))
    inside = Path(os.path.realpath(base)) in results.parents
    for parent, names in folders:
        if inside:
            real = Path(os.path.realpath(parent))
            if results in (real, *real.parents):
                continue
            names = [name for name in names if real / name != results]
        known = [name for name in names if name.lower().endswith(_SUFFIXES)]
        if known:
            place = parent if remote else str(as_local(parent))
            result.add(Path(parent).relative_to(base), place, known)
        if len(known) < len(names):
            yield from (os.path.join(parent, name) for name in sorted({*names} - {*known}))


def _search(folder: Path, result: Sources) -> Iterator[tuple[str, list[str]]]:
    if is_remote(folder):
        return remote_folders_below(folder)
    return folders_below(folder, follow_links=False, on_error=_reporter(result))


def _reporter(result: Sources) -> Callable[[OSError], None]:
    """Return a function that adds an unreadable folder to what failed."""

    def report(error: OSError) -> None:
        result.failed.append((Path(error.filename), f'cannot be read: {error.strerror}'))

    return report


def _matches_below(pattern: Path, base: Path, result: Sources) -> Iterator[tuple[str, list[str]]]:
    """Yield the matches of a pattern by folder; '**' skips linked folders, which can form loops."""
    parts = pattern.parts[len(base.parts) :]
    for parent, names in (
        remote_folders_below(base) if is_remote(base) else _walk(base, parts, result)
    ):
        above = Path(parent).relative_to(base).parts
        yield parent, sorted(name for name in names if _matches((*above, name), parts))


def _walk(base: Path, parts: Sequence[str], result: Sources) -> Iterator[tuple[str, list[str]]]:
    """Yield the folders that can have matches, each with its files. An unreadable one fails."""
    if not os.path.isdir(base):
        return
    walk = os.walk(base, onerror=_reporter(result), followlinks='**' not in parts)
    for parent, folders, names in walk:
        above = Path(parent).relative_to(base).parts
        folders[:] = sorted(f for f in folders if _matches((*above, f), parts, partly=True))
        yield parent, names


def _matches(names: Sequence[str], parts: Sequence[str], partly: bool = False) -> bool:
    """Return whether a path matches a pattern part by part; wildcards skip hidden names.

    Args:
        names: the parts of the path.
        parts: those of the pattern.
        partly: whether instead a path below this one can match.
    """
    if not parts or not names:
        return not names and (bool(parts) if partly else all(part == '**' for part in parts))
    hidden = names[0].startswith('.') and not parts[0].startswith('.')
    if parts[0] == '**':
        return _matches(names, parts[1:], partly) or (
            not hidden and _matches(names[1:], parts, partly)
        )
    return not hidden and fnmatch(names[0], parts[0]) and _matches(names[1:], parts[1:], partly)


def _fixed_part(pattern: Path) -> Path:
    """Return the folder of a pattern before its first wildcard."""
    parts = pattern.parts
    first = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])
