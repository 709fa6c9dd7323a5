"""Convert images with an ICC color profile, or with a gamma, to sRGB."""

import importlib
import io
import struct

import numpy as np
from PIL import Image, ImageCms

# Converts linear sRGB to XYZ relative to D50, the white of profiles.
_SRGB_IN_D50 = np.array(
    [
        [0.4360747, 0.3850649, 0.1430804],
        [0.2225045, 0.7168786, 0.0606169],
        [0.0139322, 0.0971045, 0.7141733],
    ]
)
_SRGB_GAMMA = 0.45455  # what PNG files state for sRGB
_LEAST_CHANGE = 0.05  # of a gamma; libpng applies no smaller one
_GAMMAS = 0.1, 5.0  # with any other, almost all pixels would be black or white
# The largest 8-bit difference between equivalent profiles, due to rounding.
_ROUNDING = 1


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Apply the ICC profile of a color image, with Little CMS.

    Args:
        image: an image of mode RGB or CMYK.
        profile: a profile of that color space.

    Returns:
        An RGB image; the image itself if its profile is sRGB up to rounding.

    Raises:
        ValueError: if the profile cannot be read or belongs to another color space.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(
            source, ImageCms.createProfile('sRGB'), image.mode, 'RGB'
        )
        if image.mode == 'RGB' and _is_identity(transform):
            return image
        return transform.apply(image)
    except (ImageCms.PyCMSError, OSError, TypeError) as error:
        raise ValueError(str(error)) from None


def _is_identity(transform: ImageCms.ImageCmsTransform) -> bool:
    """Return whether an RGB transform leaves all grays and a grid of colors unchanged."""
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    grays = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    probe = np.concatenate([grid, grays])
    found = transform.apply(Image.fromarray(probe[None]))
    return bool(np.abs(np.asarray(found)[0].astype(int) - probe).max() <= _ROUNDING)


def is_for_gray(profile: bytes) -> bool:
    """Return whether an ICC profile is one for gray images."""
    return profile[16:20] == b'GRAY'


def gray_to_srgb(values: np.ndarray, profile: bytes) -> np.ndarray:
    """Apply the ICC profile of a gray image.

    The curve of the profile (tag kTRC in ICC.1:2022, 8.4) gives the luminance, which is then
    encoded as sRGB. Little CMS is not used, because Pillow limits it to 8 bits and its results are
    up to ten levels wrong in the shadows.

    Args:
        values: uint8 or uint16, of any shape.
        profile: a profile for gray images.

    Returns:
        An array of the same type and shape.

    Raises:
        ValueError: if the profile cannot be read, or is not a gray profile with a curve.
    """
    try:
        luminance = _gray_luminance(profile, _levels(values))
    except (struct.error, IndexError) as error:
        raise ValueError(f'the profile is cut off ({error})') from None
    return _by_table(values, luminance)


def gamma_to_srgb(values: np.ndarray, gamma: float) -> np.ndarray:
    """Apply the gamma of a PNG file (PNG specification, 11.3.2.2).

    Args:
        values: uint8 or uint16, of any shape.
        gamma: the exponent with which linear light was encoded.

    Returns:
        An array of the same type and shape; `values` if the gamma is that of sRGB, or useless.
    """
    if abs(gamma / _SRGB_GAMMA - 1) < _LEAST_CHANGE or not _GAMMAS[0] <= gamma <= _GAMMAS[1]:
        return values
    return _by_table(values, _levels(values) ** (1 / gamma))


def deep_to_srgb(values: np.ndarray, profile: bytes) -> np.ndarray | None:
    """Apply the ICC profile of an RGB image with 16 bits per channel.

    Curves and a matrix (ICC.1:2022, F.3) give the color, which is then encoded as sRGB. Any other
    profile, such as one of tables, is applied by Little CMS if imagecodecs is installed; Pillow
    limits it to 8 bits.

    Args:
        values: (H, W, 3) uint16.
        profile: the profile.

    Returns:
        An array of the same type and shape; None if it needs imagecodecs, which is not installed.

    Raises:
        ValueError: if the profile cannot be read or belongs to another color space.
    """
    converted = _by_curves_and_matrix(values, profile)
    if converted is not None:
        return converted
    to_srgb(Image.new('RGB', (1, 1)), profile)  # raises the error of a damaged profile
    try:
        imagecodecs = importlib.import_module('imagecodecs')
    except ImportError:
        return None
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
    return imagecodecs.cms_transform(values, profile, srgb, colorspace='rgb', outcolorspace='rgb')


def _by_curves_and_matrix(values: np.ndarray, profile: bytes) -> np.ndarray | None:
    """Return the values in sRGB; None if the profile has other parts or cannot be read."""
    try:
        tags = _tags(profile)
        if profile[16:24] != b'RGB XYZ ' or b'A2B0' in tags:
            return None
        x = np.linspace(0, 1, 65536)
        curves = [_curve(tags[name], x).clip(0, 1) for name in (b'rTRC', b'gTRC', b'bTRC')]
        columns = [struct.unpack('>3i', tags[name][8:20]) for name in (b'rXYZ', b'gXYZ', b'bXYZ')]
    except (struct.error, IndexError, KeyError, ValueError):
        return None
    matrix = np.linalg.inv(_SRGB_IN_D50) @ np.array(columns).T / 65536
    if not all(np.isfinite(curve).all() for curve in curves):
        return None
    result = np.empty_like(values)
    for row, found in zip(values, result, strict=True):
        linear = np.stack([curve[row[:, i]] for i, curve in enumerate(curves)], axis=1) @ matrix.T
        found[:] = np.round(65535 * _encode(linear.clip(0, 1)))
    return result


def _levels(values: np.ndarray) -> np.ndarray:
    """Return all possible values of an array, in [0, 1]."""
    return np.linspace(0, 1, np.iinfo(values.dtype).max + 1)


def _by_table(values: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """Encode values as sRGB, given the linear light in [0, 1] of each of the `_levels`."""
    return np.round(np.iinfo(values.dtype).max * _encode(linear)).astype(values.dtype)[values]


def _encode(linear: np.ndarray) -> np.ndarray:
    """Encode linear light in [0, 1] as sRGB."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _tags(profile: bytes) -> dict[bytes, bytes]:
    """Return the content of every tag of a profile."""
    (count,) = struct.unpack('>I', profile[128:132])
    places = (struct.unpack('>4sII', profile[i : i + 12]) for i in range(132, 132 + 12 * count, 12))
    return {name: profile[at : at + size] for name, at, size in places}


def _gray_luminance(profile: bytes, x: np.ndarray) -> np.ndarray:
    """Return the luminance in [0, 1] of values in [0, 1]."""
    if not is_for_gray(profile):
        raise ValueError('the profile is not a gray profile')
    tags = _tags(profile)
    if b'kTRC' not in tags:
        raise ValueError('the profile has no curve')
    found = _curve(tags[b'kTRC'], x)
    if profile[20:24] == b'Lab ':  # the curve gives the lightness
        above = ((found + 0.16) / 1.16) ** 3
        found = np.where(found > 0.08, above, found / 9.033)
    if not np.isfinite(found).all():
        raise ValueError('the curve of the profile is not finite')
    return found.clip(0, 1)


def _curve(data: bytes, x: np.ndarray) -> np.ndarray:
    """Evaluate a curve of type 'curv' or 'para' (ICC.1:2022, 10.6 and 10.18)."""
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
        raise ValueError('the curve of the profile has an unknown type')
    (kind,) = struct.unpack('>H', data[8:10])
    count = (1, 3, 4, 5, 7)[kind]
    numbers = struct.unpack(f'>{count}i', data[12 : 12 + 4 * count])
    g, a, b, c, d, e, f = [number / 65536 for number in numbers] + [0.0] * (7 - count)
    if kind == 0:
        a, c, d = 1.0, 0.0, 0.0
    elif kind in (1, 2):
        # The second pieces of these two are constant.
        d, e, f, c = (-b / a if a else 0.0), c, c, 0.0
    with np.errstate(all='ignore'):  # values that are not finite are rejected later
        return np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f)
