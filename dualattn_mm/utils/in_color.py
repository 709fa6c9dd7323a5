"""Tell photos and films in color from gray and toned ones."""

import numpy as np
from PIL import Image

from .pixels import has_alpha

_SAMPLED_FRAMES = 9
_SAMPLED, _AVERAGED = 256, 64  # pixels a side
_BOX = Image.Resampling.BOX
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
    much the differences R - G and (R + G) / 2 - B vary among pixels of similar lightness. Pixels
    that are fully transparent do not count, because the color stored for them is not seen.

    Args:
        image: an image of any mode that can be converted to RGB. The time does not depend on its
            size.
    """
    if image.mode.startswith(('1', 'L', 'I', 'F')):
        return False
    if image.mode == 'RGBa':
        image = image.convert('RGBA')
    size = min(_SAMPLED, image.width), min(_SAMPLED, image.height)
    mode = 'RGBA' if has_alpha(image) else 'RGB'
    sampled = image.resize(size, Image.Resampling.NEAREST).convert(mode)
    red, green, blue, *alpha = np.moveaxis(np.asarray(sampled, np.float32), -1, 0)
    visible = (alpha[0] > 0).astype(np.float32) if alpha else np.ones_like(red)
    share = _averaged(visible)
    seen = share > 0
    if not seen.any():
        return False
    red, green, blue = (
        _averaged(channel * visible)[seen] / share[seen] for channel in (red, green, blue)
    )
    by_lightness = np.argsort(red + green + blue)
    differences = np.stack([red - green, (red + green) / 2 - blue])[:, by_lightness]
    # If little is visible, a group still has a few pixels that can differ.
    groups = np.array_split(differences, min(_LIGHTNESS_LEVELS, 1 + len(red) // 8), axis=1)
    spread = np.sqrt(np.mean([group.var(axis=1).sum() for group in groups]))
    return bool(spread > _LEAST_SPREAD)


def _averaged(channel: np.ndarray) -> np.ndarray:
    """Average a few pixels at a time, which removes the noise of a scanner."""
    return np.asarray(Image.fromarray(channel).resize((_AVERAGED, _AVERAGED), _BOX))
