"""Find, name and read the images in a folder."""

from pathlib import Path

from torch import Tensor

from .errors import ColorizeError, UserError
from .image_io import IMAGE_SUFFIXES
from .tensors import read_photo, squash
from .walk import files_below


def pictures_below(folder: Path) -> list[Path]:
    """Return all images in a folder and its subfolders, sorted by path.

    Hidden files and folders are ignored.

    Raises:
        UserError: if the folder does not exist or contains no image.
    """
    if not folder.is_dir():
        raise UserError(f'folder {folder} does not exist')
    found = sorted(path for path in files_below(folder) if path.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise UserError(f'no image in {folder} or its subfolders')
    return found


def pictures_by_name(folder: Path) -> dict[str, Path]:
    """Return the images by their path below the folder, without suffix.

    Raises:
        UserError: as in `pictures_below`, or if two paths differ only in their suffix.
    """
    pictures: dict[str, Path] = {}
    for path in pictures_below(folder):
        other = pictures.setdefault(path.relative_to(folder).with_suffix('').as_posix(), path)
        if other != path:
            raise UserError(f'{other} and {path} differ only in their suffix: rename one of them')
    return pictures


def read_picture(path: Path, size: int | None = None) -> Tensor:
    """Read an image as (3, H, W) uint8 RGB, resized to a square if `size` is given.

    Raises:
        ColorizeError: if it cannot be read; the message starts with the path.
    """
    try:
        picture = read_photo(path)
    except ColorizeError as error:
        raise ColorizeError(f'{path}: {error}') from None
    return picture if size is None else squash(picture, size)
