"""Which files are colorized, and where each result goes; decided before any work."""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..utils.errors import ColorizeError
from ..utils.image_io import IMAGE_SUFFIXES, output_name, read_header

COMPARE_SUFFIX = '.compare.png'


@dataclass(frozen=True)
class Job:
    """One input and what is to be written for it.

    output, compare: None where the file exists already and is left alone, or is not asked for.
    """

    source: Path
    format: str
    pixels: int
    output: Path | None
    compare: Path | None


@dataclass
class Plan:
    """What a run will do.

    failed: (path, reason) of inputs that cannot even be looked at.
    """

    jobs: list[Job] = field(default_factory=list)
    skipped: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)


def plan(inputs: Sequence[str], outdir: Path, compare: bool, overwrite: bool) -> Plan:
    """Find the images and fix every output path.

    An input is a file, a folder (searched with its subfolders; hidden files and folders and linked
    folders are left out) or a glob pattern ('**' spans folders). The result of a named file goes
    to `outdir` itself; that of a folder keeps the path below the folder; that of a pattern keeps
    the path from the first wildcard on. In folders and patterns, what is called like an image
    counts, and an `outdir` below them does not.

    Args:
        inputs: files, folders, patterns.
        outdir: the folder for the results.
        compare: also plan `<output name>.compare.png`.
        overwrite: replace results that exist; otherwise they are skipped.

    Raises:
        ColorizeError: if an input gives no file, two inputs would give one output, or an output
            would replace an input.
    """
    result = Plan()
    sources = _find(inputs, outdir, result.failed)
    targets: dict[str, Path] = {}
    identities = {_identity(source) for source in sources}
    for source, folders in sources.items():
        try:
            format_, pixels = read_header(source)
        except ColorizeError as error:
            result.failed.append((source, str(error)))
            continue
        for folder in folders:
            output = outdir / folder / output_name(source, format_)
            # the whole name: a.jpg and a.png may stand side by side
            beside = output.with_name(output.name + COMPARE_SUFFIX) if compare else None
            for target in filter(None, (output, beside)):
                _claim(target, source, targets, identities)
            left = (_unless_present(target, overwrite) for target in (output, beside))
            job = Job(source, format_, pixels, *left)
            if job.output or job.compare:
                result.jobs.append(job)
            else:
                result.skipped += 1
    return result


def _claim(target: Path, source: Path, targets: dict[str, Path], inputs: set) -> None:
    # stat follows links and knows a file under any spelling of its name
    if target.exists() and _identity(target) in inputs:
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


def _find(
    inputs: Sequence[str], outdir: Path, failed: list[tuple[Path, str]]
) -> dict[Path, dict[Path, None]]:
    """Every source with the folders (relative to the output folder) its result goes to.

    A source that is given twice, also through a link, is one.
    """
    found: dict[Path, dict[Path, None]] = {}
    known: dict[tuple[Path, Path], Path] = {}
    for text in inputs:
        seen, failed_before = 0, len(failed)
        for source, folder in _expand(text, outdir, failed):
            seen += 1
            # a link with a name of its own gives a result of its own
            key = (source.resolve(), folder / source.name)
            found.setdefault(known.setdefault(key, source), {})[folder] = None
        if not seen and len(failed) == failed_before:
            raise ColorizeError(f'no image in {text}' if os.path.isdir(text) else f'no file {text}')
    return found


def _expand(text: str, outdir: Path, failed: list[tuple[Path, str]]) -> Iterator[tuple[Path, Path]]:
    path = Path(text)
    if text and path.is_dir():
        files, base = _walk(path, failed), path
    elif text and path.exists():
        yield path, Path()
        return
    elif glob.has_magic(text):
        base = _fixed_part(path)
        files = sorted(Path(name) for name in glob.iglob(text, recursive=True))
    else:
        return
    # Results of an earlier run, where `outdir` lies in what is searched.
    results = outdir.resolve() if base.resolve() in outdir.resolve().parents else None
    for file in files:
        if file.suffix.lower() not in IMAGE_SUFFIXES or file.is_dir():
            continue
        if results is None or results not in file.resolve().parents:
            yield file, file.relative_to(base).parent


def _walk(folder: Path, failed: list[tuple[Path, str]]) -> Iterator[Path]:
    def report(error: OSError) -> None:
        failed.append((Path(error.filename), f'cannot be read: {error.strerror}'))

    for parent, folders, names in os.walk(folder, onerror=report):
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        yield from (Path(parent, name) for name in sorted(names) if not name.startswith('.'))


def _fixed_part(pattern: Path) -> Path:
    """The folder of a pattern before its first wildcard."""
    parts = pattern.parts
    first = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])
