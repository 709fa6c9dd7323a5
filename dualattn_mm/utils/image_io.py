"""Inspect, read and write image files."""

import itertools
import logging
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, UnidentifiedImageError, features

from .atomic import atomic_file
from .deep_image import DeepImage, encode_deep, is_deep_color, read_deep_color
from .encoding import DEFAULT_OPTIONS, encode, source_options
from .errors import ColorizeError, UnsupportedError
from .libraries import library
from .libtiff import silence_libtiff
from .metadata import keep_metadata
from .pixels import ADVICE, DEEP, MAX_PIXELS, check_size, decoding, scale_transparency
from .remote import open_binary
from .tiff_file import read_tiff_kind
from .tiff_page import open_page

# Without a handler, Python would print Pillow's log; a ColorizeError already states the reason.
logging.getLogger('PIL').addHandler(logging.NullHandler())

FORMATS: tuple[str, ...] = ('JPEG', 'PNG', 'WEBP', 'TIFF', 'BMP', 'GIF')
# In Pillow since 11.3, unless it was built without AVIF.
if find_spec('PIL._avif'):
    FORMATS += ('AVIF',)
if features.check('jpg_2000'):
    FORMATS += ('JPEG2000',)
# The suffixes of each format. Files with another suffix get the first one.
SUFFIXES = {
    'JPEG': ('.jpg', '.jpeg', '.jpe', '.jfif'),
    'PNG': ('.png',),
    'WEBP': ('.webp',),
    'TIFF': ('.tif', '.tiff'),
    'BMP': ('.bmp',),
    'GIF': ('.gif',),
    'AVIF': ('.avif',),
    'JPEG2000': ('.jp2', '.j2k', '.jpf', '.jpx', '.j2c'),
    'HEIF': ('.heic', '.heif', '.hif'),
}
IMAGE_SUFFIXES = tuple(suffix for format_ in FORMATS for suffix in SUFFIXES[format_])
# An optional library reads HEIF.
PHOTO_SUFFIXES = IMAGE_SUFFIXES + SUFFIXES['HEIF']
OUTPUT_FORMATS = tuple(format_ for format_ in FORMATS if format_ in DEFAULT_OPTIONS)
_MAGIC = {
    'JPEG': b'\xff\xd8\xff',
    'PNG': b'\x89PNG',
    'WEBP': b'RIFF',
    'BMP': b'BM',
    'GIF': b'GIF8',
}
_HEIF_BRANDS = (b'heic', b'heix', b'hevc', b'hevx', b'heim', b'heis', b'mif1', b'msf1')
_TIFF_MAGIC = (b'II*\0', b'MM\0*', b'II+\0')
_BIG_ENDIAN_BIGTIFF = b'MM\0+'  # Pillow reads none


class Header(NamedTuple):
    """The content of a file's header.

    format: `output_format` of the image.
    pixels: number of pixels.
    more_pages: whether the file has more than one page or frame; the additional pictures in a
        phone's multi-picture JPEG do not count.
    animated: whether the file has several frames and its format can store them all.
    """

    format: str
    pixels: int
    more_pages: bool
    animated: bool


def output_format(image: Image.Image) -> str:
    """Return the format in which the colorized image is stored by default.

    It is the format of the image if that is JPEG, PNG, WebP or TIFF, and otherwise PNG. A phone's
    multi-picture JPEG (MPO) is stored as a JPEG of its first picture.
    """
    format_ = 'JPEG' if image.format == 'MPO' else image.format
    return format_ if format_ in ('JPEG', 'WEBP', 'TIFF') else 'PNG'


def output_name(path: Path, format_: str) -> str:
    """Return the file name of `path` for a format; a suffix of that format is kept."""
    suffix = path.suffix if path.suffix.lower() in SUFFIXES[format_] else SUFFIXES[format_][0]
    return path.stem + suffix


def read_header(path: Path, max_pixels: int = MAX_PIXELS) -> Header:
    """Read the header of an image file without decoding it.

    Raises:
        ColorizeError: if the file is not an image of one of `FORMATS`, or has more pixels than
            `max_pixels`. The message does not name the file.
    """

    def look(image: Image.Image) -> Header:
        pixels = image.width * image.height  # of the first page
        more_pages = _has_more_pages(image)
        animated = more_pages and image.format in ('GIF', 'PNG', 'WEBP')
        format_ = str(image.format) if animated else output_format(image)
        return Header(format_, pixels, more_pages, animated)

    return opened_image(path, max_pixels, look)


def _has_more_pages(image: Image.Image) -> bool:
    if image.format != 'TIFF':
        return image.format != 'MPO' and getattr(image, 'is_animated', False)
    try:
        image.seek(1)  # counting all pages can take long
    except EOFError:
        return False
    except Exception:  # there is a damaged page, which is reported when all pages are read
        pass
    return True


def read_image(path: Path, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode the first frame of an image file, with `info` as Pillow returns it.

    Raises:
        ColorizeError: if the file cannot be read, or has more pixels than `max_pixels`. The message
            is one line and does not name the file.
    """
    return read_with_options(path, max_pixels)[0]


class Page(NamedTuple):
    """A page of a file.

    number: its number, from 1.
    width, height: its size.
    at: the offset of its directory in a TIFF file; None in other files.
    """

    number: int
    width: int
    height: int
    at: int | None


def read_with_options(
    path: Path, max_pixels: int = MAX_PIXELS, page: Page | None = None
) -> tuple[Image.Image, dict[str, Any]]:
    """Do the same for any page, and return the `source_options` of the image as well."""
    number, at = (page.number, page.at) if page else (1, None)

    def load(image: Image.Image) -> tuple[Image.Image, dict[str, Any]]:
        if number > 1 and at is None:
            image.seek(number - 1)
            check_size(*image.size, max_pixels)
        options = source_options(image)
        keep_metadata(image)
        if is_deep_color(image):
            image.info[DEEP] = read_deep_color(image, path, number, at)
        image.load()
        return image, options

    return opened_image(path, max_pixels, load, at)


def find_pages(path: Path) -> list[Page]:
    """Return all pages of a file.

    Raises:
        ColorizeError: as `read_image`; the message names the page.
    """
    pages: list[Page] = []

    def look(image: Image.Image) -> None:
        for number in itertools.count(1):
            try:
                image.seek(number - 1)
            except EOFError:
                return
            at = image.tag_v2.offset if image.format == 'TIFF' else None  # type: ignore[attr-defined]
            pages.append(Page(number, *image.size, at))

    try:
        opened_image(path, sys.maxsize, look)
    except ColorizeError as error:
        if not pages:
            raise
        raise ColorizeError(f'page {len(pages) + 1}: {error}') from None
    return pages


def opened_image(
    path: Path, max_pixels: int, use: Callable[[Image.Image], Any], at: int | None = None
) -> Any:
    """Open an image file and return what `use` makes of it.

    Args:
        path: the file.
        max_pixels: larger images are not opened.
        use: called with the image.
        at: the offset of the directory of a page in a local TIFF file; None for the first page.

    Raises:
        ColorizeError: as `read_image`, also for all that Pillow raises in `use`.
    """
    # Pass an open file, because Pillow memory-maps a path, and rotated TIFFs are then read wrong.
    with decoding(max_pixels), open_binary(path) if at is None else open_page(path, at) as file:
        head = file.read(64)
        if not head:
            raise ColorizeError('the file is empty')
        file.seek(0)
        formats = FORMATS
        if head[4:8] == b'ftyp' and head[8:12] in _HEIF_BRANDS and b'avif' not in head:
            library('pillow_heif', 'HEIC photos', "'dualattn_mm[heif]'").register_heif_opener()
            formats = ('HEIF',)
        try:
            image = Image.open(file, formats=formats)
        except UnidentifiedImageError:
            raise _why_unidentified(path) from None
        if image.format == 'TIFF':
            silence_libtiff()
        with image:
            check_size(*image.size, max_pixels)
            scale_transparency(image)
            return use(image)


def _why_unidentified(path: Path) -> ColorizeError:
    """Return the reason why Pillow could not open a file, which Pillow does not report."""
    with open_binary(path) as file:
        head = file.read(12)
        if head[:4] == _BIG_ENDIAN_BIGTIFF:
            return UnsupportedError(
                'big-endian BigTIFF is not supported: save it as an ordinary TIFF'
            )
        if head[:4] in _TIFF_MAGIC:
            try:
                bits, formats, photometric = read_tiff_kind(file)
            except ValueError as error:
                return ColorizeError(f'cannot be read: damaged TIFF file ({error})')
            kind = {2: 'signed', 3: 'floating-point'}.get(max(formats, default=1), 'unsigned')
            stored = f'{" + ".join(map(str, bits)) or 1} bits per pixel, {kind}'
            meaning = f', photometric interpretation {photometric[0]}' if photometric else ''
            return UnsupportedError(
                f'TIFF files of this kind are not supported ({stored}{meaning}): {ADVICE}'
            )
    for format_, magic in _MAGIC.items():
        if head.startswith(magic):
            return ColorizeError(f'cannot be read: damaged {format_} file')
    return UnsupportedError('not a JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF, JPEG 2000 or HEIC image')


def write_image(
    image: Image.Image | DeepImage,
    path: Path,
    format_: str,
    overwrite: bool,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Write a file atomically and create missing folders.

    The metadata in `image.info` (see `Metadata.to_info`) is written to the file.

    Args:
        image: the image; one with 16 bits per channel needs a format of `DEEP_FORMATS`.
        path: the file.
        format_: one of `OUTPUT_FORMATS`.
        overwrite: whether to replace an existing file.
        options: see `save_options`; None uses the defaults of the format.

    Raises:
        FileExistsError: if the file exists now and `overwrite` is false.
        OSError: if the folder or the file cannot be written.
    """
    with atomic_file(path, overwrite) as temporary, temporary.open('wb') as out:
        if isinstance(image, DeepImage):
            encode_deep(image, out, format_, options or {}, temporary)
        else:
            encode(image, out, format_, options)
