"""Differentiable sRGB <-> CIELAB (D65, 2 degree observer) in torch.

Always float32 (float64 stays), also under autocast: half precision cannot hold the powers. Every
power acts on a clamped argument, so gradients are finite at black, white and out of gamut.
"""

import torch
from torch import Tensor

# IEC 61966-2-1 primaries; the same constants as scikit-image, so that results agree.
_XYZ_FROM_RGB = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.95047, 1.0, 1.08883)
_EPSILON = 0.008856  # CIE threshold below which the cube root is replaced by a line
_SLOPE, _OFFSET = 7.787, 16.0 / 116.0

# ab beyond this is no colour: peers that do not clamp it show artefacts.
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
    return torch.einsum('ij,...jhw->...ihw', matrix, image)


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
    with torch.autocast(rgb.device.type, enabled=False):
        linear = torch.where(
            rgb > 0.04045, ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4, rgb / 12.92
        )
        matrix = linear.new_tensor(_XYZ_FROM_RGB) / linear.new_tensor(_WHITE)[:, None]
        xyz = _mix(matrix, linear)
        f = torch.where(xyz > _EPSILON, xyz.clamp(min=_EPSILON) ** (1 / 3), _SLOPE * xyz + _OFFSET)
        fx, fy, fz = f.unbind(-3)
        return torch.stack((116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)), dim=-3)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Convert CIELAB to sRGB, clamped to [0, 1].

    Args:
        lab: (..., 3, H, W), L in [0, 100], a and b in [-128, 127].

    Returns:
        (..., 3, H, W), sRGB in [0, 1], float32 (float64 for float64). Colours outside the sRGB
        gamut are clipped per channel, as scikit-image does.

    Raises:
        ValueError: if the shape or dtype is not as above.
    """
    lab = _check(lab, 3, 'lab')
    with torch.autocast(lab.device.type, enabled=False):
        lightness, a, b = lab.unbind(-3)
        fy = (lightness + 16) / 116
        # A strongly negative b would make Z negative: scikit-image clips it, so do we.
        f = torch.stack((fy + a / 500, fy, (fy - b / 200).clamp(min=0)), dim=-3)
        xyz = torch.where(f > 0.2068966, f.clamp(min=0.2068966) ** 3, (f - _OFFSET) / _SLOPE)
        matrix = torch.linalg.inv(lab.new_tensor(_XYZ_FROM_RGB)) * lab.new_tensor(_WHITE)
        linear = _mix(matrix, xyz)
        rgb = torch.where(
            linear > 0.0031308,
            1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055,
            linear * 12.92,
        )
        return rgb.clamp(0, 1)


def join_lightness(lightness: Tensor, ab: Tensor) -> Tensor:
    """Join lightness and colour (eq. 11) to sRGB.

    Args:
        lightness: (..., 1, H, W), L in [0, 100].
        ab: (..., 2, H, W), CIELAB units, clamped to [-128, 127] here.

    Returns:
        (..., 3, H, W), sRGB in [0, 1], float32 (float64 for float64).
    """
    return lab_to_rgb(torch.cat((lightness, ab.clamp(*AB_LIMITS)), dim=-3))
