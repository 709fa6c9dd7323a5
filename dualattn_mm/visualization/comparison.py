"""Show results of several methods on the same photos side by side (Fig. 1 and 4 to 6)."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from ..utils.errors import UserError, shortened, writing_to
from ..utils.folders import pictures_by_name, read_picture
from ..utils.image_io import IMAGE_SUFFIXES, SUFFIXES, write_image
from ..utils.sampling import spread
from ..utils.tensors import to_picture, to_tensor, without_color
from ..utils.terminal import print_line
from .gallery import fit, gallery


class Column(NamedTuple):
    """A column of the sheet.

    label: the text above the column.
    folder: the folder of its images, searched with its subfolders.
    gray: show the images without color, as a colorizer sees them.
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
    """Write a gallery of the images that several folders have in common.

    Images belong together if their paths below their folders are equal, except for the suffix.

    Args:
        columns: the columns from left to right.
        output: the PNG or JPEG file to write; an existing file is replaced.
        files: the images from top to bottom, as paths below the folders with or without a suffix.
        rows: the number of images to show if `files` is not given. They are evenly spread over the
            sorted images that all columns have.
        height: height of every image in pixels.

    Returns:
        The number of rows.

    Raises:
        UserError: if a column lacks one of `files`, the columns have no image in common, a folder
            or file cannot be read, or the output cannot be written.
    """
    suffixes = {suffix: name for name in ('PNG', 'JPEG') for suffix in SUFFIXES[name]}
    format_ = suffixes.get(output.suffix.lower())
    if format_ is None:
        raise UserError(f'{output} must end in one of {" ".join(suffixes)}')
    double = [label for label, n in Counter(column.label for column in columns).items() if n > 1]
    if double:
        raise UserError(f'two columns have the name {double[0]!r}')
    found = [pictures_by_name(column.folder) for column in columns]
    names = _chosen(columns, found, files) if files else _common(columns, found, rows)
    paths = [[pictures[name] for name in names] for pictures in found]
    if any(output.resolve() == path.resolve() for column in paths for path in column):
        raise UserError(f'{output} is one of the images and would be overwritten: change -o')
    pictures = {
        column.label: [_load(path, height, column.gray) for path in paths_]
        for column, paths_ in zip(columns, paths, strict=True)
    }
    sheet = gallery(pictures, names, height)
    with writing_to(output, ValueError):
        write_image(sheet, output, format_, overwrite=True)
    return len(names)


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
        raise UserError(f'no image is in all of the folders {folders}')
    others = sorted(set().union(*found) - set(names))
    if others:
        print_line(f'skipped, because not in all columns: {shortened(others)}', sys.stderr)
    return [names[i] for i in spread(rows, len(names))]


def _load(path: Path, height: int, gray: bool) -> Image.Image:
    image = read_picture(path)
    picture = fit(to_picture(image), height)  # shrink first, because photos are large
    return to_picture(without_color(to_tensor(picture))) if gray else picture
