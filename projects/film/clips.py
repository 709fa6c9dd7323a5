"""Make clips with known colors and motion: a camera pans and zooms over photos."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

ZOOM, DRIFT = 0.25, 0.2  # zoom and motion of a shot, relative to the size of the photo
BRIGHTNESS, NOISE = (
    0.02,
    4.0,
)  # standard deviation of the brightness of a frame, and of pixel values (of 255)


@dataclass(frozen=True)
class Frame:
    """A frame with its ground truth.

    Attributes:
        color: (size, size, 3) uint8, the true sRGB.
        gray: (size, size) uint8, the input with noise and a change in brightness.
        before: (size, size, 2) float32, the position (x, y) of each pixel in the previous frame;
            None for the first frame of a shot.
        known: (size, size) bool, the pixels that were visible in the previous frame.
        shown: (size, size) bool, the pixels that the moving object hid in the previous frame;
            ghosts would appear there.
    """

    color: np.ndarray
    gray: np.ndarray
    before: np.ndarray | None
    known: np.ndarray
    shown: np.ndarray


def clip(
    photos: Sequence[np.ndarray], size: int, length: int, rng: np.random.Generator
) -> Iterator[Frame]:
    """Yield the frames of a clip with one shot per photo and cuts between them.

    In every shot, an ellipse with content of the next photo moves over the image.

    Args:
        photos: two or more photos, (H, W, 3) uint8.
        size: side of the frames.
        length: number of frames per shot.
        rng: random number generator for the motion and the noise.
    """
    for index, photo in enumerate(photos):
        yield from _shot(photo, photos[(index + 1) % len(photos)], size, length, rng)


def _shot(
    photo: np.ndarray, other: np.ndarray, size: int, length: int, rng: np.random.Generator
) -> Iterator[Frame]:
    height, width = photo.shape[:2]
    ends = [_view(height, width, size, rng) for _ in range(2)]
    moving = cv2.resize(other, (size, size), interpolation=cv2.INTER_AREA)
    start, speed = rng.uniform(0.2, 0.5, 2) * size, rng.uniform(-0.015, 0.015, 2) * size
    radii = rng.uniform(0.12, 0.2, 2) * size
    y, x = np.mgrid[:size, :size].astype(np.float32)
    grid = np.stack((x, y), axis=-1)
    view = inside = None
    for index in range(length):
        share = index / max(1, length - 1)
        last_view, last_inside = view, inside
        view = (1 - share) * ends[0] + share * ends[1]
        place = start + index * speed
        inside = (((grid - place) / radii) ** 2).sum(-1) < 1
        color = cv2.warpAffine(
            photo, view, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )
        shift = np.float32([[1, 0, place[0] - start[0]], [0, 1, place[1] - start[1]]])
        color[inside] = cv2.warpAffine(moving, shift, (size, size))[inside]
        gray = cv2.cvtColor(color, cv2.COLOR_RGB2GRAY) * rng.normal(1, BRIGHTNESS)
        gray = (gray + rng.normal(0, NOISE, gray.shape)).round().clip(0, 255).astype(np.uint8)
        if last_view is None or last_inside is None:
            nothing = np.zeros_like(inside)
            yield Frame(color, gray, None, nothing, nothing)
            continue
        back = cv2.invertAffineTransform(last_view)
        before = (grid @ view[:, :2].T + view[:, 2]) @ back[:, :2].T + back[:, 2]
        before = np.where(inside[..., None], grid - speed, before).astype(np.float32)
        hidden = cv2.remap(
            last_inside.astype(np.float32), before[..., 0], before[..., 1], cv2.INTER_LINEAR
        )
        within = ((before >= 0) & (before <= size - 1)).all(-1)
        known = within & (hidden == inside)
        yield Frame(color, gray, before, known, within & ~inside & (hidden > 0))


def _view(height: int, width: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return the (2, 3) map from pixels of a frame to those of the central part of the photo."""
    side = min(height, width) * (1 - DRIFT - ZOOM * rng.uniform(0, 1))
    corner = rng.uniform(0, 1, 2) * (np.array([width, height]) - side - 1)
    scale = side / size
    middle = (np.array([width, height]) - side) / 2
    corner = middle + (corner - middle) * 0.5
    return np.array([[scale, 0, corner[0]], [0, scale, corner[1]]])
