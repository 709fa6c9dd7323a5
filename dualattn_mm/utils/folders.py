"""Pictures in folders: found, named and read."""

from pathlib import Path

from torch import Tensor

from .errors import ColorizeError, UserError
from .image_io import IMAGE_SUFFIXES
from .tensors import read_photo, squash
from .walk import files_below


def pictures_below(folder: Path) -> list[Path]:
    """All pictures below a folder and its subfolders, in order of their paths.

    Hidden files and folders are left out.

    Raises:
        UserError: if there is no folder, or no picture in it.
    """
    if not folder.is_dir():
        raise UserError(f'no folder {folder}')
    found = sorted(path for path in files_below(folder) if path.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise UserError(f'no picture below {folder}')
    return found


def pictures_by_name(folder: Path) -> dict[str, Path]:
    """Pictures by their path below the folder without suffix.

    Raises:
        UserError: as `pictures_below`, or if two differ in the suffix alone.
    """
    pictures: dict[str, Path] = {}
    for path in pictures_below(folder):
        other = pictures.setdefault(path.relative_to(folder).with_suffix('').as_posix(), path)
        if other != path:
            raise UserError(f'{other} and {path} differ in the suffix alone')
    return pictures


def read_picture(path: Path, size: int | None = None) -> Tensor:
    """(3, H, W) uint8 RGB, squashed to a square if there is a size.

    Raises:
        ColorizeError: if it cannot be read, with its path.
    """
    try:
        picture = read_photo(path)
    except ColorizeError as error:
        raise ColorizeError(f'{path}: {error}') from None
    return picture if size is None else squash(picture, size)
