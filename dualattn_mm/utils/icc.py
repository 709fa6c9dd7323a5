"""ICC color profiles: from what a file's numbers mean to sRGB."""

import io
import struct

import numpy as np
from PIL import Image, ImageCms

# Rounding of two profiles that mean the same, in steps of 8 bits.
_ROUNDING = 1


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Apply the ICC profile of an 8-bit image, with Little CMS.

    Args:
        image: of mode L, RGB or CMYK.
        profile: of that color space.

    Returns:
        An RGB image; the image itself if its profile is sRGB but for rounding.

    Raises:
        ValueError: if the profile cannot be read or is of another color space.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(
            source, ImageCms.createProfile('sRGB'), image.mode, 'RGB'
        )
        if image.mode != 'CMYK' and _is_identity(transform, image.mode):
            return image
        return transform.apply(image)
    except (ImageCms.PyCMSError, OSError, TypeError) as error:
        raise ValueError(str(error)) from None


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a transform to sRGB leaves all grays, and a grid of colors, as they are."""
    grays = np.arange(256, dtype=np.uint8)
    if mode == 'L':
        probe, expected = grays, np.stack([grays] * 3, axis=-1)
    else:
        levels = np.linspace(0, 255, 9).astype(np.uint8)
        grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
        probe = expected = np.concatenate([grid, np.stack([grays] * 3, axis=-1)])
    found = transform.apply(Image.fromarray(probe[None]))
    return np.abs(np.asarray(found)[0].astype(int) - expected).max() <= _ROUNDING


def gray_to_srgb(values: np.ndarray, profile: bytes) -> np.ndarray:
    """Apply the ICC profile of a 16-bit gray image, which Pillow's ImageCms cannot.

    The profile's curve (the tag kTRC of ICC.1:2022, 8.4) gives the luminance, whose sRGB value is
    the result.

    Args:
        values: uint16, of any shape.
        profile: of a gray image.

    Returns:
        uint16, of the same shape.

    Raises:
        ValueError: if the profile cannot be read or is not one of gray with a curve.
    """
    try:
        luminance = _gray_luminance(profile)
    except (struct.error, IndexError) as error:
        raise ValueError(f'the profile is cut off ({error})') from None
    encoded = np.where(
        luminance <= 0.0031308, 12.92 * luminance, 1.055 * luminance ** (1 / 2.4) - 0.055
    )
    return np.round(65535 * encoded).astype(np.uint16)[values]


def _gray_luminance(profile: bytes) -> np.ndarray:
    """The luminance in [0, 1] of each of the 65,536 values."""
    if profile[16:20] != b'GRAY':
        raise ValueError('the profile is not one of gray')
    (count,) = struct.unpack('>I', profile[128:132])
    for i in range(count):
        name, at, size = struct.unpack('>4sII', profile[132 + 12 * i : 144 + 12 * i])
        if name == b'kTRC':
            break
    else:
        raise ValueError('the profile has no curve')
    found = _curve(profile[at : at + size], np.linspace(0, 1, 65536))
    if profile[20:24] == b'Lab ':  # the curve gives the lightness
        above = ((found + 0.16) / 1.16) ** 3
        found = np.where(found > 0.08, above, found / 9.033)
    if not np.isfinite(found).all():
        raise ValueError('the curve of the profile is not finite')
    return found.clip(0, 1)


def _curve(data: bytes, x: np.ndarray) -> np.ndarray:
    """A curve of type 'curv' or 'para' (ICC.1:2022, 10.6 and 10.18)."""
    if data[:4] == b'curv':
        (count,) = struct.unpack('>I', data[8:12])
        if count == 0:
            return x
        points = np.frombuffer(data[12 : 12 + 2 * count], '>u2')
        if len(points) < count:
            raise ValueError('the curve of the profile is cut off')
        if count == 1:
            return x ** (points[0] / 256)
        return np.interp(x, np.linspace(0, 1, count), points / 65535)
    if data[:4] != b'para':
        raise ValueError('the curve of the profile is of an unknown type')
    (kind,) = struct.unpack('>H', data[8:10])
    count = (1, 3, 4, 5, 7)[kind]
    numbers = struct.unpack(f'>{count}i', data[12 : 12 + 4 * count])
    g, a, b, c, d, e, f = [number / 65536 for number in numbers] + [0.0] * (7 - count)
    if kind == 0:
        a, c, d = 1.0, 0.0, 0.0
    elif kind in (1, 2):
        # The second pieces of these two are constant.
        d, e, f, c = (-b / a if a else 0.0), c, c, 0.0
    with np.errstate(all='ignore'):  # what is not finite is refused
        return np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f)
