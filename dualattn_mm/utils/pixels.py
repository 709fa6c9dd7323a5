"""Convert a PIL image of any mode to upright sRGB pixels, gray or RGB."""

import contextlib
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from . import icc
from .errors import ColorizeError, TooLargeError, UnsupportedError, first_line, reason_of

# Key in `info` for the pixels of a color image with more than 8 bits, which Pillow cannot hold:
# (H, W, 3 or 4) uint16, RGB or RGBA; None if they could not be read.
DEEP = 'dualattn_deep'
_SCALED = 'dualattn_scaled'  # key in `info` if the transparent color is scaled
_ORIENTATION, _BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 0x0112, 0x0102, 0x0106, 0x0153
# Exif 2.32, 4.6.4.A: the transformation that makes the stored image upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# The same for arrays.
_TURNS_OF_ARRAYS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}
_UNSUPPORTED = {
    'F': 'floating-point images are not supported',
    'I': '32-bit images are not supported',
    'LAB': 'images in CIELAB are not supported',
    'HSV': 'images in HSV are not supported',
}
EIGHT_BITS = 'its 16 bits per channel were reduced to 8'
_TABLES = ', because its ICC profile consists of tables (pip install imagecodecs keeps them)'
ADVICE = 'save it with 8 bits per channel, or with 16 bits and its channels together'
# Colorizing an image of this size takes 2.0 GB in total, which fits a machine with 4 GB.
MAX_PIXELS = 100_000_000
SETTING = '--max-pixels; max_pixels in Python'  # names the limit in errors


class Pixels(NamedTuple):
    """An upright image in sRGB.

    color: (H, W) gray or (H, W, 3) RGB, uint8 or uint16 (full scale 255 or 65535).
    alpha: (H, W) uint8 or uint16, or None for an opaque image.
    remark: names an ICC profile problem; empty if there is none.
    """

    color: np.ndarray
    alpha: np.ndarray | None
    remark: str = ''


def to_pixels(image: Image.Image) -> Pixels:
    """Convert a PIL image of any mode to upright sRGB pixels.

    An ICC profile is applied, and without one the gamma of a PNG file. An unusable profile is
    ignored and noted in `remark`.

    Raises:
        ColorizeError: if the image cannot be decoded, has no pixels, or has a mode without a
            defined conversion (32-bit integers, floating point, CIELAB, HSV).
    """
    pixels = _by_profile(image)
    # By the PNG specification, the profile and the chunk sRGB take precedence over the gamma.
    profile = image.info.get('icc_profile')  # None if it is damaged
    if 'gamma' in image.info and not profile and 'srgb' not in image.info:
        return pixels._replace(color=icc.gamma_to_srgb(pixels.color, image.info['gamma']))
    return pixels


def _by_profile(image: Image.Image) -> Pixels:
    if 0 in image.size:
        raise ColorizeError(f'the image is empty: its size is {image.width} x {image.height}')
    with decoding():
        scale_transparency(image)
        _load(image)
        full_scale, negative = _stored_range(image)
    orientation, profile = _orientation(image), image.info.get('icc_profile')
    deep = image.info.get(DEEP)
    remark = EIGHT_BITS if deep is None and DEEP in image.info else ''
    if deep is not None:
        color16: np.ndarray | None
        if _is_gray_with_profile(deep[..., :3], profile):
            color16, remark = _gray_in_srgb(deep[..., 0], profile)
        else:
            color16, remark = _deep_in_srgb(deep[..., :3], profile)
        if color16 is not None:
            alpha = turned(deep[..., 3], orientation) if deep.shape[2] == 4 else None
            return Pixels(turned(color16, orientation), alpha, remark)
    if orientation in _TURNS:
        image = image.transpose(_TURNS[orientation])
    if image.mode.startswith('I'):
        return _sixteen_bit(image, full_scale, negative, profile)
    alpha = None
    if has_alpha(image):
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
        raise _unsupported(image.mode)
    # Few photos have such a profile, and `np.asarray` copies the others.
    for_gray = icc.is_for_gray(profile or b'')
    if color.mode == 'RGB' and for_gray and _is_gray_with_profile(np.asarray(color), profile):
        color = color.getchannel(0)
    if color.mode == 'L':
        values, remark = _gray_in_srgb(np.asarray(color), profile)
        return Pixels(values, alpha, remark)
    if profile:
        try:
            color = icc.to_srgb(color, profile)
        except ValueError as error:
            remark = _profile_ignored(error)
    if color.mode == 'CMYK':
        color = color.convert('RGB')
    return Pixels(np.asarray(color), alpha, remark)


def _load(image: Image.Image) -> None:
    """Decode an image."""
    if image.format != 'TIFF' or not getattr(image, 'tile', None):
        image.load()
        return
    # Pillow memory-maps a file that has a name, and rotated TIFFs are then read wrong.
    named: Any = image
    name, named.filename = named.filename, ''
    try:
        image.load()
    finally:
        named.filename = name


def to_eight_bits(values: np.ndarray) -> np.ndarray:
    """Round uint16 values, of which 65535 is the full scale, to uint8."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Return the upright image of stored pixels, given the orientation in their EXIF data."""
    return _TURNS_OF_ARRAYS.get(orientation, np.asarray)(pixels)


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Reject an image that needs too much memory, before it is decoded.

    Raises:
        TooLargeError: if it has more pixels than `max_pixels`.
    """
    if width * height > max_pixels:
        raise TooLargeError(
            f'the size of {width} x {height} exceeds the limit of {max_pixels:,} pixels ({SETTING})'
        )


def raise_limit(max_pixels: int) -> None:
    """Raise the limit above which Pillow does not open images, for the whole process."""
    if Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels)


def has_alpha(image: Image.Image) -> bool:
    """Return whether an image has transparency, either an alpha channel or a transparent color."""
    return image.mode in ('LA', 'La', 'PA', 'RGBA', 'RGBa') or 'transparency' in image.info


def scale_transparency(image: Image.Image) -> None:
    """Scale the transparent color of a PNG file to 8 bits; Pillow scales the pixels only.

    It must be called before the image is decoded. Another call changes nothing.
    """
    hidden, tile = image.info.get('transparency'), getattr(image, 'tile', None)
    if image.format != 'PNG' or hidden is None or not tile or _SCALED in image.info:
        return
    stored = str(tile[0][3])  # how the pixels are stored
    if stored in ('L;2', 'L;4'):
        hidden *= 85 if stored == 'L;2' else 17
    elif stored == 'RGB;16B':
        hidden = tuple(value >> 8 for value in hidden)
    image.info.update({'transparency': hidden, _SCALED: True})


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings: Pillow handles what it warns about (large images, unusual metadata).

    Python's warning filters belong to the whole process, so only the main thread may change them;
    in other threads this does nothing. Code that reads in threads enters this context around them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


@contextlib.contextmanager
def decoding(max_pixels: int = sys.maxsize) -> Iterator[None]:
    """Turn any error that Pillow raises for a damaged file into a one-line ColorizeError.

    An image of more than twice `Image.MAX_IMAGE_PIXELS` is not opened, so that its size is unknown.
    The error then states `max_pixels`, or that limit if it is lower.
    """
    try:
        with quiet():
            yield
    except ColorizeError:
        raise
    except Image.DecompressionBombError as error:
        limit = min(max_pixels, 2 * (Image.MAX_IMAGE_PIXELS or max_pixels))
        raise TooLargeError(
            f'the size exceeds the limit of {limit:,} pixels ({SETTING})'
        ) from error
    except Exception as error:  # anyone may have made the file, so any error is possible
        raise ColorizeError(f'cannot be read: {reason_of(error)}') from error


def _unsupported(mode: str) -> UnsupportedError:
    reason = _UNSUPPORTED.get(mode, f'images of mode {mode} are not supported')
    return UnsupportedError(f'{reason}: {ADVICE}')


def _profile_ignored(error: ValueError) -> str:
    return f'its ICC profile was ignored ({first_line(error)})'


def _stored_range(image: Image.Image) -> tuple[int, bool]:
    """Return the full scale of a gray image of more than 8 bits, and whether that value is black.

    Pillow returns the samples of a TIFF file unchanged.

    Raises:
        ColorizeError: if the samples are not unsigned integers of at most 16 bits.
    """
    tags = getattr(image, 'tag_v2', None)
    if tags is None:
        return 65535, False
    kinds = tags.get(_SAMPLE_FORMAT, (1,))
    if 3 in kinds:
        raise _unsupported('F')
    if 2 in kinds:
        raise UnsupportedError(f'images with signed samples are not supported: {ADVICE}')
    if image.mode == 'I':
        raise _unsupported('I')
    bits = max(tags.get(_BITS, (16,)))
    return 2 ** min(bits, 16) - 1, tags.get(_PHOTOMETRIC) == 0


def _orientation(image: Image.Image) -> int:
    try:
        with quiet():
            return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # the photo is usable even if its EXIF data is damaged
        return 1


def _sixteen_bit(
    image: Image.Image, full_scale: int, negative: bool, profile: bytes | None
) -> Pixels:
    """Convert gray of mode 'I;16', or of mode 'I', in which older Pillow opens 16-bit PNG."""
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise _unsupported('I')
    hidden = image.info.get('transparency')
    alpha = None if hidden is None else np.where(values == hidden, 0, 255).astype(np.uint8)
    values = values.astype(np.uint16)
    if full_scale < 65535:
        values = np.round(values * np.float32(65535 / full_scale)).astype(np.uint16)
    if negative:
        values = 65535 - values
    values, remark = _gray_in_srgb(values, profile)
    return Pixels(values, alpha, remark)


def _deep_in_srgb(values: np.ndarray, profile: bytes | None) -> tuple[np.ndarray | None, str]:
    """Return the values in sRGB, or None if only Pillow can apply the profile; and a remark."""
    if not profile:
        return values, ''
    try:
        color = icc.deep_to_srgb(values, profile)
    except ValueError as error:
        return values, _profile_ignored(error)
    return color, '' if color is not None else EIGHT_BITS + _TABLES


def _is_gray_with_profile(values: np.ndarray, profile: bytes | None) -> bool:
    """Return whether RGB values are gray and have a profile for gray.

    Pillow and OpenCV return gray with alpha and 16 bits as color.
    """
    return icc.is_for_gray(profile or b'') and bool((values == values[..., :1]).all())


def _gray_in_srgb(values: np.ndarray, profile: bytes | None) -> tuple[np.ndarray, str]:
    """Return the values in sRGB, and a remark if the profile cannot be used."""
    if not profile:
        return values, ''
    try:
        return icc.gray_to_srgb(values, profile), ''
    except ValueError as error:
        return values, _profile_ignored(error)
