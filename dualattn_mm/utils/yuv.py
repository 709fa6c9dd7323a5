"""Read the luma of video frames as gray values, and replace their chroma."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn.functional import avg_pool2d

from .errors import ColorizeError

# ITU-T H.273, table 4: the weights of red and blue in the luma, by the number of the matrix.
_WEIGHTS = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.601
    6: (0.299, 0.114),
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020
}
_RGB, _UNSPECIFIED, _BT709, _BT601 = 0, 2, 1, 6
LIMITED_RANGE, FULL_RANGE = 1, 2  # FFmpeg's numbers
_HD_HEIGHT = 720  # videos of at least this height are in BT.709 if they state no matrix


@dataclass(frozen=True)
class Encoding:
    """The color encoding of the frames of a video.

    Attributes:
        bits: bits per sample.
        full_range: whether black and white are the lowest and the highest value.
        matrix: number of the matrix in ITU-T H.273.
    """

    bits: int
    full_range: bool
    matrix: int

    def luma_range(self) -> tuple[float, float]:
        """Return the values of black and white."""
        if self.full_range:
            return 0, 2**self.bits - 1
        return 16 << (self.bits - 8), 235 << (self.bits - 8)

    def is_usual(self, height: int) -> bool:
        """Return whether it is assumed of a video of this height that does not state it."""
        return not self.full_range and self.matrix == _usual_matrix(height)


def encoding_of(frame: Any, bits: int) -> Encoding:
    """Return the color encoding of a PyAV frame, with the usual defaults for missing values.

    Raises:
        ColorizeError: if the luma of the matrix is not a sum of red, green and blue.
    """
    name, matrix = frame.format.name, frame.colorspace
    full = frame.color_range == FULL_RANGE or name.startswith('yuvj')
    if frame.color_range not in (LIMITED_RANGE, FULL_RANGE):
        full = full or name.startswith(('gray', 'ya')) or frame.format.is_rgb
    if matrix in (_UNSPECIFIED, _RGB):
        matrix = _usual_matrix(frame.height)
    if matrix not in _WEIGHTS:
        raise ColorizeError(f'its color matrix (number {matrix} of ITU-T H.273) is not supported')
    return Encoding(bits, full, matrix)


def _usual_matrix(height: int) -> int:
    return _BT709 if height >= _HD_HEIGHT else _BT601


def plane(frame: Any, index: int) -> np.ndarray:
    """Return a view of one plane of a frame, (height, width) uint8 or uint16."""
    place = frame.planes[index]
    values = np.frombuffer(place, np.uint8).reshape(-1, place.line_size)
    if frame.format.components[0].bits > 8:
        values = values.view('<u2')
    return values[: place.height, : place.width]


def gray_of(frame: Any, encoding: Encoding) -> np.ndarray:
    """Return the luma of a YUV frame as sRGB gray values, (H, W) uint16, where white is 65535."""
    return _gray_table(encoding).take(plane(frame, 0), mode='clip')


@cache
def _gray_table(encoding: Encoding) -> np.ndarray:
    black, white = encoding.luma_range()
    share = (np.arange(2**encoding.bits) - black) / (white - black)
    return np.round(share.clip(0, 1) * 65535).astype(np.uint16)


def at_chroma_size(lightness: Tensor, frame: Any) -> Tensor:
    """Return the mean of (H, W) over the pixels that share a chroma sample."""
    chroma = frame.planes[1]
    cell = (-(-frame.height // chroma.height), -(-frame.width // chroma.width))
    return lightness if cell == (1, 1) else avg_pool2d(lightness[None], cell, ceil_mode=True)[0]


def set_chroma(frame: Any, rgb: np.ndarray, encoding: Encoding) -> None:
    """Replace the chroma of a YUV frame and keep its luma exactly.

    Args:
        frame: a writable frame in planar YUV.
        rgb: (h, w, 3) sRGB at the size of the chroma, uint8 or uint16. Only its color differences
            are used.
        encoding: the color encoding of the frame.
    """
    red, blue = _WEIGHTS[encoding.matrix]
    weights = np.array([red, 1 - red - blue, blue])
    differences = np.eye(3) - weights  # R - Y, G - Y and B - Y
    span = 2**encoding.bits - 1 if encoding.full_range else 224 << (encoding.bits - 8)
    unit = span / np.iinfo(rgb.dtype).max
    matrix = np.stack(
        [differences[2] / (2 - 2 * blue) * unit, differences[0] / (2 - 2 * red) * unit], axis=1
    )
    samples = rgb.astype(np.float32) @ matrix.astype(np.float32)
    samples += (1 << (encoding.bits - 1)) + 0.5
    samples = samples.clip(0, 2**encoding.bits - 1)
    for index in (1, 2):
        plane(frame, index)[:] = samples[..., index - 1]
