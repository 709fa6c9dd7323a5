"""The two kinds of attention in the paper, and the half-block around them.

Every map here is a contiguous (B, H, W, C) tensor, which is NCHW in the channels_last memory
format. Linear, LayerNorm and the depthwise convolution therefore run on their fast paths, and no
copies are needed between them.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .channels import (
    channel_attention_of_any_size,
    channel_logits,
    channel_weights,
    factor_of_queries,
    mix_channels,
    split_groups,
)
from .compilation import has_free_size, is_compiling
from .windows import (
    attend,
    attention_of_any_size,
    dilated_partition,
    dilated_reverse,
    key_mask,
    padding,
)

# Maps with at least this many elements are processed in pieces on a CPU, so that a piece fits in
# the cache. They take 32 MiB in float32; above this size, glibc also requests new memory from the
# system for each map, which the system has to clear.
LARGE_MAP = 2**23
TOKENS_PER_THREAD = 1024
# Bands of a map are larger, because one row at each end is projected twice.
BAND_TOKENS_PER_THREAD = 8 * TOKENS_PER_THREAD


def conv_nhwc(conv: nn.Module, x: Tensor) -> Tensor:
    """Apply an NCHW module to an NHWC map without a copy (both ends are channels_last)."""
    return conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def gelu_of_temporary(x: Tensor, source: nn.Module) -> Tensor:
    """Apply exact GELU to the output of a module; in place if neither gradients nor hooks need it.

    The hidden maps are the largest tensors of the network. A second one would slow down inference
    by 5%.
    """
    if torch.is_grad_enabled() or is_compiling() or source._forward_hooks:
        return F.gelu(x)
    return torch.ops.aten.gelu_(x)


def recomputed(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply cheap operations and then one layer, and save only x for the backward pass.

    The backward pass repeats the cheap operations. It stops at the layer, which needs only its
    input (`early_stop`, the default of torch's checkpointing). A compiler makes this choice itself.
    """
    if not torch.is_grad_enabled() or is_compiling():
        return function(x)
    return checkpoint(function, x, use_reentrant=False, preserve_rng_state=False)


def runs_in_pieces(x: Tensor) -> bool:
    """Return whether to process a map in pieces: on a CPU if no gradient is needed.

    Pieces stay in the cache and their temporary tensors are small. On a GPU, and for a compiler, a
    single call on the whole map is best.
    """
    return not (
        x.device.type != 'cpu'
        or torch.is_grad_enabled()
        or is_compiling()
        or torch.jit.is_tracing()
    )


class LayerNorm(nn.LayerNorm):
    """torch's LayerNorm, but under autocast its result has the type of its input.

    Under autocast, torch's own layer returns float32. It reads a float32 copy of its input, and the
    next layer makes another copy in half precision. The statistics are float32 in both cases, and
    the input of the next layer is rounded once.

    eps is torch's default, 1e-5, and is not read from the module: with dynamic sizes,
    `torch.compile` takes float attributes for inputs first, and then traces the network again.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., C) to (..., C)."""
        if x.dtype not in (torch.float16, torch.bfloat16):
            return F.layer_norm(x, self.normalized_shape, self.weight, self.bias)
        with torch.autocast(x.device.type, enabled=False):
            weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
            return F.layer_norm(x, self.normalized_shape, weight, bias)


class _Attention(nn.Module):
    """The projections shared by all kinds of attention.

    Args:
        dim: channels C.
        separable: whether a depthwise 3 x 3 convolution over the whole map follows the pointwise
            projection. True gives the paper's separable QKV, False the traditional attention of
            Table III.
    """

    def __init__(self, dim: int, separable: bool) -> None:
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)
        self.dwconv = (
            nn.Conv2d(3 * dim, 3 * dim, 3, padding=1, groups=3 * dim) if separable else None
        )
        self.proj = nn.Linear(dim, dim)

    def project_qkv(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to concatenated q, k and v: (B, H, W, 3C)."""
        qkv = self.qkv(x)
        return qkv if self.dwconv is None else conv_nhwc(self.dwconv, qkv)

    def in_bands(self, x: Tensor) -> bool:
        """Return whether q, k and v of an image (B, H, W, C) are too large to compute at once."""
        return runs_in_pieces(x) and 3 * x[0].numel() >= LARGE_MAP

    def qkv_bands(self, x: Tensor, rows: int) -> Iterator[Tensor]:
        """Yield bands of `project_qkv(x)` from top to bottom, each (B, rows, W, 3C)."""
        height, reach = x.shape[1], 0 if self.dwconv is None else 1
        for top in range(0, height, rows):
            first, last = max(top - reach, 0), min(top + rows + reach, height)
            yield self.project_qkv(x[:, first:last])[:, top - first :][:, :rows]


class DilatedAttention(_Attention):
    """Separable dilated attention, SDA (eq. 5 and 6); with `separable=False` the traditional DA.

    If G does not divide the size, the map is zero-padded at the bottom and right after the
    projection, and the padded keys are masked. The result is therefore attention over strided
    slices of the unpadded map.

    Args:
        dim: channels C, a multiple of `head_dim`.
        window_size: G, tokens per side of a window.
        head_dim: H_d, channels per head; the scale is H_d^-0.5.
        separable: as in `_Attention`.
    """

    def __init__(self, dim: int, window_size: int, head_dim: int, separable: bool = True) -> None:
        super().__init__(dim, separable)
        self.window_size = window_size
        self.head_dim = head_dim

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        _, height, width, _ = x.shape
        g = self.window_size
        if has_free_size(x):
            return self.proj(attention_of_any_size(self.project_qkv(x), g, self.head_dim))
        # Nested calls, so that each large map is freed as soon as the next one is computed.
        out = attend(self._windows(x), key_mask(x, g), self.head_dim)
        return self.proj(dilated_reverse(out, g, height, width))

    def _windows(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to q, k and v in windows: (B, windows, G * G, 3C)."""
        if self.in_bands(x):
            return self._windows_by_bands(x)
        return dilated_partition(self.project_qkv(x), self.window_size)

    def _windows_by_bands(self, x: Tensor) -> Tensor:
        """Do the same in bands; a band holds the same row of all windows."""
        batch, height, width, _ = x.shape
        g = self.window_size
        pad_h, pad_w = padding(height, g), padding(width, g)
        down, right = (height + pad_h) // g, (width + pad_w) // g
        windows = x
        for i, band in enumerate(self.qkv_bands(x, down)):
            if i == 0:  # under autocast, the type can differ from that of x
                windows = band.new_empty(batch, down, right, g, g, band.shape[-1])
            if pad_w or len(band[0]) < down:
                band = F.pad(band, (0, 0, 0, pad_w, 0, down - len(band[0])))
            windows[:, :, :, i] = band.view(batch, down, g, right, -1).transpose(2, 3)
        windows[:, :, :, i + 1 :] = 0  # only padding
        return windows.view(batch, down * right, g * g, -1)


class ChannelAttention(_Attention):
    """Factorized channel attention, FCA (eq. 3 and 4); `separable=False` is the traditional CA.

    The C channels form C / M groups. In each group, an M x M map that is summed over all pixels
    mixes the channels of v.

    Args:
        dim: channels C, a multiple of `group_dim`.
        group_dim: M, channels per group.
        scale: factor on q: 'channel' (C^-0.5, as printed in the paper), 'group' (M^-0.5) or
            'tokens' ((HW)^-0.5, so that the logits do not grow with the image).
        separable: as in `_Attention`.
    """

    def __init__(
        self, dim: int, group_dim: int, scale: str = 'channel', separable: bool = True
    ) -> None:
        super().__init__(dim, separable)
        self.group_dim = group_dim
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        if self.in_bands(x):
            parts = [part for image in x.split(1) for part in self._mix_by_bands(image)]
            return self.proj(torch.cat(parts).view(x.shape))
        qkv = self.project_qkv(x)
        options = self.group_dim, self.scale
        if has_free_size(x):
            return self.proj(channel_attention_of_any_size(qkv, *options))
        if not runs_in_pieces(x) or len(x) == 1:
            return self.proj(mix_channels(qkv, *options).reshape(x.shape))
        # q, k and v of a single image are views, so only the result is copied.
        mixed = torch.empty_like(x, dtype=qkv.dtype)
        for image, result in zip(qkv.split(1), mixed.split(1), strict=True):
            out = mix_channels(image, *options)
            result.view(out.shape).copy_(out)
        return self.proj(mixed)

    def _mix_by_bands(self, image: Tensor) -> list[Tensor]:
        """Mix the channels of one image (1, H, W, C), in parts of (tokens, C)."""
        _, height, width, channels = image.shape
        rows = max(1, BAND_TOKENS_PER_THREAD * torch.get_num_threads() // width)
        factor = factor_of_queries(self.scale, channels, self.group_dim, height * width)
        logits, values = image.new_zeros(()), []
        for band in self.qkv_bands(image, rows):
            q, k, v = split_groups(band, self.group_dim)
            logits = logits + channel_logits(q, k, factor)
            values.append(v.contiguous())
        weights = channel_weights(logits, values[0].dtype)
        weights = weights.transpose(1, 2)
        return [torch.bmm(v, weights).transpose(0, 1).reshape(-1, channels) for v in values]


class FeedForward(nn.Module):
    """Linear from C to ratio * C channels, GELU, and Linear back to C."""

    def __init__(self, dim: int, ratio: float) -> None:
        super().__init__()
        hidden = round(dim * ratio)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return recomputed(self._activate_and_project, self.fc1(x))

    def _activate_and_project(self, x: Tensor) -> Tensor:
        return self.fc2(gelu_of_temporary(x, self.fc1))


class DropPath(nn.Module):
    """Stochastic depth per sample (Huang et al., 2016); the identity in evaluation mode."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        return x * (x.new_empty(x.shape[0], *[1] * (x.dim() - 1)).bernoulli_(keep) / keep)

    def extra_repr(self) -> str:
        return f'rate={self.rate:.3f}'


class HalfBlock(nn.Module):
    """One attention and one feed-forward network, both pre-norm and residual.

    Args:
        dim: channels C.
        attn: the attention, from (B, H, W, C) to the same shape.
        mlp_ratio: width of the feed-forward network relative to C.
        drop_path_rate: rate of stochastic depth on both residuals.
        with_cp: save memory in training with gradient checkpointing, which takes more time.
    """

    def __init__(
        self,
        dim: int,
        attn: nn.Module,
        mlp_ratio: float = 4.0,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        self.norm1 = LayerNorm(dim)
        self.attn = attn
        self.norm2 = LayerNorm(dim)
        self.ffn = FeedForward(dim, mlp_ratio)
        self.drop_path = DropPath(drop_path_rate)
        self.with_cp = with_cp

    def forward(self, x: Tensor) -> Tensor:
        if self.with_cp and self.training and torch.is_grad_enabled():
            return checkpoint(self._forward, x, use_reentrant=False)
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x)))
        if not self._in_pieces(x):
            return x + self.drop_path(self.ffn(self.norm2(x.flatten(0, -2))).view(x.shape))
        # The sum above is used nowhere else, so it can be overwritten.
        tokens = x.flatten(0, -2)
        for piece in tokens.split(TOKENS_PER_THREAD * torch.get_num_threads()):
            piece.add_(self.ffn(self.norm2(piece)))
        return tokens.view(x.shape)

    def _in_pieces(self, x: Tensor) -> bool:
        """Return whether the hidden map of the feed-forward network is too large to stay whole."""
        if self.training or not runs_in_pieces(x):
            return False
        return x[..., 0].numel() * self.ffn.fc1.out_features >= LARGE_MAP


class DualBlock(nn.Sequential):
    """One unit of depth: one half-block per kind of attention in `order`, named after the kind.

    Args:
        dim: channels C.
        order: kinds of attention: 'sda', 'fca', or the traditional 'da', 'ca' (Table III). The
            name of a repeated kind gets a number ('fca', 'fca2').
        window_size: G of the dilated kinds.
        head_dim: H_d of the dilated kinds.
        group_dim: M of 'fca'; 'ca' has a single group.
        fca_scale: see `ChannelAttention`.
        mlp_ratio: see `HalfBlock`.
        drop_path_rates: one rate per half-block.
        with_cp: see `HalfBlock`.
    """

    def __init__(
        self,
        dim: int,
        order: Sequence[str],
        window_size: int,
        head_dim: int,
        group_dim: int,
        fca_scale: str = 'channel',
        mlp_ratio: float = 4.0,
        drop_path_rates: Sequence[float] = (0.0, 0.0),
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        build: dict[str, Callable[[], nn.Module]] = {
            'sda': lambda: DilatedAttention(dim, window_size, head_dim),
            'da': lambda: DilatedAttention(dim, window_size, head_dim, separable=False),
            'fca': lambda: ChannelAttention(dim, group_dim, fca_scale),
            'ca': lambda: ChannelAttention(dim, dim, fca_scale, separable=False),
        }
        for i, (kind, rate) in enumerate(zip(order, drop_path_rates, strict=True)):
            nth = order[: i + 1].count(kind)
            name = kind if nth == 1 else f'{kind}{nth}'
            self.add_module(name, HalfBlock(dim, build[kind](), mlp_ratio, rate, with_cp))


def init_weights(module: nn.Module) -> None:
    """Initialize Linear layers with a truncated normal of 0.02 and bias 0, which we chose.

    All other layers keep PyTorch's default.
    """
    # Tensors without memory have no values, and torch imports its compiler to draw some for them.
    if isinstance(module, nn.Linear) and not module.weight.is_meta:
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
