"""Image files: what is in them, reading and writing."""

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

# Without a handler, Python would print what Pillow logs; the reasons of a ColorizeError say it.
logging.getLogger('PIL').addHandler(logging.NullHandler())

FORMATS: tuple[str, ...] = ('JPEG', 'PNG', 'WEBP', 'TIFF', 'BMP')
if find_spec('PIL._avif'):  # Pillow has it since 11.3, unless it was built without
    FORMATS += ('AVIF',)
# Per format: the suffixes it is known by, the first one for files that are called otherwise.
SUFFIXES = {
    'JPEG': ('.jpg', '.jpeg', '.jpe', '.jfif'),
    'PNG': ('.png',),
    'WEBP': ('.webp',),
    'TIFF': ('.tif', '.tiff'),
    'BMP': ('.bmp',),
    'AVIF': ('.avif',),
}
IMAGE_SUFFIXES = tuple(suffix for format_ in FORMATS for suffix in SUFFIXES[format_])
_SAVE_OPTIONS = {
    'JPEG': {'quality': 95, 'subsampling': 0},  # 4:4:4: color is what this program adds
    'WEBP': {'quality': 95, 'method': 2},  # half the time of the default, no larger
    'TIFF': {},  # uncompressed: libtiff's encoders refuse EXIF data
    'PNG': {'compress_level': 3},  # half the time of the default, 6% larger
}
OUTPUT_FORMATS = tuple(_SAVE_OPTIONS)
_MAGIC = {
    'JPEG': b'\xff\xd8\xff',
    'PNG': b'\x89PNG',
    'WEBP': b'RIFF',
    'BMP': b'BM',
}
_TIFF_MAGIC = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
# Of `info`: the metadata of a TIFF, which is in the file that Pillow closes.
_METADATA = 'dualattn_metadata'


class Header(NamedTuple):
    """What a file's header tells.

    format: `output_format` of the image.
    pixels: how many it has.
    more_pages: whether it has more pages or frames than the first; not those of a phone's
        multi-picture JPEG.
    """

    format: str
    pixels: int
    more_pages: bool


def output_format(image: Image.Image) -> str:
    """The format that the colorized image is stored in: 'JPEG', 'PNG', 'WEBP' or 'TIFF'.

    The image's own, except PNG for BMP and AVIF, for transparency, for 16-bit gray and for an image
    that was not read from a file. Looks at the header alone. A phone's multi-picture JPEG (MPO) is
    a JPEG of its first picture.
    """
    format_ = 'JPEG' if image.format == 'MPO' else image.format
    if format_ in (None, 'BMP', 'AVIF') or has_alpha(image) or image.mode.startswith('I'):
        return 'PNG'
    return format_


def output_name(path: Path, format_: str) -> str:
    """The file name for `path` stored in a format: the suffix stays where it is right."""
    suffix = path.suffix if path.suffix.lower() in SUFFIXES[format_] else SUFFIXES[format_][0]
    return path.stem + suffix


def read_header(path: Path, max_pixels: int = MAX_PIXELS) -> Header:
    """The output format and size of a file, and whether it has more pages, without decoding it.

    Raises:
        ColorizeError: if it is not an image of one of `FORMATS`, or has more pixels than
            `max_pixels`; the message is the reason alone.
    """

    def look(image: Image.Image) -> Header:
        return Header(output_format(image), image.width * image.height, _has_more_pages(image))

    return _opened(path, max_pixels, look)


def _has_more_pages(image: Image.Image) -> bool:
    if image.format != 'TIFF':
        return image.format != 'MPO' and getattr(image, 'n_frames', 1) > 1
    try:
        image.seek(1)  # counting them all can take long
        return True
    except Exception:  # no second page, or a damaged one; what matters is the first
        return False


def read_image(path: Path, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode a file: its first frame, with `info` as Pillow gives it.

    Raises:
        ColorizeError: if it cannot be read, or has more pixels than `max_pixels`; the message is
            the reason alone, in one line.
    """

    def load(image: Image.Image) -> Image.Image:
        metadata = read_metadata(image) if image.format == 'TIFF' else None
        image.load()
        if metadata is not None:
            image.info[_METADATA] = metadata
        return image

    return _opened(path, max_pixels, load)


def _opened(path: Path, max_pixels: int, use: Callable[[Image.Image], Any]) -> Any:
    # An open file, not a path: Pillow maps the latter into memory, and turned TIFFs go wrong.
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
    """What kept Pillow, which does not tell, from opening a file."""
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
    return 'not a JPEG, PNG, WebP, TIFF or BMP image'


def write_image(image: Image.Image, path: Path, format_: str, overwrite: bool) -> None:
    """Write a file, whole or not at all; missing folders are made.

    `image.info` may hold 'exif' (bytes) and 'dpi', which go into the file.

    Raises:
        FileExistsError: if there is a file by now and `overwrite` is false.
        OSError: if the folder or the file cannot be written.
    """
    metadata = {key: image.info[key] for key in ('exif', 'dpi') if key in image.info}
    exif = metadata.pop('exif', b'')
    if format_ != 'TIFF' and exif:
        metadata['exif'] = exif
    # In memory: Pillow does not notice when a disk takes less than the whole of a file.
    buffer = io.BytesIO()
    image.save(buffer, format_, **_SAVE_OPTIONS[format_], **metadata)
    data = buffer.getvalue()
    atomic_write_bytes(
        path, add_to_tiff(data, exif) if format_ == 'TIFF' and exif else data, overwrite
    )


class Metadata(NamedTuple):
    """What of a photo's metadata goes into its colorized version.

    dpi: the resolution, in pixels per inch.
    exif: None if there is none.
    remark: what was left out because it is damaged; empty if nothing.
    """

    dpi: tuple[float, float] | None
    exif: Exif | None
    remark: str

    def to_info(self, width: int, height: int) -> dict:
        """As `info` of an image of this size, upright and in sRGB: 'exif' (bytes) and 'dpi'."""
        exif = self.exif.to_bytes(width, height) if self.exif else b''
        return {**({'dpi': self.dpi} if self.dpi else {}), **({'exif': exif} if exif else {})}


def read_metadata(image: Image.Image) -> Metadata:
    """The metadata of an image, before its pixels are decoded or of `read_image`."""
    if _METADATA in image.info:
        return image.info[_METADATA]
    with quiet():
        dpi = _dpi(image)
        try:
            exif = read_exif(image)
        except (ValueError, OSError) as error:
            return Metadata(dpi, None, f'its EXIF data is left out ({first_line(error)})')
    remark = ''
    if exif and exif.unreadable:
        remark = f'damaged EXIF data is left out ({shortened(exif.unreadable)})'
    return Metadata(dpi, exif, remark)


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    """The resolution in dots per inch; None if the image has none, or an impossible one."""
    try:
        x, y = (float(value) for value in image.info.get('dpi', ()))
    except (TypeError, ValueError, ArithmeticError):
        return None
    return (x, y) if 0 < x < 65536 and 0 < y < 65536 else None
