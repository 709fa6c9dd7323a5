"""The encoder DualAttention: a pyramid of dilated and channel attention, linear in image area."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from numbers import Real
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...utils.checks import (
    as_tuple,
    natural_numbers,
    require,
    require_natural,
    require_positive,
)
from ..hub import HubMixin
from ..network_schema import ATTENTION_KINDS, FCA_SCALES
from .attention import (
    DualBlock,
    LayerNorm,
    conv_nhwc,
    gelu_of_temporary,
    init_weights,
    recomputed,
)
from .compilation import has_free_size
from .pretrained import require_pretrained_fits
from .windows import padding


class Stem(nn.Module):
    """Halve the size with two 3 x 3 convolutions without bias, each with LayerNorm and GELU."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=2, padding=1, bias=False)
        self.norm1 = LayerNorm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, ceil(H/2), ceil(W/2), D0)."""
        x = self.conv1(x).permute(0, 2, 3, 1)
        x = recomputed(self._second_conv, x)
        return recomputed(self._second_norm, x)

    def _second_conv(self, x: Tensor) -> Tensor:
        return conv_nhwc(self.conv2, gelu_of_temporary(self.norm1(x), self.norm1))

    def _second_norm(self, x: Tensor) -> Tensor:
        return gelu_of_temporary(self.norm2(x), self.norm2)


class PatchConv2d(nn.Conv2d):
    """A convolution whose kernel size equals its stride, computed as a matrix product.

    In channels_last, a single copy gathers the pixels of each patch. PyTorch's convolutions and
    their gradients take up to twice as long.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W), both sides divisible by the stride, to (B, C', H/s, W/s)."""
        batch, channels, height, width = x.shape
        s = self.stride[0]
        x = x.permute(0, 2, 3, 1)
        if has_free_size(x):
            return super().forward(x.permute(0, 3, 1, 2))
        x = x.view(batch, height // s, s, width // s, s, channels)
        x = x.transpose(2, 3).reshape(batch, height // s, width // s, -1)
        weight = self.weight.permute(0, 2, 3, 1).flatten(1)
        return F.linear(x, weight, self.bias).permute(0, 3, 1, 2)


class Downsample(nn.Module):
    """LayerNorm, then a convolution of stride 2 (3 x 3 before stage 1, otherwise 2 x 2)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.norm = LayerNorm(in_channels)
        self.conv = (
            PatchConv2d(in_channels, out_channels, 2, stride=2)
            if kernel_size == 2
            else nn.Conv2d(in_channels, out_channels, kernel_size, stride=2, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, ceil(H/2), ceil(W/2), D)."""
        x = self.norm(x)
        if self.conv.kernel_size == (2, 2):  # pad an odd side with a zero row or column at its end
            x = F.pad(x, (0, 0, 0, padding(x.shape[2], 2), 0, padding(x.shape[1], 2)))
        return conv_nhwc(self.conv, x)


def _sum_over_rgb(state: dict[str, Tensor], *_: Any) -> None:
    """Convert the weights of an encoder for color images to one for gray images."""
    weight = state.get('stem.conv1.weight')
    if weight is not None and weight.ndim == 4 and weight.shape[1] == 3:
        state['stem.conv1.weight'] = weight.sum(1, keepdim=True)


@MODELS.register_module()
class DualAttention(HubMixin, BaseModule):
    """The encoder of "End-to-End Image Colorization with Multiscale Pyramid Transformer", Sec. III.

    The four stages work at 1/4, 1/8, 1/16 and 1/32 of the image size. Stage i has `depths[i]` pairs
    of half-blocks: separable dilated attention (SDA, eq. 5 and 6) and factorized channel attention
    (FCA, eq. 3 and 4). Time and memory are linear in the image area.

    Args:
        arch: 'tiny', 'small' or 'base', or a dict with `embed_dims` (one per stage), `depths`
            (pairs per stage) and `stem_channels`.
        in_channels: channels of the image.
        window_size: G, tokens per side of a dilated window. No parameter depends on it.
        head_dim: H_d, channels per head of SDA; divides every embed_dim.
        group_dim: M, channels per group of FCA; divides every embed_dim.
        order: the kinds of attention in a pair, any sequence of 'sda', 'fca', 'da', 'ca'. The
            paper uses ('sda', 'fca') for recognition and ('fca', 'sda') for colorization. Weights
            of one order can be loaded into the other.
        mlp_ratio: width of the feed-forward networks relative to C.
        fca_scale: scaling of the logits of channel attention: 'channel' (as in the paper), 'group'
            or 'tokens'; see `ChannelAttention`.
        drop_path_rate: stochastic depth rate of the last half-block; it rises linearly from 0.
        out_indices: stages whose maps are returned, each after its own LayerNorm. Negative numbers
            count from the last stage, which is -1. A single number selects one stage. Later stages
            are neither computed nor trained.
        frozen_stages: -1 freezes nothing, 0 the stem, n the stem and the first n stages (with
            their downsampling and output norms).
        gap_before_final_norm: apply global average pooling before the last output norm, so that
            the last output is (B, C), as a classification head expects.
        with_cp: save memory in training with gradient checkpointing, which takes more time.
        init_cfg: mmengine's initialization, e.g. `dict(type='Pretrained', checkpoint=...,
            prefix='backbone.')`. A checkpoint that does not fit raises an error. With
            in_channels=1, the first weight of a checkpoint for color images is summed over RGB.

    Attributes:
        leaf_modules: the layers that torch.fx takes whole. torchvision's
            `create_feature_extractor` needs them, as
            `tracer_kwargs=dict(leaf_modules=DualAttention.leaf_modules)`.

    Raises:
        ValueError: if an argument is invalid.
    """

    arch_zoo: Mapping[str, dict[str, Any]] = {
        'tiny': dict(embed_dims=(96, 192, 384, 768), depths=(1, 1, 3, 1), stem_channels=64),
        'small': dict(embed_dims=(96, 192, 384, 768), depths=(1, 1, 8, 1), stem_channels=64),
        'base': dict(embed_dims=(128, 256, 512, 1024), depths=(1, 1, 8, 1), stem_channels=128),
    }

    hub_tag = 'image-feature-extraction'

    # What torch.fx must not look into: the layers choose their path by a tensor's type and size.
    leaf_modules: ClassVar[list[type[nn.Module]]] = [Stem, Downsample, DualBlock, LayerNorm]

    def __init__(
        self,
        arch: str | Mapping[str, Any] = 'tiny',
        in_channels: int = 3,
        window_size: int = 7,
        head_dim: int = 32,
        group_dim: int = 32,
        order: Sequence[str] = ('sda', 'fca'),
        mlp_ratio: float = 4,
        fca_scale: str = 'channel',
        drop_path_rate: float = 0.0,
        out_indices: int | Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        gap_before_final_norm: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        embed_dims, depths, stem_channels = self._parse_arch(arch)
        num_stages = len(depths)
        require_natural(
            in_channels=in_channels,
            window_size=window_size,
            head_dim=head_dim,
            group_dim=group_dim,
        )
        for name, value in (('head_dim', head_dim), ('group_dim', group_dim)):
            bad = [dim for dim in embed_dims if dim % value]
            require(not bad, name, value, f'a divisor of every embed_dim, but not of {bad}')
        order = as_tuple('order', order)
        require(
            bool(order) and all(kind in ATTENTION_KINDS for kind in order),
            'order',
            order,
            f'a sequence of kinds from {ATTENTION_KINDS}',
        )
        require_positive(mlp_ratio=mlp_ratio)
        require(fca_scale in FCA_SCALES, 'fca_scale', fca_scale, f'one of {FCA_SCALES}')
        require(
            isinstance(drop_path_rate, Real) and 0 <= drop_path_rate < 1,
            'drop_path_rate',
            drop_path_rate,
            'a number within [0, 1)',
        )
        out_indices = self._counted_from_the_end(out_indices, num_stages)
        require(
            bool(out_indices)
            and all(isinstance(i, int) and 0 <= i < num_stages for i in out_indices)
            and list(out_indices) == sorted(set(out_indices)),
            'out_indices',
            out_indices,
            f'increasing stage numbers from 0 to {num_stages - 1}; -1 is the last',
        )
        require(
            isinstance(frozen_stages, int)
            and not isinstance(frozen_stages, bool)
            and -1 <= frozen_stages <= num_stages,
            'frozen_stages',
            frozen_stages,
            f'an integer from -1 to {num_stages}',
        )
        self.embed_dims = embed_dims
        self.in_channels = in_channels
        self.fca_scale = fca_scale
        self.out_indices = out_indices
        self.frozen_stages = frozen_stages
        self.gap_before_final_norm = gap_before_final_norm

        num_half_blocks = sum(depths) * len(order)
        rates = [drop_path_rate * i / max(1, num_half_blocks - 1) for i in range(num_half_blocks)]
        self.stem = Stem(in_channels, stem_channels)
        self.downsamples = nn.ModuleList()
        self.stages = nn.ModuleList()
        previous = stem_channels
        for i, (dim, depth) in enumerate(zip(embed_dims, depths, strict=True)):
            self.downsamples.append(Downsample(previous, dim, kernel_size=3 if i == 0 else 2))
            blocks = []
            for _ in range(depth):
                block_rates, rates = rates[: len(order)], rates[len(order) :]
                blocks.append(
                    DualBlock(
                        dim,
                        order,
                        window_size,
                        head_dim,
                        group_dim,
                        fca_scale,
                        mlp_ratio,
                        block_rates,
                        with_cp,
                    )
                )
            self.stages.append(nn.ModuleDict({'blocks': nn.Sequential(*blocks)}))
            if i in out_indices:
                self.add_module(f'norm{i}', LayerNorm(dim))
            previous = dim
        self.apply(init_weights)
        if in_channels == 1:
            # The layout of a single-channel image is ambiguous, and this weight decides. The other
            # weights stay contiguous, as FSDP and safetensors require.
            # torch's type hints do not have memory_format.
            self.stem.conv1.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._freeze()

    @staticmethod
    def _counted_from_the_end(out_indices: int | Sequence[int], stages: int) -> tuple[int, ...]:
        if isinstance(out_indices, int):
            out_indices = (out_indices,)
        return tuple(
            i + stages if isinstance(i, int) and -stages <= i < 0 else i
            for i in as_tuple('out_indices', out_indices)
        )

    @classmethod
    def _parse_arch(
        cls, arch: str | Mapping[str, Any]
    ) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        if isinstance(arch, str):
            require(arch in cls.arch_zoo, 'arch', arch, f'one of {tuple(cls.arch_zoo)} or a dict')
            arch = cls.arch_zoo[arch]
        keys = {'embed_dims', 'depths', 'stem_channels'}
        require(
            isinstance(arch, Mapping) and set(arch) == keys,
            'arch',
            arch,
            f'one of {tuple(cls.arch_zoo)} or a dict with exactly the keys {sorted(keys)}',
        )
        embed_dims = natural_numbers("arch['embed_dims']", arch['embed_dims'])
        depths = natural_numbers("arch['depths']", arch['depths'], length=len(embed_dims))
        require_natural(**{"arch['stem_channels']": arch['stem_channels']})
        return embed_dims, depths, arch['stem_channels']

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Encode an image.

        Args:
            x: (B, in_channels, H, W), of any size.

        Returns:
            One map (B, embed_dims[i], ceil(H / 2^(i+2)), ceil(W / 2^(i+2))) for each i in
            `out_indices`, in the channels_last memory format. With `gap_before_final_norm` the
            last output is (B, embed_dims[-1]).
        """
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        outs = []
        for i in range(self.out_indices[-1] + 1):
            x = self.downsamples[i](x)  # a separate statement, so that the larger map is freed
            for blocks in self.stages[i].children():  # torch 2.1 cannot compile unpacking it
                x = blocks(x)
            if i not in self.out_indices:
                continue
            norm = getattr(self, f'norm{i}')
            if self.gap_before_final_norm and i == self.out_indices[-1]:
                outs.append(norm(x.mean(dim=(1, 2))))
            else:
                outs.append(norm(x).permute(0, 3, 1, 2))
        return tuple(outs)

    def init_weights(self) -> None:
        """Initialize as `init_cfg` specifies.

        Raises:
            UserError: if the checkpoint does not fit, or states another `fca_scale`. Output norms
                may be missing in it or be unused, because tasks differ in `out_indices`.
        """
        gray = self.in_channels == 1
        if not self.is_init:
            convert = _sum_over_rgb if gray else None
            require_pretrained_fits(
                self, self.init_cfg, r'norm\d', convert, fca_scale=self.fca_scale
            )
        with self._register_load_state_dict_pre_hook(_sum_over_rgb) if gray else nullcontext():
            super().init_weights()

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Return the layer of a parameter, for mmpretrain's layer-wise learning rate decay.

        The layers are the stem, each half-block (12 in the tiny network, as in Swin-T), and a last
        layer for the output norms and the head. The downsampling of a stage belongs to its first
        half-block.

        Args:
            param_name: name of the parameter in the whole model.
            prefix: prefix of the parameter names of this backbone.

        Returns:
            The layer, 0 for the stem, and the number of layers.
        """
        depth, layers = 0, {'stem.': 0}
        for i, stage in enumerate(self.stages):
            layers[f'downsamples.{i}.'] = depth + 1
            [blocks] = stage.children()
            for j, block in enumerate(blocks.children()):
                for kind, _ in block.named_children():
                    depth += 1
                    layers[f'stages.{i}.blocks.{j}.{kind}.'] = depth
        last = depth + 1
        if not param_name.startswith(prefix):
            return last, last + 1
        name = param_name[len(prefix) :]
        return next((n for start, n in layers.items() if name.startswith(start)), last), last + 1

    def train(self, mode: bool = True) -> 'DualAttention':
        """Set the mode, but keep frozen parts in evaluation mode."""
        super().train(mode)
        self._freeze()
        return self

    def _freeze(self) -> None:
        # Otherwise DDP waits for gradients of stages that are not computed.
        unused = self.out_indices[-1] + 1
        for module in (*self.downsamples[unused:], *self.stages[unused:]):
            module.requires_grad_(False)
        if self.frozen_stages < 0:
            return
        frozen: list[nn.Module] = [self.stem]
        for i in range(self.frozen_stages):
            frozen += [self.downsamples[i], self.stages[i]]
            if i in self.out_indices:
                frozen.append(getattr(self, f'norm{i}'))
        for module in frozen:
            module.eval().requires_grad_(False)
