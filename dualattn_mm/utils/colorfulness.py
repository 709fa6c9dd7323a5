"""Colorfulness of an image and of a set of images."""

from collections.abc import Iterable

import numpy as np
from PIL import Image

VARIANTS = ('signed', 'absolute', 'colorformer')
_LEAST_OF_COLORFORMER = 1.0


def colorfulness(image: np.ndarray, variant: str = 'signed') -> float:
    """Hasler and Suesstrunk, "Measuring colourfulness in natural images", 2003, eq. 7 (M^(3)).

    Args:
        image: (H, W, 3), uint8 sRGB.
        variant: 'signed' takes the differences R - G and (R + G) / 2 - B as they are, which is the
            published definition and that of the paper's figures. 'absolute' takes their absolute
            values, as the scripts of DDColor and ColorFormer do; it is never larger in the spread
            and never smaller in the mean, so its figures cannot be compared with the former.
            'colorformer' is 'absolute' for one image; see `mean_colorfulness`.

    Returns:
        0 for gray, about 15 for slightly, 33 moderately, 59 quite, 109 extremely colorful.

    Raises:
        ValueError: if the shape or dtype is not as above, or for another variant.
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
    """CF of a data set: the mean over its images.

    Args:
        values: `colorfulness` of every image.
        variant: 'colorformer' leaves images of at most 1 out, as ColorFormer's script does; the
            others leave none out.

    Returns:
        The mean; 0 if 'colorformer' leaves no image.

    Raises:
        ValueError: for another variant, or if there is no value.
    """
    check_variant(variant)
    values = list(values)
    if not values:
        raise ValueError('there is no image to take the mean of')
    if variant == 'colorformer':
        values = [value for value in values if value > _LEAST_OF_COLORFORMER] or [0.0]
    return float(np.mean(values))


def check_variant(variant: str) -> None:
    """Raise ValueError for a variant that is none of `VARIANTS`."""
    if variant not in VARIANTS:
        raise ValueError(f'variant={variant!r} is not possible: it must be one of {VARIANTS}')


_SAMPLED, _AVERAGED = 256, 64  # pixels a side
_LIGHTNESS_LEVELS = 16
_LEAST_SPREAD = 9.0  # noisy toned prints have up to 8, 98 of 100 color photos have more than 9


def has_colors(image: Image.Image) -> bool:
    """Whether an image is a color photo; gray ones and toned ones, as sepia, are not.

    A toned print has one color per lightness, and a color photo has many. So what counts is how far
    the differences R - G and (R + G) / 2 - B spread among pixels of one lightness.

    Args:
        image: of any mode that can be converted to RGB, and of any size, which costs no time.
    """
    if image.mode.startswith(('1', 'L', 'I', 'F')):
        return False
    if image.mode == 'RGBa':
        image = image.convert('RGBA')
    size = min(_SAMPLED, image.width), min(_SAMPLED, image.height)
    sampled = image.resize(size, Image.Resampling.NEAREST).convert('RGB')
    # The mean of some pixels, in which the noise of a scanner disappears.
    small = sampled.resize((_AVERAGED, _AVERAGED), Image.Resampling.BOX)
    red, green, blue = np.asarray(small, np.float64).reshape(-1, 3).T
    by_lightness = np.argsort(red + green + blue)
    differences = np.stack([red - green, (red + green) / 2 - blue])[:, by_lightness]
    groups = np.array_split(differences, _LIGHTNESS_LEVELS, axis=1)
    spread = np.sqrt(np.mean([group.var(axis=1).sum() for group in groups]))
    return bool(spread > _LEAST_SPREAD)
