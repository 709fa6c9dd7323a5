"""DualAttentionBEV: the blocks of the encoder as a replacement for mmdet3d's SECOND backbone."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...utils.checks import natural_numbers, require, require_natural, require_positive
from .attention import DualBlock, init_weights
from .pretrained import require_pretrained_fits


@MODELS.register_module()
class DualAttentionBEV(BaseModule):
    """A drop-in replacement for mmdet3d's SECOND with its arguments and shapes (Sec. IV-G).

    Each stage is a strided 3 x 3 convolution with norm and ReLU, as in SECOND, followed by pairs of
    dilated and channel attention. The outputs are not normalized, because SECONDFPN does that.

    Args:
        in_channels: channels of the bird's-eye-view map.
        out_channels: channels of each stage, multiples of 32.
        layer_nums: number of SECOND's convolutions per stage; it only sets the default of `depths`.
        layer_strides: stride of each stage.
        norm_cfg: mmcv config of the norm after the strided convolution.
        conv_cfg: mmcv config of the strided convolution; None is `nn.Conv2d`.
        init_cfg: mmengine's initialization. A checkpoint that does not fit raises an error.
        pretrained: checkpoint to initialize from. It is deprecated, as in SECOND: use `init_cfg`.
        depths: pairs per stage; the default is one pair per five of SECOND's layers, at least one.
        mlp_ratio: width of the feed-forward networks relative to the channels.
        with_cp: save memory in training with gradient checkpointing, which takes more time.

    Raises:
        ValueError: if an argument is invalid.
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
        conv_cfg: Mapping[str, Any] | None = dict(type='Conv2d', bias=False),
        init_cfg: dict | list[dict] | None = None,
        pretrained: str | None = None,
        depths: Sequence[int] | None = None,
        mlp_ratio: float = 4,
        with_cp: bool = False,
    ) -> None:
        if pretrained is not None:
            require(not init_cfg, 'pretrained', pretrained, 'None if init_cfg is given')
            warnings.warn(
                "pretrained is deprecated; use init_cfg=dict(type='Pretrained', checkpoint=...)",
                FutureWarning,
                stacklevel=2,
            )
            init_cfg = dict(type='Pretrained', checkpoint=pretrained)
        super().__init__(init_cfg)
        # mmcv is imported here, because only mmdet3d users need it, and mmdet3d requires it.
        from mmcv.cnn import build_conv_layer, build_norm_layer

        require_natural(in_channels=in_channels)
        require_positive(mlp_ratio=mlp_ratio)
        require(
            isinstance(norm_cfg, Mapping) and 'type' in norm_cfg,
            'norm_cfg',
            norm_cfg,
            'a dict with a type',
        )
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
                build_conv_layer(
                    conv_cfg and dict(conv_cfg), previous, channels, 3, stride=stride, padding=1
                ),
                build_norm_layer(dict(norm_cfg), channels)[1],
                nn.ReLU(inplace=True),
            )
            pairs = [
                DualBlock(
                    channels,
                    ('sda', 'fca'),
                    self.window_size,
                    self.head_dim,
                    self.group_dim,
                    mlp_ratio=mlp_ratio,
                    with_cp=with_cp,
                )
                for _ in range(depth)
            ]
            self.stages.append(nn.ModuleDict({'entry': entry, 'blocks': nn.Sequential(*pairs)}))
            previous = channels
        self.apply(init_weights)
        for stage in self.stages:
            _, blocks = stage.children()
            # torch's type hints do not have memory_format.
            blocks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map (B, in_channels, H, W) to one (B, out_channels[i], h_i, w_i) per stage."""
        # On a GPU, only the blocks use channels_last: cuDNN's batch norm, here and in the neck,
        # takes three times as long in it. On a CPU, the input keeps its layout, because the map
        # after the first convolution is smaller to convert.
        layout = torch.contiguous_format if x.is_cuda else torch.channels_last
        if x.is_cuda:
            x = x.contiguous()
        outs = []
        for stage in self.stages:
            entry, blocks = stage.children()
            x = entry(x).permute(0, 2, 3, 1).contiguous()
            x = blocks(x).permute(0, 3, 1, 2).contiguous(memory_format=layout)
            outs.append(x)
        return tuple(outs)

    def init_weights(self) -> None:
        """Initialize as `init_cfg` or `pretrained` specifies.

        Raises:
            UserError: if the checkpoint does not fit.
        """
        if not self.is_init:
            require_pretrained_fits(self, self.init_cfg)
        super().init_weights()
