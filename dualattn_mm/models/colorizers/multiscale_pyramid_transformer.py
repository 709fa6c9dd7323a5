"""The colorizing network: lightness in, color out."""

import math
from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor

from ...utils.checks import require, require_natural
from .gray_input import GrayInput

# The paper's network (Sec. III); a config states only what differs.
ENCODER = dict(
    type='DualAttention',
    arch='tiny',
    in_channels=1,
    window_size=8,
    head_dim=24,
    group_dim=24,
    order=('fca', 'sda'),
)
NECK = dict(type='PixelShuffleNeck')
HEAD = dict(type='ColorAttention')


@MODELS.register_module()
class MultiscalePyramidTransformer(BaseModule):
    """DualAttention encoder, pixel-shuffle neck and Color-Attention head (Fig. 2).

    `dict(type='MultiscalePyramidTransformer', num_queries=64)` is the paper's network, of
    55,092,032 parameters.

    Args:
        encoder: config of the encoder, with maps from 1/4 to 1/32. One whose first convolution
            takes three channels gets the lightness as gray sRGB, ImageNet-normalized. Without a
            type it says what differs from the paper's, as do `neck` and `head`.
        neck: config of the neck.
        head: config of the head, without `num_queries`.
        num_queries: K, the number of color queries (Table IV); None for a head that has none.
        image_size: side of the square images that the weights are trained on (Sec. IV-A). Any size
            is taken, but the channel attention's logits grow with it, so this one serves best;
            `ColorizationPipeline` takes it unless told otherwise.
        saturation: factor on the colors that suits the weights, which the pipeline takes likewise.
            The network's own output has none of it.
        init_cfg: mmengine's initialization.

    Raises:
        ValueError: if the encoder takes neither one nor three channels, or for an argument outside
            of what is described here.
    """

    def __init__(
        self,
        encoder: Mapping[str, Any] = ENCODER,
        neck: Mapping[str, Any] = NECK,
        head: Mapping[str, Any] = HEAD,
        num_queries: int | None = 64,
        image_size: int = 256,
        saturation: float = 1.0,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        require_natural(image_size=image_size)
        require(
            'num_queries' not in head, 'head', dict(head), 'without num_queries: pass it beside'
        )
        require(0 <= saturation < math.inf, 'saturation', saturation, 'a finite number, 0 or more')
        self.image_size = image_size
        self.saturation = saturation
        self.encoder = MODELS.build(merge_defaults(ENCODER, encoder))
        self.neck = MODELS.build(merge_defaults(NECK, neck))
        queries = {} if num_queries is None else dict(num_queries=num_queries)
        self.head = MODELS.build(merge_defaults(HEAD, dict(head, **queries)))
        self.gray_input = GrayInput(self.encoder)

    def forward(self, lightness: Tensor) -> Tensor:
        """Predict color.

        Args:
            lightness: (B, 1, H, W), CIELAB L in [0, 100], of any size from 1 x 1 up.

        Returns:
            (B, 2, H, W): a and b in CIELAB units, unbounded.

        Raises:
            ValueError: if the shape is not as above.
        """
        if lightness.dim() != 4 or lightness.shape[1] != 1 or 0 in lightness.shape:
            raise ValueError(f'lightness must be (B, 1, H, W), got {tuple(lightness.shape)}')
        height, width = lightness.shape[-2:]
        x = F.pad(lightness, (0, -width % 32, 0, -height % 32), mode='replicate')
        ab = self.head(self.neck(self.encoder(self.gray_input(x))))
        return ab[..., :height, :width]


def merge_defaults(paper: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """A part's config; without a type, that of the paper's with its values replaced."""
    return dict(part) if 'type' in part else {**paper, **part}
