"""Pictures of what networks take and give."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .color_space import join_lightness, rgb_to_lab
from .image_io import read_image
from .pixels import to_pixels


def to_picture(image: Tensor) -> Image.Image:
    """A picture of (3, H, W), sRGB in [0, 255] of any dtype."""
    pixels = image.detach().float().round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())


def to_tensor(image: Image.Image) -> Tensor:
    """(3, H, W) uint8 of a picture."""
    return torch.from_numpy(np.array(image.convert('RGB'))).permute(2, 0, 1)


def without_color(image: Tensor) -> Tensor:
    """What a colorizer sees: the CIELAB lightness alone.

    Args:
        image: (3, H, W), sRGB in [0, 255] of any dtype.

    Returns:
        (3, H, W) float32, gray in [0, 255].
    """
    lightness = rgb_to_lab(image[None].float() / 255)[:, :1]
    gray = join_lightness(lightness, lightness.new_zeros(1, 2, *lightness.shape[2:]))
    return 255 * gray[0]


def read_photo(path: Path) -> Tensor:
    """A photo, upright and in sRGB, as (3, H, W) uint8.

    Raises:
        ColorizeError: if it cannot be read.
    """
    color = to_pixels(read_image(path)).color
    if color.dtype == np.uint16:
        color = (color // 257).astype(np.uint8)
    if color.ndim == 2:
        color = np.repeat(color[..., None], 3, axis=2)
    return torch.from_numpy(np.ascontiguousarray(color.transpose(2, 0, 1)))


def squash(image: Tensor, size: int) -> Tensor:
    """Resize (C, H, W) to a square of `size` pixels a side, whatever its shape."""
    from torchvision.transforms.v2.functional import resize

    return resize(image, [size, size], antialias=True)
