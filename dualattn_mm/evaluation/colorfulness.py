"""Colourfulness of an image."""

import numpy as np


def colorfulness(image: np.ndarray) -> float:
    """Hasler and Suesstrunk, "Measuring colourfulness in natural images", 2003, eq. 7 (M^(3)).

    Args:
        image: (H, W, 3), uint8 sRGB.

    Returns:
        0 for gray, about 15 for slightly, 33 moderately, 59 quite, 109 extremely colorful.

    Raises:
        ValueError: if the shape or dtype is not as above.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f'image must be (H, W, 3) uint8, got {image.shape} {image.dtype}')
    red, green, blue = image.astype(np.float64).reshape(-1, 3).T
    rg = red - green
    yb = (red + green) / 2 - blue
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))
