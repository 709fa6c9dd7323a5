"""Results of several methods on the same photos, side by side (the paper's Fig. 1, 4 to 6)."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from ..utils.errors import UserError, first_line, shortened
from ..utils.folders import pictures_by_name, read_picture
from ..utils.image_io import IMAGE_SUFFIXES, SUFFIXES, write_image
from ..utils.tensors import to_picture, to_tensor, without_color
from ..utils.terminal import print_line
from .gallery import fit, gallery


class Column(NamedTuple):
    """A column of the sheet.

    label: the text above it.
    folder: its pictures, searched with subfolders.
    gray: show them without their color, as a colorizer sees them.
    """

    label: str
    folder: Path
    gray: bool = False


def compare(
    columns: Sequence[Column],
    output: Path,
    files: Sequence[str] = (),
    rows: int = 6,
    height: int = 240,
) -> int:
    """Write a gallery of the pictures that several folders have in common.

    Pictures belong together if their paths below their folders are the same but for the suffix.

    Args:
        columns: from left to right.
        output: the sheet: a PNG or JPEG file, which is replaced if it exists.
        files: paths below the folders, with or without a suffix, from top to bottom.
        rows: without `files`, the number of pictures to show, of those that are in all columns,
            evenly spread over the order of their paths.
        height: of every picture, in pixels.

    Returns:
        The number of rows.

    Raises:
        UserError: if a column lacks one of `files`, or the columns have no picture in common;
            if a folder or file cannot be read, or the sheet not be written.
    """
    suffixes = {suffix: name for name in ('PNG', 'JPEG') for suffix in SUFFIXES[name]}
    format_ = suffixes.get(output.suffix.lower())
    if format_ is None:
        raise UserError(f'{output} must end in one of {" ".join(suffixes)}')
    double = [label for label, n in Counter(column.label for column in columns).items() if n > 1]
    if double:
        raise UserError(f'two columns are called {double[0]!r}')
    found = [pictures_by_name(column.folder) for column in columns]
    names = _chosen(columns, found, files) if files else _common(columns, found, rows)
    paths = [[pictures[name] for name in names] for pictures in found]
    if any(output.resolve() == path.resolve() for column in paths for path in column):
        raise UserError(f'{output} is one of the pictures and would be overwritten')
    pictures = {
        column.label: [_load(path, height, column.gray) for path in paths_]
        for column, paths_ in zip(columns, paths, strict=True)
    }
    sheet = gallery(pictures, names, height)
    try:
        write_image(sheet, output, format_, overwrite=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, 'strerror', None) or first_line(error)
        raise UserError(f'{output} cannot be written: {reason}') from None
    return len(names)


def spread(count: int, total: int) -> list[int]:
    """Up to `count` of the numbers below `total`, evenly spread from 0 on."""
    count = min(count, total)
    return [i * total // count for i in range(count)]


def _name(path: str) -> str:
    path = Path(path)
    return (path.with_suffix('') if path.suffix.lower() in IMAGE_SUFFIXES else path).as_posix()


def _chosen(columns: Sequence[Column], found: Sequence[dict], files: Sequence[str]) -> list[str]:
    names = [_name(file) for file in files]
    lacks = []
    for column, pictures in zip(columns, found, strict=True):
        missing = [name for name in names if name not in pictures]
        if missing:
            lacks.append(f'{column.label} ({column.folder}) has no {shortened(missing)}')
    if lacks:
        raise UserError('; '.join(lacks))
    return names


def _common(columns: Sequence[Column], found: Sequence[dict], rows: int) -> list[str]:
    names = sorted(set.intersection(*map(set, found)))
    folders = ', '.join(str(column.folder) for column in columns)
    if not names:
        raise UserError(f'no picture is in all of {folders}')
    others = sorted(set().union(*found) - set(names))
    if others:
        print_line(f'left out, because not in all columns: {shortened(others)}', sys.stderr)
    return [names[i] for i in spread(rows, len(names))]


def _load(path: Path, height: int, gray: bool) -> Image.Image:
    image = read_picture(path)
    picture = fit(to_picture(image), height)  # as it is shown: photos are large
    return to_picture(without_color(to_tensor(picture))) if gray else picture
