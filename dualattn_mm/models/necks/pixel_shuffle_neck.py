"""The upsampling neck of the colorizer (eq. 7)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...utils.checks import natural_numbers, require
from ..backbones.attention import LayerNorm, conv_nhwc, gelu_of_temporary


def icnr_(weight: Tensor, upscale: int) -> Tensor:
    """Initialize a convolution before a pixel shuffle as nearest-neighbor upsampling.

    The upscale^2 filters of an output channel become equal, which avoids checkerboard artifacts
    (Aitken et al., "Checkerboard artifact free sub-pixel convolution", 2017).
    """
    if weight.is_meta:  # as in init_weights
        return weight
    with torch.no_grad():
        first = torch.empty_like(weight[:: upscale**2])
        nn.init.kaiming_uniform_(first, a=5**0.5)
        return weight.copy_(first.repeat_interleave(upscale**2, dim=0))


class UpsampleStep(nn.Module):
    """Double the size by pixel shuffle, then join the encoder map of that size."""

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(in_channels, 4 * out_channels, 3, padding=1)
        self.norm1 = LayerNorm(out_channels)
        self.fuse = nn.Conv2d(out_channels + skip_channels, out_channels, 3, padding=1)
        self.norm2 = LayerNorm(out_channels)
        icnr_(self.expand.weight, 2)
        nn.init.zeros_(self.expand.get_parameter('bias'))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map (B, h, w, C) and a skip of (B, 2h, 2w, S) to (B, 2h, 2w, out_channels)."""
        x = F.pixel_shuffle(self.expand(x.permute(0, 3, 1, 2)), 2).permute(0, 2, 3, 1)
        x = gelu_of_temporary(self.norm1(x), self.norm1)
        x = self.norm2(conv_nhwc(self.fuse, torch.cat((x, skip), dim=-1)))
        return gelu_of_temporary(x, self.norm2)


@MODELS.register_module()
class PixelShuffleNeck(BaseModule):
    """Upsample the pyramid of the encoder to its finest map (Z_memory in eq. 7).

    Args:
        in_channels: channels of the encoder maps, from fine to coarse.
        out_channels: channels after each upsampling step; one entry fewer than `in_channels`.
        init_cfg: mmengine's initialization.

    Raises:
        ValueError: if an argument is invalid.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (96, 192, 384, 768),
        out_channels: Sequence[int] = (384, 256, 256),
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        in_channels = natural_numbers('in_channels', in_channels)
        out_channels = natural_numbers('out_channels', out_channels)
        require(
            len(out_channels) == len(in_channels) - 1,
            'out_channels',
            out_channels,
            f'one entry shorter than in_channels={in_channels}',
        )
        *skips, channels = in_channels
        self.steps = nn.ModuleList()
        for skip, width in zip(reversed(skips), out_channels, strict=True):
            self.steps.append(UpsampleStep(channels, skip, width))
            channels = width

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Join the encoder maps.

        Args:
            maps: (B, in_channels[i], H / 2^i, W / 2^i), from fine to coarse.

        Returns:
            (B, out_channels[-1], H, W), channels_last.
        """
        maps = [m.permute(0, 2, 3, 1) for m in maps]
        x = maps.pop()
        for step in self.steps:
            x = step(x, maps.pop())
        return x.permute(0, 3, 1, 2)
