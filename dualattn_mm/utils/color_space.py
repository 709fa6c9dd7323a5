"""Differentiable conversion between sRGB and CIELAB (D65, 2 degree observer) in torch.

Everything is computed in float32 (or float64), also under autocast, because half precision is too
coarse for the powers. The argument of every power is clamped, so gradients are finite at black, at
white and out of gamut.
"""

from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

# IEC 61966-2-1 primaries, with the constants of scikit-image so that results agree.
_XYZ_FROM_RGB = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.95047, 1.0, 1.08883)
# Converts X, Y and Z relative to white to linear RGB.
_RGB_FROM_XYZ = torch.linalg.inv(
    torch.tensor(_XYZ_FROM_RGB, dtype=torch.float64)
    / torch.tensor(_WHITE, dtype=torch.float64)[:, None]
).tolist()
_EPSILON = 0.008856  # CIE threshold: a line replaces the cube root below it
_SLOPE, _OFFSET = 7.787, 16.0 / 116.0
_F_KNEE, _LINEAR_KNEE = 0.2068966, 0.0031308  # thresholds of the inverse, and of sRGB

# Values of ab outside this range are not colors; methods that do not clamp them show artifacts.
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
    """Convert sRGB to linear light, both in [0, 1]."""
    power = ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(rgb > 0.04045, power, rgb / 12.92)


def _compress(xyz: Tensor) -> Tensor:
    """Compute CIELAB's function f."""
    root = xyz.clamp(min=_EPSILON) ** (1 / 3)
    return torch.where(xyz > _EPSILON, root, _SLOPE * xyz + _OFFSET)


# The inverse runs at full resolution. Instead of using `torch.where`, it adds the curve and the
# line, each clamped to a constant on the other side of the threshold: a third of the time.


def _expand(f: Tensor) -> Tensor:
    """Invert `_compress`."""
    knee = _F_KNEE**3 + _OFFSET / _SLOPE
    return f.clamp(min=_F_KNEE) ** 3 - torch.relu(knee - f / _SLOPE)


def _encode(linear: Tensor) -> Tensor:
    """Invert `_decode`, clamped to [0, 1]."""
    power = 1.055 * linear.clamp(min=_LINEAR_KNEE) ** (1 / 2.4) - 0.055
    knee = 1.055 * _LINEAR_KNEE ** (1 / 2.4) - 0.055
    return (power + (12.92 * linear - knee).clamp(max=0)).clamp(0, 1)


def _without_autocast(x: Tensor) -> AbstractContextManager:
    """Disable autocast; the meta device, on which networks are counted, does not have it."""
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
    """Return X, Y and Z relative to white, stacked before the last two axes."""
    fy = (lightness + 16) / 116
    # A strongly negative b would make Z negative. It is clipped, as in scikit-image.
    fz = torch.relu(torch.sub(fy, b, alpha=1 / 200))
    return _expand(torch.stack((torch.add(fy, a, alpha=1 / 500), fy, fz), dim=-3))


def join_lightness(lightness: Tensor, ab: Tensor) -> Tensor:
    """Join lightness and color (eq. 11) and convert them to sRGB.

    Args:
        lightness: (..., 1, H, W), L in [0, 100].
        ab: (..., 2, H, W), CIELAB units, clamped to [-128, 127] here.

    Returns:
        (..., 3, H, W), sRGB in [0, 1], float32 (float64 for float64).
    """
    return lab_to_rgb(torch.cat((lightness, ab.clamp(*AB_LIMITS)), dim=-3))


def gray_of_lightness(lightness: Tensor) -> Tensor:
    """Convert lightness to gray sRGB in [0, 1]: (..., 1, H, W), L in [0, 100], to (..., 3, H, W).

    The result is float32 (float64 for float64), also under autocast.
    """
    return lab_to_rgb(F.pad(lightness, (0, 0, 0, 0, 0, 2)))


def luminance_weights() -> Tensor:
    """Return the weights of linear red, green and blue in the luminance Y, (3,) float32."""
    return torch.tensor(_XYZ_FROM_RGB[1])


@cache
def linear_table(levels: int) -> Tensor:
    """Return the linear light of every value of an sRGB channel, (levels,) float32."""
    return _decode(torch.arange(levels) / (levels - 1))


def lightness_of(luminance: Tensor) -> Tensor:
    """Convert luminance Y in [0, 1] to CIELAB L, the first channel of `rgb_to_lab`; any shape."""
    return 116 * _compress(luminance) - 16


@cache
def encoding_table() -> Tensor:
    """Return the sRGB value for each of 65536 steps of linear light, uint8.

    A step is at most 0.05 of an sRGB value. Therefore one in forty of the darkest pixels, and far
    fewer of all pixels, can differ by one from the nearest value.
    """
    return (_encode((torch.arange(65536) + 0.5) / 65536) * 255 + 0.5).to(torch.uint8)


def join_lightness_to_bytes(lightness: Tensor, ab: Tensor, table: Tensor) -> Tensor:
    """Join lightness and color to images for storing, without gradient.

    Unlike `join_lightness`, which clips each channel, this keeps the luminance of colors outside
    the sRGB gamut. They are mixed in linear light with the gray of the same luminance until they
    are in the gamut.

    Args:
        lightness: (H, W) float32, L in [0, 100].
        ab: (2, H, W) float32, CIELAB units, in [-128, 127].
        table: `encoding_table()`.

    Returns:
        (H, W, 3) uint8, sRGB.
    """
    linear = _linear_in_gamut(lightness, ab)
    steps = (linear.T * len(table)).clamp_(0, len(table) - 1).int()
    return table.index_select(0, steps.flatten()).view(*lightness.shape, 3)


def join_lightness_to_words(lightness: Tensor, ab: Tensor) -> Tensor:
    """Do the same for images with 16 bits per channel, without a table.

    Returns:
        (H, W, 3) int32, sRGB in [0, 65535].
    """
    encoded = _encode(_linear_in_gamut(lightness, ab).T)
    return (encoded * 65535 + 0.5).int().view(*lightness.shape, 3)


def _linear_in_gamut(lightness: Tensor, ab: Tensor) -> Tensor:
    """Return linear RGB (3, N), up to rounding in [0, 1]."""
    xyz = _lab_to_xyz(lightness, *ab).flatten(1)
    linear = ab.new_tensor(_RGB_FROM_XYZ) @ xyz
    least, greatest = linear.aminmax()
    return _into_gamut(linear, xyz[1].clamp(0, 1)) if least < 0 or greatest > 1 else linear


def _into_gamut(linear: Tensor, luminance: Tensor) -> Tensor:
    """Mix linear RGB (3, N) with the gray of its luminance Y (N,) as little as needed."""
    red, green, blue = linear
    least = torch.minimum(torch.minimum(red, green), blue)
    greatest = torch.maximum(torch.maximum(red, green), blue)
    # A channel on the bound stays unchanged, and so does gray, for which both differences are 0.
    tiny = torch.finfo(linear.dtype).tiny
    share = torch.minimum(
        (1 - luminance) / (greatest - luminance).clamp(min=tiny),
        luminance / (luminance - least).clamp(min=tiny),
    ).clamp(max=1)
    return torch.lerp(luminance, linear, share)
