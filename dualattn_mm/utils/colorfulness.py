"""Colorfulness of an image and of a set of images."""

from collections.abc import Iterable

import numpy as np
from PIL import Image

from .checks import require

VARIANTS = ('signed', 'absolute', 'colorformer')
_LEAST_OF_COLORFORMER = 1.0


def colorfulness(image: np.ndarray, variant: str = 'signed') -> float:
    """Compute the colorfulness of an image.

    The definition is eq. 7 (M^(3)) of Hasler and Suesstrunk, "Measuring colourfulness in natural
    images", 2003.

    Args:
        image: (H, W, 3), uint8 sRGB.
        variant: 'signed' uses the differences R - G and (R + G) / 2 - B as they are; this is the
            published definition, which the paper uses. 'absolute' uses their absolute values, as
            the scripts of DDColor and ColorFormer do. Its standard deviation is never larger and
            its mean never smaller, so its figures are not comparable with 'signed'. 'colorformer'
            equals 'absolute' for a single image; see `mean_colorfulness`.

    Returns:
        The colorfulness: 0 is gray, about 15 slightly, 33 moderately, 59 quite and 109 extremely
        colorful.

    Raises:
        ValueError: if the shape, dtype or variant is not as above.
    """
    check_variant(variant)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f'image must be (H, W, 3) uint8, got {image.shape} {image.dtype}')
    red, green, blue = image.astype(np.float64).reshape(-1, 3).T
    rg = red - green
    yb = (red + green) / 2 - blue
    if variant != 'signed':
        rg, yb = np.abs(rg), np.abs(yb)
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))


def mean_colorfulness(values: Iterable[float], variant: str = 'signed') -> float:
    """Compute the CF of a dataset, which is the mean over its images.

    Args:
        values: `colorfulness` of every image.
        variant: 'colorformer' skips images with a value of at most 1, as ColorFormer's script
            does; the other variants use all images.

    Returns:
        The mean; 0 if 'colorformer' skips all images.

    Raises:
        ValueError: if the variant is unknown or there is no value.
    """
    check_variant(variant)
    values = list(values)
    if not values:
        raise ValueError('cannot compute the mean colorfulness of no images')
    if variant == 'colorformer':
        values = [value for value in values if value > _LEAST_OF_COLORFORMER] or [0.0]
    return float(np.mean(values))


def check_variant(variant: str) -> None:
    """Raise ValueError unless the variant is one of `VARIANTS`."""
    require(variant in VARIANTS, 'variant', variant, f'one of {VARIANTS}')


_SAMPLED_FRAMES = 9
_SAMPLED, _AVERAGED = 256, 64  # pixels a side
_LIGHTNESS_LEVELS = 16
_LEAST_SPREAD = 9.0  # noisy toned prints reach 8; 98 of 100 color photos exceed 9


def sampled_frames(length: int) -> list[int]:
    """Return where to look whether a film has color: nine places, evenly over its length.

    A single frame in color counts, since many frames of a film in color are almost gray. The first
    and the last 1/18 are not looked at, so the colored logo of a gray film does not count.
    """
    middles = range(1, 2 * _SAMPLED_FRAMES, 2)
    return sorted({length * middle // (2 * _SAMPLED_FRAMES) for middle in middles})


def has_colors(image: Image.Image) -> bool:
    """Return whether an image is a color photo and not gray or toned (for example sepia).

    A toned print has one color per lightness, and a color photo has many. The test is therefore how
    much the differences R - G and (R + G) / 2 - B vary among pixels of similar lightness.

    Args:
        image: an image of any mode that can be converted to RGB. The time does not depend on its
            size.
    """
    if image.mode.startswith(('1', 'L', 'I', 'F')):
        return False
    if image.mode == 'RGBa':
        image = image.convert('RGBA')
    size = min(_SAMPLED, image.width), min(_SAMPLED, image.height)
    sampled = image.resize(size, Image.Resampling.NEAREST).convert('RGB')
    # Averaging a few pixels removes the noise of a scanner.
    small = sampled.resize((_AVERAGED, _AVERAGED), Image.Resampling.BOX)
    red, green, blue = np.asarray(small, np.float64).reshape(-1, 3).T
    by_lightness = np.argsort(red + green + blue)
    differences = np.stack([red - green, (red + green) / 2 - blue])[:, by_lightness]
    groups = np.array_split(differences, _LIGHTNESS_LEVELS, axis=1)
    spread = np.sqrt(np.mean([group.var(axis=1).sum() for group in groups]))
    return bool(spread > _LEAST_SPREAD)
