"""Inspect, read and write image files."""

import io
import logging
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, UnidentifiedImageError

from .atomic import atomic_write_bytes
from .errors import ColorizeError, first_line, shortened
from .exif import Exif, add_to_tiff, read_exif, read_tiff_kind
from .libtiff import silence_libtiff
from .pixels import ADVICE, MAX_PIXELS, check_size, decoding, has_alpha, quiet

# Without a handler, Python would print Pillow's log; a ColorizeError already states the reason.
logging.getLogger('PIL').addHandler(logging.NullHandler())

FORMATS: tuple[str, ...] = ('JPEG', 'PNG', 'WEBP', 'TIFF', 'BMP', 'GIF')
if find_spec('PIL._avif'):  # in Pillow since 11.3, unless it was built without AVIF
    FORMATS += ('AVIF',)
# The suffixes of each format. Files with another suffix get the first one.
SUFFIXES = {
    'JPEG': ('.jpg', '.jpeg', '.jpe', '.jfif'),
    'PNG': ('.png',),
    'WEBP': ('.webp',),
    'TIFF': ('.tif', '.tiff'),
    'BMP': ('.bmp',),
    'GIF': ('.gif',),
    'AVIF': ('.avif',),
}
IMAGE_SUFFIXES = tuple(suffix for format_ in FORMATS for suffix in SUFFIXES[format_])
_SAVE_OPTIONS = {
    'JPEG': {'quality': 95, 'subsampling': 0},  # 4:4:4, because color is what this program adds
    'WEBP': {'quality': 95, 'method': 2},  # takes half the time of the default, no larger
    'TIFF': {},  # uncompressed, because libtiff's encoders reject EXIF data
    'PNG': {'compress_level': 3},  # takes half the time of the default, 6% larger
}
OUTPUT_FORMATS = tuple(_SAVE_OPTIONS)
_MAGIC = {
    'JPEG': b'\xff\xd8\xff',
    'PNG': b'\x89PNG',
    'WEBP': b'RIFF',
    'BMP': b'BM',
    'GIF': b'GIF8',
}
_TIFF_MAGIC = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
# Key in `info` for the metadata of a TIFF file, which is read before Pillow closes the file.
_METADATA = 'dualattn_metadata'


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
    """Return the format in which the colorized image is stored: 'JPEG', 'PNG', 'WEBP' or 'TIFF'.

    It is the format of the image, except that PNG replaces BMP, AVIF and GIF and is used for
    transparent images, 16-bit gray and images that were not read from a file. Only the header is
    read. A phone's multi-picture JPEG (MPO) is stored as a JPEG of its first picture.
    """
    format_ = 'JPEG' if image.format == 'MPO' else image.format
    if format_ in (None, 'BMP', 'AVIF', 'GIF') or has_alpha(image) or image.mode.startswith('I'):
        return 'PNG'
    return format_


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
        more_pages = _has_more_pages(image)
        animated = more_pages and image.format in ('GIF', 'PNG', 'WEBP')
        format_ = str(image.format) if animated else output_format(image)
        return Header(format_, image.width * image.height, more_pages, animated)

    return opened_image(path, max_pixels, look)


def _has_more_pages(image: Image.Image) -> bool:
    if image.format != 'TIFF':
        return image.format != 'MPO' and getattr(image, 'n_frames', 1) > 1
    try:
        image.seek(1)  # counting all pages can take long
        return True
    except Exception:  # there is no second page, or it is damaged; only the first one is used
        return False


def read_image(path: Path, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode the first frame of an image file, with `info` as Pillow returns it.

    Raises:
        ColorizeError: if the file cannot be read, or has more pixels than `max_pixels`. The message
            is one line and does not name the file.
    """

    def load(image: Image.Image) -> Image.Image:
        metadata = read_metadata(image) if image.format == 'TIFF' else None
        image.load()
        if metadata is not None:
            image.info[_METADATA] = metadata
        return image

    return opened_image(path, max_pixels, load)


def opened_image(path: Path, max_pixels: int, use: Callable[[Image.Image], Any]) -> Any:
    """Open an image file and return what `use` makes of it.

    Raises:
        ColorizeError: as `read_image`, also for all that Pillow raises in `use`.
    """
    # Pass an open file, because Pillow memory-maps a path, and rotated TIFFs are then read wrong.
    with decoding(), path.open('rb') as file:
        if not file.read(1):
            raise ColorizeError('the file is empty')
        file.seek(0)
        try:
            image = Image.open(file, formats=FORMATS)
        except UnidentifiedImageError:
            raise ColorizeError(_why_unidentified(path)) from None
        if image.format == 'TIFF':
            silence_libtiff()
        with image:
            check_size(*image.size, max_pixels)
            return use(image)


def _why_unidentified(path: Path) -> str:
    """Return the reason why Pillow could not open a file, which Pillow does not report."""
    with path.open('rb') as file:
        head = file.read(12)
        if head[:4] in _TIFF_MAGIC:
            try:
                bits, formats, photometric = read_tiff_kind(file)
            except ValueError as error:
                return f'cannot be read: damaged TIFF file ({error})'
            kind = {2: 'signed', 3: 'floating-point'}.get(max(formats, default=1), 'unsigned')
            stored = f'{" + ".join(map(str, bits)) or 1} bits per pixel, {kind}'
            meaning = f', photometric interpretation {photometric[0]}' if photometric else ''
            return f'TIFF files of this kind are not supported ({stored}{meaning}): {ADVICE}'
    for format_, magic in _MAGIC.items():
        if head.startswith(magic):
            return f'cannot be read: damaged {format_} file'
    return 'not a JPEG, PNG, WebP, TIFF, BMP or GIF image'


def save_options(format_: str) -> dict[str, Any]:
    """Return how Pillow stores an image of this format."""
    return dict(_SAVE_OPTIONS.get(format_, {}))


def write_image(image: Image.Image, path: Path, format_: str, overwrite: bool) -> None:
    """Write a file atomically and create missing folders.

    'exif' (bytes) and 'dpi' in `image.info` are written to the file.

    Raises:
        FileExistsError: if the file exists now and `overwrite` is false.
        OSError: if the folder or the file cannot be written.
    """
    metadata = {key: image.info[key] for key in ('exif', 'dpi') if key in image.info}
    exif = metadata.pop('exif', b'')
    if format_ != 'TIFF' and exif:
        metadata['exif'] = exif
    # Encode in memory, because Pillow does not notice if the disk is full.
    buffer = io.BytesIO()
    image.save(buffer, format_, **_SAVE_OPTIONS[format_], **metadata)
    data = buffer.getvalue()
    atomic_write_bytes(
        path, add_to_tiff(data, exif) if format_ == 'TIFF' and exif else data, overwrite
    )


class Metadata(NamedTuple):
    """The metadata of a photo that is copied to its colorized version.

    dpi: the resolution in pixels per inch.
    exif: the EXIF data, or None.
    remark: names the damaged metadata that was not copied; empty if there is none.
    """

    dpi: tuple[float, float] | None
    exif: Exif | None
    remark: str

    def to_info(self, width: int, height: int) -> dict:
        """Return 'exif' (bytes) and 'dpi' for the `info` of an upright sRGB image of this size."""
        exif = self.exif.to_bytes(width, height) if self.exif else b''
        return {**({'dpi': self.dpi} if self.dpi else {}), **({'exif': exif} if exif else {})}


def read_metadata(image: Image.Image) -> Metadata:
    """Return the metadata of an image from `read_image`, or of one that is not decoded yet."""
    if _METADATA in image.info:
        return image.info[_METADATA]
    with quiet():
        dpi = _dpi(image)
        try:
            exif = read_exif(image)
        except (ValueError, OSError) as error:
            return Metadata(dpi, None, f'its EXIF data was not copied ({first_line(error)})')
    remark = ''
    if exif and exif.unreadable:
        remark = f'damaged EXIF data was not copied ({shortened(exif.unreadable)})'
    return Metadata(dpi, exif, remark)


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    """Return the resolution in dots per inch; None if it is missing or invalid."""
    try:
        x, y = (float(value) for value in image.info.get('dpi', ()))
    except (TypeError, ValueError, ArithmeticError):
        return None
    return (x, y) if 0 < x < 65536 and 0 < y < 65536 else None
