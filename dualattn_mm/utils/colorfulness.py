"""Colorfulness of an image and of a set of images."""

from collections.abc import Iterable

import numpy as np

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
        variant: see `averaged`.

    Returns:
        The mean; 0 if 'colorformer' skips all images.

    Raises:
        ValueError: if the variant is unknown or there is no value.
    """
    values = list(values)
    if not values:
        raise ValueError('cannot compute the mean colorfulness of no images')
    return float(np.mean(averaged(values, variant) or [0.0]))


def averaged(values: Iterable[float], variant: str = 'signed') -> list[float]:
    """Return those values of images whose mean `mean_colorfulness` computes.

    Args:
        values: `colorfulness` of every image.
        variant: 'colorformer' skips images with a value of at most 1, as ColorFormer's script
            does; the other variants use all images.

    Raises:
        ValueError: if the variant is unknown.
    """
    check_variant(variant)
    if variant == 'colorformer':
        return [value for value in values if value > _LEAST_OF_COLORFORMER]
    return list(values)


def check_variant(variant: str) -> None:
    """Raise ValueError unless the variant is one of `VARIANTS`."""
    require(variant in VARIANTS, 'variant', variant, f'one of {VARIANTS}')
