"""Decide which files to colorize and where each result goes, before any work is done."""

import glob
import mimetypes
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from ..utils.errors import ColorizeError, shortened
from ..utils.films import FILM_SUFFIXES, is_film
from ..utils.image_io import IMAGE_SUFFIXES, OUTPUT_FORMATS, SUFFIXES, output_name, read_header
from ..utils.pixels import MAX_PIXELS
from ..utils.walk import files_below

COMPARE_SUFFIX = '.compare.png'


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


@dataclass
class Plan:
    """The jobs of a run.

    folder: the folder for results; it is created before the first result is written.
    films: (source, output) of videos and animated images.
    failed: (path, reason) of inputs whose header cannot be read.
    passed_over: files in folders and patterns whose names do not have an image suffix.
    """

    folder: Path
    jobs: list[Job] = field(default_factory=list)
    films: list[tuple[Path, Path]] = field(default_factory=list)
    skipped: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)
    passed_over: list[Path] = field(default_factory=list)


def plan(
    inputs: Sequence[str],
    output: Path,
    compare: bool,
    overwrite: bool,
    max_pixels: int = MAX_PIXELS,
) -> Plan:
    """Find the images and choose every output path.

    An input is a file, a folder or a glob pattern. Folders are searched with their subfolders;
    hidden files, hidden folders and linked folders are ignored. In a pattern, '**' matches any
    number of folders. The result of a file goes directly into the output folder. A result from a
    folder keeps its path below that folder, and a result from a pattern keeps its path from the
    first wildcard on. Files in folders and patterns without an image suffix are ignored, and so is
    everything in the output folder.

    Args:
        inputs: files, folders and patterns.
        output: the folder for the results. For a single photo it can also be a file; its suffix
            sets the format.
        compare: also plan `<output name>.compare.png`.
        overwrite: replace results that already exist; otherwise they are skipped.
        max_pixels: larger images fail.

    Raises:
        ColorizeError: if an input matches no file, two inputs have the same output, an output
            would replace an input, or `output` is a single file for several photos or has a format
            that cannot be written.
    """
    file_format = _format_of_file(output)
    one_film = is_film(output) and not os.path.isdir(output)
    one_file = one_film or file_format is not None
    result = Plan(output.parent if one_file else output)
    sources = _find(inputs, output, result)
    if one_file and len(sources) > 1:
        raise ColorizeError(
            f'{output} is a single file, but there are {len(sources)} photos: name a folder'
        )
    targets: dict[str, Path] = {}
    identities = {_identity(source) for source in sources}
    for source, folders in sources.items():
        if one_file and is_film(source) != one_film:
            raise ColorizeError(f'{output} and {source} must both be films or both be photos')
        try:
            header = None if is_film(source) else read_header(source, max_pixels)
        except ColorizeError as error:
            result.failed.append((source, str(error)))
            continue
        name = source.name if header is None else output_name(source, header.format)
        for folder in folders:
            target = output if one_file else output / folder / name
            if header is None or header.animated:
                _claim(target, source, targets, identities)
                if _unless_present(target, overwrite):
                    result.films.append((source, target))
                else:
                    result.skipped += 1
                continue
            # Append to the whole name, because a.jpg and a.png can be in the same folder.
            beside = target.with_name(target.name + COMPARE_SUFFIX) if compare else None
            for path in filter(None, (target, beside)):
                _claim(path, source, targets, identities)
            left = (_unless_present(path, overwrite) for path in (target, beside))
            format_ = file_format or header.format
            job = Job(source, format_, header.pixels, header.more_pages, *left)
            if job.output or job.compare:
                result.jobs.append(job)
            else:
                result.skipped += 1
    result.passed_over = list(dict.fromkeys(result.passed_over))
    return result


def natural_order(path: Path) -> tuple[str, list[tuple[int, str]]]:
    """Return a key that sorts the files of a folder by the numbers in their names: 2 before 10."""
    parts = re.findall(r'\d+|\D+', path.name)
    return str(path.parent), [(int(p), '') if p.isdecimal() else (-1, p) for p in parts]


def _format_of_file(output: Path) -> str | None:
    """Return the image format of an output path with an image suffix; None for a folder."""
    suffix = output.suffix.lower()
    kind = mimetypes.guess_type(output.name)[0] or ''
    if os.path.isdir(output) or not (suffix in IMAGE_SUFFIXES or kind.startswith('image/')):
        return None
    written = {name: format_ for format_ in OUTPUT_FORMATS for name in SUFFIXES[format_]}
    if suffix not in written:
        raise ColorizeError(
            f'cannot write {output}: the file name must end in one of {", ".join(written)}'
        )
    return written[suffix]


def _claim(target: Path, source: Path, targets: dict[str, Path], inputs: set) -> None:
    # stat follows links and recognizes a file under any spelling of its name.
    if os.path.exists(target) and _identity(target) in inputs:
        raise ColorizeError(f'{target} is an input and would be overwritten: change -o')
    other = targets.setdefault(os.path.normcase(os.path.abspath(target)), source)
    if other != source:
        raise ColorizeError(f'{other} and {source} would both be written to {target}: rename one')


def _unless_present(target: Path | None, overwrite: bool) -> Path | None:
    return None if target is None or (not overwrite and os.path.lexists(target)) else target


def _identity(path: Path) -> tuple[int, int] | str:
    try:
        status = path.stat()
    except OSError:  # an unreadable file has no result that could overwrite it
        return str(path)
    return status.st_dev, status.st_ino


def _find(inputs: Sequence[str], output: Path, result: Plan) -> dict[Path, dict[Path, None]]:
    """Return every source with the folders for its result, relative to the output folder.

    A source that is given twice, even through a link, counts once. Failed and ignored files are
    added to `result`.
    """
    found: dict[Path, dict[Path, None]] = {}
    known: dict[tuple[str, Path], Path] = {}
    for text in inputs:
        seen, failed_before, passed_before = 0, len(result.failed), len(result.passed_over)
        for source, folder in _expand(text, output, result):
            seen += 1
            # A link with another name gets a separate result.
            key = (os.path.realpath(source), folder / source.name)
            found.setdefault(known.setdefault(key, source), {})[folder] = None
        if not seen and len(result.failed) == failed_before:
            others = result.passed_over[passed_before:]
            if others or os.path.isdir(text):
                there = f' (found only {shortened(others)})' if others else ''
                raise ColorizeError(f'no image in {text}{there}')
            raise ColorizeError(f'{text or repr(text)} does not exist')
    return found


def _expand(text: str, output: Path, result: Plan) -> Iterator[tuple[Path, Path]]:
    path = Path(text)
    if text and os.path.isdir(path):
        files, base = _files_of_folder(path, result), path
    elif text and os.path.exists(path):
        yield path, Path()
        return
    elif glob.has_magic(text):
        files, base = _files_of_pattern(path), _fixed_part(path)
    else:
        try:
            os.stat(text)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            pass  # there is none
        except OSError as error:  # a folder on the way is closed, or links lead in a circle
            result.failed.append((path, f'cannot be read: {error.strerror}'))
        return
    # Results of an earlier run, where `output` lies in what is searched.
    place = Path(os.path.realpath(output))
    results = place if Path(os.path.realpath(base)) in place.parents else None
    for file in files:
        real = Path(os.path.realpath(file))
        if os.path.isdir(file) or (results is not None and results in (real, *real.parents)):
            continue
        if file.suffix.lower() in IMAGE_SUFFIXES + FILM_SUFFIXES:
            yield file, file.relative_to(base).parent
        else:
            result.passed_over.append(file)


def _files_of_folder(folder: Path, result: Plan) -> Iterator[Path]:
    def report(error: OSError) -> None:
        result.failed.append((Path(error.filename), f'cannot be read: {error.strerror}'))

    return files_below(folder, follow_links=False, on_error=report)


def _files_of_pattern(pattern: Path) -> Iterator[Path]:
    """Yield the matches of a pattern in order; '**' skips linked folders, which can form loops."""
    if '**' not in pattern.parts:
        yield from sorted(map(Path, glob.iglob(str(pattern))))
        return
    base = _fixed_part(pattern)
    parts = pattern.parts[len(base.parts) :]
    for parent, folders, names in os.walk(base):
        folders.sort()
        for path in (Path(parent, name) for name in sorted(names)):
            if _matches(path.relative_to(base).parts, parts):
                yield path


def _matches(names: Sequence[str], parts: Sequence[str]) -> bool:
    """Return whether a path matches a pattern part by part; wildcards skip hidden names."""
    if not parts or not names:
        return not names and all(part == '**' for part in parts)
    hidden = names[0].startswith('.') and not parts[0].startswith('.')
    if parts[0] == '**':
        return _matches(names, parts[1:]) or (not hidden and _matches(names[1:], parts))
    return not hidden and fnmatch(names[0], parts[0]) and _matches(names[1:], parts[1:])


def _fixed_part(pattern: Path) -> Path:
    """Return the folder of a pattern before its first wildcard."""
    parts = pattern.parts
    first = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])
