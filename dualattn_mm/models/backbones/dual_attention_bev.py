"""DualAttentionBEV: the encoder's blocks in place of SECOND's bird's-eye-view backbone."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...utils.checks import natural_numbers, require, require_natural
from .attention import DualBlock, init_weights


@MODELS.register_module()
class DualAttentionBEV(BaseModule):
    """A drop-in for mmdet3d's SECOND (Sec. IV-G): the same arguments and output shapes.

    Each stage is a strided 3 x 3 convolution with norm and ReLU, as SECOND's, then pairs of
    dilated and channel attention. Outputs have no norm of their own: SECONDFPN normalizes.

    Args:
        in_channels: channels of the bird's-eye-view map.
        out_channels: channels of each stage, multiples of 32.
        layer_nums: SECOND's convolutions per stage; they only set the default of `depths`.
        layer_strides: stride of each stage.
        norm_cfg: norm after the strided convolution (mmcv's config).
        conv_cfg: the strided convolution (mmcv's config).
        depths: pairs per stage; by default one per five of SECOND's layers, at least one.
        init_cfg: mmengine's initialization.

    Raises:
        ValueError: for an argument outside of what is described here.
    """

    window_size = 8
    head_dim = group_dim = 32

    def __init__(
        self,
        in_channels: int = 128,
        out_channels: Sequence[int] = (128, 128, 256),
        layer_nums: Sequence[int] = (3, 5, 5),
        layer_strides: Sequence[int] = (2, 2, 2),
        norm_cfg: Mapping[str, Any] = dict(type='BN', eps=1e-3, momentum=0.01),
        conv_cfg: Mapping[str, Any] = dict(type='Conv2d', bias=False),
        depths: Sequence[int] | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        # A BEV map comes from mmdet3d, which brings mmcv; the rest of this package needs no mmcv.
        from mmcv.cnn import build_conv_layer, build_norm_layer

        require_natural(in_channels=in_channels)
        out_channels = natural_numbers('out_channels', out_channels)
        require(
            all(channels % self.head_dim == 0 for channels in out_channels),
            'out_channels',
            out_channels,
            f'multiples of {self.head_dim}',
        )
        layer_nums = natural_numbers('layer_nums', layer_nums, len(out_channels))
        layer_strides = natural_numbers('layer_strides', layer_strides, len(out_channels))
        if depths is None:
            depths = [max(1, round(num / 5)) for num in layer_nums]
        depths = natural_numbers('depths', depths, len(out_channels))
        self.stages = nn.ModuleList()
        previous = in_channels
        for channels, stride, depth in zip(out_channels, layer_strides, depths, strict=True):
            entry = nn.Sequential(
                build_conv_layer(dict(conv_cfg), previous, channels, 3, stride=stride, padding=1),
                build_norm_layer(dict(norm_cfg), channels)[1],
                nn.ReLU(inplace=True),
            )
            pairs = [
                DualBlock(channels, ('sda', 'fca'), self.window_size, self.head_dim, self.group_dim)
                for _ in range(depth)
            ]
            self.stages.append(nn.ModuleDict({'entry': entry, 'blocks': nn.Sequential(*pairs)}))
            previous = channels
        self.apply(init_weights)
        for stage in self.stages:
            _, blocks = stage.children()
            # torch's type hints lack memory_format
            blocks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map (B, in_channels, H, W) to one (B, out_channels[i], h_i, w_i) per stage."""
        # Only the blocks need channels_last on a GPU: cuDNN's batch norm takes three times as long
        # in it, here and in the neck. A CPU's convolutions gain from it.
        layout = torch.contiguous_format if x.is_cuda else torch.channels_last
        x = x.contiguous(memory_format=layout)
        outs = []
        for stage in self.stages:
            entry, blocks = stage.children()
            x = entry(x).permute(0, 2, 3, 1).contiguous()
            x = blocks(x).permute(0, 3, 1, 2).contiguous(memory_format=layout)
            outs.append(x)
        return tuple(outs)
