"""Which files are colorized, and where each result goes; decided before any work."""

import glob
import mimetypes
import os
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
    """One input and what is to be written for it.

    more_pages: whether the file has more pages than the first, which is colorized.
    output, compare: None where the file exists already and is left alone, or is not asked for.
    """

    source: Path
    format: str
    pixels: int
    more_pages: bool
    output: Path | None
    compare: Path | None


@dataclass
class Plan:
    """What a run will do.

    folder: where results go, to be made before the first of them.
    films: (source, output) of films.
    failed: (path, reason) of inputs that cannot even be looked at.
    passed_over: files of folders and patterns that are not called like an image.
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
    """Find the images and fix every output path.

    An input is a file, a folder (searched with its subfolders; hidden files and folders and linked
    folders are left out) or a glob pattern ('**' spans folders). The result of a named file goes
    to the output folder itself; that of a folder keeps the path below the folder; that of a pattern
    keeps the path from the first wildcard on. Files of folders and patterns that are not called
    like an image are passed over, and what lies in the output folder is no input.

    Args:
        inputs: files, folders, patterns.
        output: the folder for the results; for one photo also the file, whose suffix says the
            format.
        compare: also plan `<output name>.compare.png`.
        overwrite: replace results that exist; otherwise they are skipped.
        max_pixels: larger images fail.

    Raises:
        ColorizeError: if an input gives no file, two inputs would give one output, an output would
            replace an input, or `output` names one file for several photos or a format that cannot
            be written.
    """
    file_format = _format_of_file(output)
    one_film = is_film(output) and not os.path.isdir(output)
    one_file = one_film or file_format is not None
    result = Plan(output.parent if one_file else output)
    sources = _find(inputs, output, result)
    if one_file and len(sources) > 1:
        raise ColorizeError(
            f'{output} is one file, but there are {len(sources)} photos: name a folder'
        )
    targets: dict[str, Path] = {}
    identities = {_identity(source) for source in sources}
    for source, folders in sources.items():
        if one_file and is_film(source) != one_film:
            raise ColorizeError(f'{output} and {source} must both be films or both be photos')
        if is_film(source):
            for folder in folders:
                target = output if one_film else output / folder / source.name
                _claim(target, source, targets, identities)
                if _unless_present(target, overwrite):
                    result.films.append((source, target))
                else:
                    result.skipped += 1
            continue
        try:
            format_, pixels, more_pages = read_header(source, max_pixels)
        except ColorizeError as error:
            result.failed.append((source, str(error)))
            continue
        name = output_name(source, format_)
        format_ = file_format or format_
        for folder in folders:
            target = output if file_format else output / folder / name
            # the whole name: a.jpg and a.png may stand side by side
            beside = target.with_name(target.name + COMPARE_SUFFIX) if compare else None
            for path in filter(None, (target, beside)):
                _claim(path, source, targets, identities)
            left = (_unless_present(path, overwrite) for path in (target, beside))
            job = Job(source, format_, pixels, more_pages, *left)
            if job.output or job.compare:
                result.jobs.append(job)
            else:
                result.skipped += 1
    result.passed_over = list(dict.fromkeys(result.passed_over))
    return result


def _format_of_file(output: Path) -> str | None:
    """The format of an output that is named like an image file; None for a folder."""
    suffix = output.suffix.lower()
    kind = mimetypes.guess_type(output.name)[0] or ''
    if os.path.isdir(output) or not (suffix in IMAGE_SUFFIXES or kind.startswith('image/')):
        return None
    written = {name: format_ for format_ in OUTPUT_FORMATS for name in SUFFIXES[format_]}
    if suffix not in written:
        raise ColorizeError(f'{output} cannot be written: results are {", ".join(written)} files')
    return written[suffix]


def _claim(target: Path, source: Path, targets: dict[str, Path], inputs: set) -> None:
    # stat follows links and knows a file under any spelling of its name
    if os.path.exists(target) and _identity(target) in inputs:
        raise ColorizeError(f'{target} is an input and would be overwritten: choose another -o')
    other = targets.setdefault(os.path.normcase(os.path.abspath(target)), source)
    if other != source:
        raise ColorizeError(f'{other} and {source} would both be written to {target}')


def _unless_present(target: Path | None, overwrite: bool) -> Path | None:
    return None if target is None or (not overwrite and os.path.lexists(target)) else target


def _identity(path: Path) -> tuple[int, int] | str:
    try:
        status = path.stat()
    except OSError:  # cannot be read, so cannot be overwritten by a result of its own either
        return str(path)
    return status.st_dev, status.st_ino


def _find(inputs: Sequence[str], output: Path, result: Plan) -> dict[Path, dict[Path, None]]:
    """Every source with the folders (relative to the output folder) its result goes to.

    A source that is given twice, also through a link, is one. What fails or is passed over is
    added to `result`.
    """
    found: dict[Path, dict[Path, None]] = {}
    known: dict[tuple[str, Path], Path] = {}
    for text in inputs:
        seen, failed_before, passed_before = 0, len(result.failed), len(result.passed_over)
        for source, folder in _expand(text, output, result):
            seen += 1
            # a link with a name of its own gives a result of its own
            key = (os.path.realpath(source), folder / source.name)
            found.setdefault(known.setdefault(key, source), {})[folder] = None
        if not seen and len(result.failed) == failed_before:
            others = result.passed_over[passed_before:]
            if others or os.path.isdir(text):
                there = f' (there are {shortened(others)})' if others else ''
                raise ColorizeError(f'no image in {text}{there}')
            raise ColorizeError(f'no file {text}')
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
    """What a pattern matches, in order; '**' does not enter linked folders, which can be loops."""
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
    """Whether a path matches a pattern, part by part; wildcards match nothing hidden."""
    if not parts or not names:
        return not names and all(part == '**' for part in parts)
    hidden = names[0].startswith('.') and not parts[0].startswith('.')
    if parts[0] == '**':
        return _matches(names, parts[1:]) or (not hidden and _matches(names[1:], parts))
    return not hidden and fnmatch(names[0], parts[0]) and _matches(names[1:], parts[1:])


def _fixed_part(pattern: Path) -> Path:
    """The folder of a pattern before its first wildcard."""
    parts = pattern.parts
    first = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])
