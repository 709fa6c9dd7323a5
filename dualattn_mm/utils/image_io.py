"""Reading and writing image files, and the step from any PIL image to plain pixels.

Reading keeps what a photo needs to be seen as its author saw it: EXIF orientation, ICC profile,
transparency, 16-bit gray. The first frame of a file with several is the image.
"""

import contextlib
import io
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from .atomic import replacing
from .errors import ColorizeError, first_line

FORMATS = ('JPEG', 'PNG', 'WEBP', 'TIFF', 'BMP')
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
    'JPEG': {'quality': 95, 'subsampling': 0},  # 4:4:4: colour is what this program adds
    'WEBP': {'quality': 95, 'method': 2},  # half the time of the default, no larger
    'TIFF': {},  # uncompressed: libtiff's encoders refuse EXIF data
    'PNG': {'compress_level': 3},  # half the time of the default, 6% larger
}
# What Pillow raises on damaged pixels or metadata.
_DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    MemoryError,
    struct.error,
    Image.DecompressionBombError,
)
_JPEG_SEGMENT = 65533  # bytes of EXIF data that Pillow can put into a JPEG file
_ORIENTATION = 0x0112
# The tags of a TIFF's own directory that tell about the photo; the others describe how the pixels
# are stored and would be wrong in another file.
_PHOTO_TAGS = (
    0x010E,  # ImageDescription
    0x010F,  # Make
    0x0110,  # Model
    0x0131,  # Software
    0x0132,  # DateTime
    0x013B,  # Artist
    0x8298,  # Copyright
)
_SUB_DIRECTORIES = (0x8769, 0x8825)  # Exif, GPS


class Pixels(NamedTuple):
    """An upright image in sRGB.

    color: (H, W) gray or (H, W, 3) RGB, uint8 or uint16 (full scale 255 or 65535).
    alpha: (H, W) uint8, or None for an opaque image.
    """

    color: np.ndarray
    alpha: np.ndarray | None


class Header(NamedTuple):
    """What a file's header tells.

    format: `output_format` of the image.
    pixels: how many it has.
    """

    format: str
    pixels: int


def output_format(image: Image.Image) -> str:
    """The format that the colorized image is stored in: 'JPEG', 'PNG', 'WEBP' or 'TIFF'.

    The image's own, except PNG for BMP and AVIF, for transparency and for 16-bit gray. Looks at the
    header alone. A phone's multi-picture JPEG (MPO) is a JPEG of its first picture.
    """
    format_ = 'JPEG' if image.format == 'MPO' else image.format
    if format_ in ('BMP', 'AVIF') or _has_alpha(image) or image.mode.startswith('I'):
        return 'PNG'
    return format_


def output_name(path: Path, format_: str) -> str:
    """The file name for `path` stored in a format: the suffix stays where it is right."""
    suffix = path.suffix if path.suffix.lower() in SUFFIXES[format_] else SUFFIXES[format_][0]
    return path.stem + suffix


def read_header(path: Path) -> Header:
    """The output format and the size of a file, without decoding it.

    Raises:
        ColorizeError: if it is not an image of one of `FORMATS`; the message is the reason alone.
    """
    return _guarded(path, lambda image: Header(output_format(image), image.width * image.height))


def read_image(path: Path) -> Image.Image:
    """Decode a file: its first frame, with `info` as Pillow gives it.

    Raises:
        ColorizeError: if it cannot be read; the message is the reason alone, in one line.
    """

    def load(image: Image.Image) -> Image.Image:
        image.load()
        return image

    return _guarded(path, load)


def _guarded(path: Path, use: Callable):
    try:
        if path.stat().st_size == 0:
            raise ColorizeError('the file is empty')
        with quiet(), Image.open(path, formats=FORMATS) as image:
            return use(image)
    except ColorizeError:
        raise
    except UnidentifiedImageError:
        raise ColorizeError('not a JPEG, PNG, WebP, TIFF or BMP image') from None
    except _DECODE_ERRORS as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else None
        raise ColorizeError(f'cannot be read: {reason or first_line(error)}') from error


def write_image(image: Image.Image, path: Path, format_: str, overwrite: bool) -> None:
    """Write a file under a temporary name in the same folder, then rename it.

    `image.info` may hold 'exif' (bytes) and 'dpi', which go into the file. Missing folders are
    made. Whatever happens, there is a whole file under `path` afterwards, or what was there before.

    Raises:
        FileExistsError: if there is a file by now and `overwrite` is false.
        OSError: if the folder or the file cannot be written.
    """
    metadata = {key: image.info[key] for key in ('exif', 'dpi') if key in image.info}
    if format_ == 'JPEG' and len(metadata.get('exif', b'')) > _JPEG_SEGMENT:
        del metadata['exif']
    with replacing(path) as temporary:
        image.save(temporary, format_, **_SAVE_OPTIONS[format_], **metadata)
        if not overwrite and path.exists():
            raise FileExistsError('appeared while working; not overwritten')


def metadata_of(image: Image.Image) -> dict:
    """The EXIF data (bytes, without orientation) and resolution of an image, as `info` keys.

    The output is upright and of another compression: orientation, thumbnail and storage tags are
    left out. EXIF data too damaged to be copied is left out as a whole.
    """
    info = {}
    with contextlib.suppress(*_DECODE_ERRORS), quiet():
        dpi = tuple(float(value) for value in image.info.get('dpi', ()))
        if len(dpi) == 2 and all(0 < value < 65536 for value in dpi):
            info['dpi'] = dpi
        source, exif = image.getexif(), Image.Exif()
        for tag in _PHOTO_TAGS if image.format == 'TIFF' else source:
            if tag in source and tag != _ORIENTATION and tag not in _SUB_DIRECTORIES:
                exif[tag] = source[tag]
        for tag in _SUB_DIRECTORIES:
            if directory := source.get_ifd(tag):
                exif[tag] = directory
        if len(exif):
            info['exif'] = exif.tobytes()
    return info


def to_pixels(image: Image.Image) -> Pixels:
    """Bring a PIL image of any mode to plain upright sRGB pixels.

    Raises:
        ColorizeError: for a mode without a defined conversion (32-bit integer or float, LAB, HSV)
            or an image without pixels.
    """
    if 0 in image.size:
        raise ColorizeError(f'an image of {image.width} x {image.height} pixels has no content')
    image = _upright(image)
    alpha = None
    if image.mode.startswith('I'):
        return _sixteen_bit(image)
    if _has_alpha(image):
        gray = image.mode in ('1', 'L', 'LA', 'La')
        with quiet():
            image = image.convert('LA' if gray else 'RGBA')
        alpha = np.asarray(image.getchannel('A'))
        color = image.convert('L' if gray else 'RGB')
    elif image.mode in ('1', 'L'):
        color = image.convert('L')
    elif image.mode in ('P', 'RGB', 'RGBX', 'YCbCr'):
        color = image.convert('RGB')
    elif image.mode == 'CMYK':
        color = image
    else:
        raise ColorizeError(f'images of mode {image.mode} are not supported')
    return Pixels(np.asarray(_to_srgb(color, image.info.get('icc_profile'))), alpha)


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ('LA', 'La', 'PA', 'RGBA', 'RGBa') or 'transparency' in image.info


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No warnings: what Pillow warns of (large images, odd metadata) it also copes with.

    Python's filters are those of the whole process, so that only the main thread may change them:
    in others this does nothing. Who reads in threads enters it around them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


def _upright(image: Image.Image) -> Image.Image:
    try:
        with quiet():
            if image.getexif().get(_ORIENTATION, 1) == 1:
                return image
            return ImageOps.exif_transpose(image)
    except _DECODE_ERRORS:
        image.load()  # damaged pixels are an error, damaged EXIF data is not
        return image


def _sixteen_bit(image: Image.Image) -> Pixels:
    """Gray of mode 'I;16' in any byte order, or mode 'I' as older Pillow opens 16-bit PNG."""
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise ColorizeError('32-bit images are not supported (gray may have 8 or 16 bits)')
    hidden = image.info.get('transparency')
    alpha = None if hidden is None else np.where(values == hidden, 0, 255).astype(np.uint8)
    return Pixels(values.astype(np.uint16), alpha)


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Apply an embedded ICC profile; without one, or with a broken one, the pixels are sRGB."""
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            # sRGB to sRGB would only add rounding.
            if not ImageCms.getProfileDescription(source).startswith('sRGB'):
                target = ImageCms.createProfile('sRGB')
                return ImageCms.profileToProfile(image, source, target, outputMode='RGB')
    return image.convert('RGB') if image.mode == 'CMYK' else image
