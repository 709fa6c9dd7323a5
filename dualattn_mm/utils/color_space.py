"""Differentiable sRGB <-> CIELAB (D65, 2 degree observer) in torch.

Always float32 (float64 stays), also under autocast: half precision cannot hold the powers. Every
power acts on a clamped argument, so gradients are finite at black, white and out of gamut.
"""

from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch
from torch import Tensor

# IEC 61966-2-1 primaries; the same constants as scikit-image, so that results agree.
_XYZ_FROM_RGB = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.95047, 1.0, 1.08883)
# From X, Y and Z relative to white to linear RGB.
_RGB_FROM_XYZ = torch.linalg.inv(
    torch.tensor(_XYZ_FROM_RGB, dtype=torch.float64)
    / torch.tensor(_WHITE, dtype=torch.float64)[:, None]
).tolist()
_EPSILON = 0.008856  # CIE threshold below which the cube root is replaced by a line
_SLOPE, _OFFSET = 7.787, 16.0 / 116.0
_F_KNEE, _LINEAR_KNEE = 0.2068966, 0.0031308  # the same on the way back, and that of sRGB

# ab beyond this is no color: peers that do not clamp it show artefacts.
AB_LIMITS = (-128.0, 127.0)


def _check(image: Tensor, channels: int, name: str) -> Tensor:
    if image.dim() < 3 or image.shape[-3] != channels or not image.is_floating_point():
        raise ValueError(
            f'{name} must be a floating point tensor of shape (..., {channels}, H, W), '
            f'got {tuple(image.shape)} of {image.dtype}'
        )
    return image if image.dtype == torch.float64 else image.float()


def _mix(matrix: Tensor, image: Tensor) -> Tensor:
    """Apply a 3 x 3 matrix to the channel axis of (..., 3, H, W)."""
    return (matrix @ image.flatten(-2)).view(image.shape)


def _decode(rgb: Tensor) -> Tensor:
    """sRGB to linear light, both in [0, 1]."""
    power = ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(rgb > 0.04045, power, rgb / 12.92)


def _compress(xyz: Tensor) -> Tensor:
    """CIELAB's f."""
    root = xyz.clamp(min=_EPSILON) ** (1 / 3)
    return torch.where(xyz > _EPSILON, root, _SLOPE * xyz + _OFFSET)


# The way back is walked at full resolution. There, a curve and the line below its knee are added,
# each held where the other one rules, in a third of the time of `torch.where`.


def _expand(f: Tensor) -> Tensor:
    """The inverse of `_compress`."""
    knee = _F_KNEE**3 + _OFFSET / _SLOPE
    return f.clamp(min=_F_KNEE) ** 3 - torch.relu(knee - f / _SLOPE)


def _encode(linear: Tensor) -> Tensor:
    """The inverse of `_decode`, clamped to [0, 1]."""
    power = 1.055 * linear.clamp(min=_LINEAR_KNEE) ** (1 / 2.4) - 0.055
    knee = 1.055 * _LINEAR_KNEE ** (1 / 2.4) - 0.055
    return (power + (12.92 * linear - knee).clamp(max=0)).clamp(0, 1)


def _without_autocast(x: Tensor) -> AbstractContextManager:
    """The meta device, on which networks are counted, has no autocast to switch off."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Convert sRGB to CIELAB.

    Args:
        rgb: (..., 3, H, W), sRGB in [0, 1].

    Returns:
        (..., 3, H, W), float32 (float64 for float64): L in [0, 100], a and b about [-128, 127].

    Raises:
        ValueError: if the shape or dtype is not as above.
    """
    rgb = _check(rgb, 3, 'rgb')
    with _without_autocast(rgb):
        matrix = rgb.new_tensor(_XYZ_FROM_RGB) / rgb.new_tensor(_WHITE)[:, None]
        fx, fy, fz = _compress(_mix(matrix, _decode(rgb))).unbind(-3)
        return torch.stack((116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)), dim=-3)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Convert CIELAB to sRGB, clamped to [0, 1].

    Args:
        lab: (..., 3, H, W), L in [0, 100], a and b in [-128, 127].

    Returns:
        (..., 3, H, W), sRGB in [0, 1], float32 (float64 for float64). Colors outside the sRGB
        gamut are clipped per channel, as scikit-image does.

    Raises:
        ValueError: if the shape or dtype is not as above.
    """
    lab = _check(lab, 3, 'lab')
    with _without_autocast(lab):
        return _encode(_mix(lab.new_tensor(_RGB_FROM_XYZ), _lab_to_xyz(*lab.unbind(-3))))


def _lab_to_xyz(lightness: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """X, Y and Z relative to white, stacked before the last two axes."""
    fy = (lightness + 16) / 116
    # A strongly negative b would make Z negative: scikit-image clips it, so do we.
    fz = torch.relu(torch.sub(fy, b, alpha=1 / 200))
    return _expand(torch.stack((torch.add(fy, a, alpha=1 / 500), fy, fz), dim=-3))


def join_lightness(lightness: Tensor, ab: Tensor) -> Tensor:
    """Join lightness and color (eq. 11) to sRGB.

    Args:
        lightness: (..., 1, H, W), L in [0, 100].
        ab: (..., 2, H, W), CIELAB units, clamped to [-128, 127] here.

    Returns:
        (..., 3, H, W), sRGB in [0, 1], float32 (float64 for float64).
    """
    return lab_to_rgb(torch.cat((lightness, ab.clamp(*AB_LIMITS)), dim=-3))


def luminance_weights() -> Tensor:
    """(3,) float32: what linear red, green and blue contribute to the luminance Y."""
    return torch.tensor(_XYZ_FROM_RGB[1])


@cache
def linear_table(levels: int) -> Tensor:
    """(levels,) float32: the linear light of every value of an sRGB channel."""
    return _decode(torch.arange(levels) / (levels - 1))


def lightness_of(luminance: Tensor) -> Tensor:
    """CIELAB L of the luminance Y in [0, 1]: the first channel of `rgb_to_lab`, any shape."""
    return 116 * _compress(luminance) - 16


@cache
def encoding_table() -> Tensor:
    """(65536,) uint8: the sRGB value for each step of linear light.

    A step is at most 0.05 of an sRGB value, so that of the darkest pixels one in forty, and of all
    far fewer, may come out a value beside the nearest.
    """
    return (_encode((torch.arange(65536) + 0.5) / 65536) * 255 + 0.5).to(torch.uint8)


def join_lightness_to_bytes(lightness: Tensor, ab: Tensor, table: Tensor) -> Tensor:
    """Join lightness and color to images for storing, without gradient.

    Unlike `join_lightness`, which clips each channel, this keeps the luminance of colors outside
    the sRGB gamut: they are mixed with the gray of their luminance, in linear light, until they lie
    in the gamut.

    Args:
        lightness: (H, W) float32, L in [0, 100].
        ab: (2, H, W) float32, CIELAB units, in [-128, 127].
        table: `encoding_table()`.

    Returns:
        (H, W, 3) uint8, sRGB.
    """
    xyz = _lab_to_xyz(lightness, *ab).flatten(1)
    linear = ab.new_tensor(_RGB_FROM_XYZ) @ xyz
    least, greatest = linear.aminmax()
    if least < 0 or greatest > 1:
        linear = _into_gamut(linear, xyz[1].clamp(0, 1))
    steps = (linear.T * len(table)).clamp_(0, len(table) - 1).int()
    return table.index_select(0, steps.flatten()).view(*lightness.shape, 3)


def _into_gamut(linear: Tensor, luminance: Tensor) -> Tensor:
    """Mix linear RGB (3, N) with the gray of its luminance Y (N,) as little as is needed."""
    red, green, blue = linear
    least = torch.minimum(torch.minimum(red, green), blue)
    greatest = torch.maximum(torch.maximum(red, green), blue)
    # Equal where a channel lies on the bound; gray, for which both differences are 0, stays.
    tiny = torch.finfo(linear.dtype).tiny
    share = torch.minimum(
        (1 - luminance) / (greatest - luminance).clamp(min=tiny),
        luminance / (luminance - least).clamp(min=tiny),
    ).clamp(max=1)
    return torch.lerp(luminance, linear, share)
