"""Convert lightness to the input of an encoder."""

import torch
from torch import Tensor, nn

from ...utils.color_space import gray_of_lightness


class GrayInput(nn.Module):
    """Convert lightness to the units that an encoder expects.

    An encoder whose first convolution has one input channel gets (L - 50) / 50. An encoder for
    color images, with three input channels, gets gray sRGB with ImageNet normalization.

    Args:
        encoder: the encoder.

    Raises:
        ValueError: if the encoder has neither one nor three input channels.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        first = next(m for m in encoder.modules() if isinstance(m, nn.Conv2d))
        if first.in_channels not in (1, 3):
            raise ValueError(
                f'the encoder has {first.in_channels} input channels: it must have 1 (lightness) '
                'or 3 (gray sRGB)'
            )
        self.takes_rgb = first.in_channels == 3
        # ImageNet's mean and standard deviation of sRGB in [0, 1].
        self.register_buffer('mean', torch.tensor((0.485, 0.456, 0.406)), persistent=False)
        self.register_buffer('std', torch.tensor((0.229, 0.224, 0.225)), persistent=False)

    def forward(self, lightness: Tensor) -> Tensor:
        """Map (B, 1, H, W), CIELAB L in [0, 100], to (B, 1 or 3, H, W)."""
        if not self.takes_rgb:
            return (lightness - 50) / 50
        gray = gray_of_lightness(lightness)  # always float32
        return ((gray - self.mean[:, None, None]) / self.std[:, None, None]).to(lightness.dtype)
