"""Decide where each result goes. The header of a file is read when it is its turn."""

import mimetypes
import os
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from ..utils.animation_io import ANIMATED_SUFFIXES
from ..utils.errors import ColorizeError, UnsupportedError
from ..utils.films import FILM_SUFFIXES, OTHER_FILM_SUFFIXES, is_film
from ..utils.image_io import (
    OUTPUT_FORMATS,
    PHOTO_SUFFIXES,
    SUFFIXES,
    Header,
    output_name,
    read_header,
)
from ..utils.pixels import MAX_PIXELS, raise_limit
from ..utils.remote import as_local, exists, is_remote, url_of
from .overlap import MOST_THREADS, ahead
from .sources import Sources

COMPARE_SUFFIX = '.compare.png'
# A file, the folder for its result relative to the output folder, and all files, with this one, of
# which two could have the same result.
_File = tuple[Path, Path, list[Path]]


@dataclass(frozen=True)
class Job:
    """One input and the files to write for it.

    more_pages: whether the file has more than one page; only the first one is colorized.
    output, compare: None if the file was not requested, or exists and must not be replaced.
    """

    source: Path
    format: str
    pixels: int
    more_pages: bool
    output: Path | None
    compare: Path | None


class _Look(NamedTuple):
    """What was found of a file.

    first: whether it is the first of those that could have the same result.
    results: the files that it would give.
    work: its job; for a film, the file to write; None if all results exist; or what is wrong.
    """

    source: Path
    first: bool
    results: list[Path]
    work: Job | Path | ColorizeError | None


class Plan:
    """The work of a run.

    Args:
        sources: the files to colorize.
        output: the folder for the results. For a single photo or animation it can also be a file;
            its suffix sets the format.
        compare: also write `<output name>.compare.png`.
        overwrite: replace results that already exist; otherwise they are skipped.
        max_pixels: larger images fail.
        format_: the format of all photos; None keeps that of each. Animations keep theirs.
        all_pages: colorize all pages of a file. Those whose results are not TIFF files fail.

    Attributes:
        sources: the files to colorize.
        folder: the folder for results; it is created before the first result is written.
        total: the number of jobs, as far as it is known: files that give no job are subtracted
            when it is their turn.
        films: (source, output) of videos, animated images and files of which all pages are
            colorized, complete after the last job.
        skipped: number of files whose results existed, complete after the last job.
        remote: whether some of the files or the results are in a place that fsspec serves.

    Raises:
        ColorizeError: if the results would replace the inputs, or `output` is a single file for
            several photos, has a format that cannot be written, or another one than `format_`; or
            this Pillow cannot write `format_`.
    """

    def __init__(
        self,
        sources: Sources,
        output: Path,
        compare: bool,
        overwrite: bool,
        max_pixels: int = MAX_PIXELS,
        format_: str | None = None,
        all_pages: bool = False,
    ):
        raise_limit(max_pixels)
        if format_ not in (None, *OUTPUT_FORMATS):
            raise ColorizeError(
                f'this Pillow cannot write {format_}: '
                'AVIF needs Pillow 11.3 or later, built with it'
            )
        self.sources, self._compare, self._overwrite = sources, compare, overwrite
        self._max_pixels, self._all_pages = max_pixels, all_pages
        format_of_file = _format_of_file(output)
        if None not in (format_, format_of_file) and format_ != format_of_file:
            raise ColorizeError(f'{output} is not a {format_} file: change its suffix or --format')
        self._format = format_ or format_of_file
        film = is_film(output) and not os.path.isdir(output)
        self._file = output if film or format_of_file else None
        self.folder = output.parent if self._file else output
        if not is_remote(output) and any(name != as_local(name) for name in sources.names):
            self.folder = Path(os.path.abspath(self.folder))
        parents = (parent for parts in sources.names.values() for parent, _ in parts)
        self.remote = is_remote(output) or any(map(is_remote, parents))
        self.total, self.skipped = sources.count, 0
        self.films: list[tuple[Path, Path]] = []
        if self._file:
            self._check_file(self._file, film)
        else:
            self._check_folders()

    def _check_file(self, output: Path, film: bool) -> None:
        paths = list(chain.from_iterable(paths for _, paths in self.sources.clusters()))
        if len(paths) > 1:
            raise ColorizeError(
                f'{url_of(output)} is one file, but there are {len(paths)} photos: name a folder'
            )
        for path in paths:
            if is_film(path) != film:
                raise ColorizeError(
                    f'{url_of(output)} and {url_of(path)} must both be videos or both be photos'
                )
            self._check_input(output, [path])

    def _check_folders(self) -> None:
        """Look for a result that replaces its own source, without reading any headers."""
        formats = [self._format] if self._format else ['JPEG', 'PNG', 'WEBP', 'TIFF']
        kept = tuple(suffix for format_ in formats for suffix in SUFFIXES[format_])
        for folder, parts in self.sources.names.items():
            place = _identity(self.folder / folder)
            for parent, names in parts if place else ():
                if _identity(Path(parent)) == place:
                    for name in names:
                        if name.lower().endswith(kept + FILM_SUFFIXES):
                            path = Path(self.folder, folder, name)
                            self._check_input(path, [path])

    def jobs(self, report: Callable[[Path, object], None]) -> Generator[Job, None, None]:
        """Yield the jobs in order. Each header is read when its job is taken.

        In a distant place, threads read the next headers meanwhile.

        Args:
            report: called with the path and the reason for each file that fails: its header cannot
                be read, its result would have the name of another one or would replace an input.
        """
        if self.remote and self._overwrite:
            _ = self._inputs  # found once, before the threads need it
        files = self._files()
        found = ahead(self._look, files, MOST_THREADS) if self.remote else map(self._look, files)
        claimed: dict[str, Path] = {}
        for look in found:
            if look.first:
                claimed = {}
            work = look.work
            for path in look.results:
                other = claimed.setdefault(os.path.normcase(path.name), look.source)
                if other != look.source:
                    work = ColorizeError(
                        f'{url_of(other)} would also be saved as {url_of(path)}: rename one of them'
                    )
            if isinstance(work, Job):
                yield work
                continue
            self.total -= 1
            if isinstance(work, ColorizeError):
                report(look.source, work)
            elif work is None:
                self.skipped += 1
            else:
                self.films.append((look.source, work))

    def _files(self) -> Iterator[_File]:
        for folder, paths in self.sources.clusters():
            yield from ((path, folder, paths) for path in paths)

    def _look(self, file: _File) -> _Look:
        """Look at a file and at what exists of its results; threads call this at once."""
        source, folder, others = file
        try:
            return _Look(source, source is others[0], *self._results(source, folder, others))
        except ColorizeError as error:
            return _Look(source, source is others[0], [], error)

    def _results(
        self, source: Path, folder: Path, others: list[Path]
    ) -> tuple[list[Path], Job | Path | None]:
        """Return the results of a file, and what to do for them, as in `_Look`."""
        target = self._file or Path(self.folder, folder, source.name)
        free = None
        if len(others) == 1 and not (self._overwrite or self._compare or self._format):
            if exists(target) and not self._is_input(target, others):
                # No other file can have this result, so the format in the header does not matter.
                return [], None
            free = target
        if source.suffix.lower() in OTHER_FILM_SUFFIXES:
            known = ', '.join(FILM_SUFFIXES)
            raise UnsupportedError(
                f'videos must be {known}: convert it, for example with ffmpeg -i old.mpg video.mkv'
            )
        header = None if is_film(source) else read_header(source, self._max_pixels)
        if header and self._format == 'GIF' and not header.animated:
            raise ColorizeError(
                f'{url_of(target)} can only be an animation: choose a .png file for a photo'
            )
        whole = header is None or header.animated or self._has_all_pages(header)
        if header and not self._file:
            stored_as = (not header.animated and self._format) or header.format
            target = target.with_name(output_name(source, stored_as))
        beside = None
        if self._compare and not whole:
            # Append to the whole name, because a.jpg and a.png can be in the same folder.
            beside = target.with_name(target.name + COMPARE_SUFFIX)
        results = [path for path in (target, beside) if path]
        for path in results:
            self._check_input(path, others)
        output = target if target == free else self._unless_present(target)
        compare = self._unless_present(beside)
        if not (output or compare):
            return results, None
        if header is None or whole:
            return results, target
        format_ = self._format or header.format
        return results, Job(source, format_, header.pixels, header.more_pages, output, compare)

    def _has_all_pages(self, header: Header) -> bool:
        """Return whether the result will have all pages of a file, which is not an animation.

        Raises:
            ColorizeError: if it should have them, but its format cannot hold them.
        """
        if not (self._all_pages and header.more_pages):
            return False
        if (self._format or header.format) != 'TIFF':
            raise ColorizeError(
                'it has several pages, which only a TIFF file can hold: choose --format tiff or a '
                '.tif file, or leave out --pages all'
            )
        return True

    def _is_input(self, path: Path, others: list[Path]) -> bool:
        """Return whether a file exists that is one of the sources.

        Those with other results than `others` matter only if files are replaced.
        """
        there = _identity(path)
        return there is not None and (
            there in map(_identity, others) or (self._overwrite and there in self._inputs)
        )

    def _check_input(self, path: Path, others: list[Path]) -> None:
        if self._is_input(path, others):
            raise ColorizeError(f'{url_of(path)} is an input and would be overwritten: change -o')

    @cached_property
    def _inputs(self) -> set[int | None]:
        """The identities of all sources. It takes a while, and is needed to replace files only."""
        paths = chain.from_iterable(paths for _, paths in self.sources.clusters())
        return set(map(_identity, paths))

    def _unless_present(self, path: Path | None) -> Path | None:
        return None if path is None or (not self._overwrite and exists(path)) else path


def _format_of_file(output: Path) -> str | None:
    """Return the image format of an output path with an image suffix; None for others."""
    suffix = output.suffix.lower()
    kind = mimetypes.guess_type(output.name)[0] or ''
    written = {name: format_ for format_ in OUTPUT_FORMATS for name in SUFFIXES[format_]}
    if os.path.isdir(output) or suffix in FILM_SUFFIXES:
        return None
    if suffix in ANIMATED_SUFFIXES:
        return ANIMATED_SUFFIXES[suffix]
    if suffix in OTHER_FILM_SUFFIXES:
        possible = FILM_SUFFIXES
    elif suffix in PHOTO_SUFFIXES or kind.startswith('image/'):
        possible = tuple(written)
    else:
        return None
    if suffix not in written:
        raise ColorizeError(
            f'cannot write {output}: the file name must end in one of {", ".join(possible)}'
        )
    return written[suffix]


def _identity(path: Path) -> int | None:
    """Return a number that a file has under any spelling of its name; None if it is missing.

    Remote files have one name.
    """
    if is_remote(path):
        return hash(path)
    try:
        status = os.stat(path)  # follows links
    except OSError:
        return None
    return status.st_dev << 64 | status.st_ino
