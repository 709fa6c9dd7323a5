"""The Color-Attention head (eq. 8-11): learned queries become color kernels."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...utils.checks import require, require_natural
from ..backbones.attention import FeedForward

# Factor on the initial query and key projections of cross-attention. Without it, the logits of a
# thousand pixels differ by only about 0.5, so every query attends to the image mean. All K kernels
# then start almost equal (they differ by 5% of their norm, or by 34% with the factor), and color is
# learned only along a single axis of ab.
_CROSS_ATTENTION_GAIN = 3.0


class ColorAttentionLayer(nn.Module):
    """Self-attention of the queries, cross-attention to the image and feed-forward; post-norm."""

    def __init__(self, dim: int, num_heads: int, feedforward_channels: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(dim, num_heads, batch_first=True)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn = nn.MultiheadAttention(dim, num_heads, batch_first=True)
        with torch.no_grad():
            self.cross_attn.in_proj_weight[: 2 * dim] *= _CROSS_ATTENTION_GAIN
        self.norm2 = nn.LayerNorm(dim)
        self.ffn = FeedForward(dim, feedforward_channels / dim)
        self.norm3 = nn.LayerNorm(dim)

    def forward(self, z: Tensor, queries: Tensor, memory: Tensor) -> Tensor:
        """Refine z (B, K, d) with the queries (1, K, d) and the pixels of the image (B, HW, d)."""
        q = z + queries
        z = self.norm1(z + self.self_attn(q, q, z, need_weights=False)[0])
        # Z_0 is 0, so without adding the queries here all K kernels would stay equal forever.
        q = z + queries
        z = self.norm2(z + self.cross_attn(q, memory, memory, need_weights=False)[0])
        return self.norm3(z + self.ffn(z))


@MODELS.register_module()
class ColorAttention(BaseModule):
    """K learned queries attend to the image and become the kernels that color it (eq. 8-11).

    Args:
        in_channels: d, channels of the map; divisible by `num_heads`.
        num_queries: K (Table IV).
        num_layers: layers of self-attention, cross-attention and feed-forward network.
        num_heads: heads of both attentions.
        feedforward_channels: width of the feed-forward networks.
        upscale: scale factor from the map to the output.
        init_cfg: mmengine's initialization.

    Raises:
        ValueError: if an argument is invalid.
    """

    def __init__(
        self,
        in_channels: int = 256,
        num_queries: int = 64,
        num_layers: int = 6,
        num_heads: int = 8,
        feedforward_channels: int = 1024,
        upscale: int = 4,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        require_natural(
            in_channels=in_channels,
            num_queries=num_queries,
            num_layers=num_layers,
            num_heads=num_heads,
            feedforward_channels=feedforward_channels,
            upscale=upscale,
        )
        require(
            in_channels % num_heads == 0,
            'in_channels',
            in_channels,
            f'divisible by num_heads={num_heads}',
        )
        self.upscale = upscale
        self.queries = nn.Parameter(torch.empty(num_queries, in_channels))
        if not self.queries.is_meta:  # as in init_weights
            nn.init.normal_(self.queries)
        self.layers = nn.ModuleList(
            ColorAttentionLayer(in_channels, num_heads, feedforward_channels)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(in_channels)
        self.to_ab = nn.Conv2d(num_queries, 2 * upscale**2, 3, padding=1)

    def color_kernels(self, x: Tensor) -> Tensor:
        """Attend to a map (B, d, h, w) and return its K color kernels, (B, K, d) (eq. 8 and 9)."""
        memory = x.flatten(2).transpose(1, 2)
        queries = self.queries.unsqueeze(0)
        z = memory.new_zeros(x.shape[0], *self.queries.shape)
        for layer in self.layers:
            z = layer(z, queries, memory)
        return self.norm(z)

    def activations(self, x: Tensor) -> Tensor:
        """Return the response of a map (B, d, h, w) to its kernels, (B, K, h, w) (eq. 10)."""
        kernels = self.color_kernels(x)
        activations = x.permute(0, 2, 3, 1) @ kernels.transpose(1, 2).unsqueeze(1)
        return activations.permute(0, 3, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Predict the color of a map.

        Args:
            x: (B, d, h, w), Z_memory.

        Returns:
            (B, 2, upscale * h, upscale * w), a and b in CIELAB units, unbounded (eq. 10 and 11).
        """
        return F.pixel_shuffle(self.to_ab(self.activations(x)), self.upscale)
