"""Convert between images and tensors."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .color_space import gray_of_lightness, rgb_to_lab
from .image_io import read_image
from .pixels import to_eight_bits, to_pixels
from .remote import as_local


def to_picture(image: Tensor) -> Image.Image:
    """Convert (3, H, W), sRGB in [0, 255] of any dtype, to an image."""
    pixels = image.detach().float().round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())


def to_tensor(image: Image.Image) -> Tensor:
    """Convert an image to (3, H, W) uint8."""
    return torch.from_numpy(np.array(image.convert('RGB'))).permute(2, 0, 1)


def without_color(image: Tensor) -> Tensor:
    """Keep only the CIELAB lightness of an image, which is what a colorizer sees.

    Args:
        image: (3, H, W), sRGB in [0, 255] of any dtype.

    Returns:
        (3, H, W) float32, gray in [0, 255].
    """
    return 255 * gray_of_lightness(rgb_to_lab(image.float() / 255)[:1])


def read_photo(path: Path) -> Tensor:
    """Read a local photo as (3, H, W) uint8, upright and in sRGB.

    Raises:
        ColorizeError: if it cannot be read.
    """
    color = to_pixels(read_image(as_local(path))).color
    if color.dtype == np.uint16:
        color = to_eight_bits(color)
    if color.ndim == 2:
        color = np.repeat(color[..., None], 3, axis=2)
    return torch.from_numpy(np.ascontiguousarray(color.transpose(2, 0, 1)))


def squash(image: Tensor, size: int) -> Tensor:
    """Resize (C, H, W) to a square with a side of `size` pixels, ignoring the aspect ratio."""
    from torchvision.transforms.v2.functional import resize

    return resize(image, [size, size], antialias=True)
