"""The colorization network, which maps lightness to color."""

import math
from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor

from ...utils.checks import require, require_natural
from ..backbones.windows import padding
from ..hub import HubMixin
from .gray_input import GrayInput

# The paper's network (Sec. III). A config states only the differences.
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
class MultiscalePyramidTransformer(HubMixin, BaseModule):
    """DualAttention encoder, pixel-shuffle neck and Color-Attention head (Fig. 2).

    `dict(type='MultiscalePyramidTransformer', num_queries=64)` is the paper's network, with
    55,092,032 parameters.

    Args:
        encoder: config of the encoder, which returns maps from 1/4 to 1/32 of the image size. An
            encoder with three input channels gets the lightness as gray sRGB with ImageNet
            normalization. A config without a type updates the paper's encoder; this also holds for
            `neck` and `head`.
        neck: config of the neck.
        head: config of the head, without `num_queries`.
        num_queries: K, the number of color queries (Table IV); None for a head without queries.
        image_size: side of the square images that the weights are trained on (Sec. IV-A). The
            network accepts any size, but the logits of channel attention grow with it, so this size
            works best. It is the default size of `ColorizationPipeline`.
        saturation: factor on the colors that suits the weights. It is the default of
            `ColorizationPipeline`; the output of the network does not include it.
        init_cfg: mmengine's initialization.

    Raises:
        ValueError: if the encoder has neither one nor three input channels, or an argument is
            invalid.
    """

    hub_tag = 'image-to-image'
    hub_settings = ('image_size', 'saturation')

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
            'num_queries' not in head, 'head', dict(head), 'without num_queries: pass it separately'
        )
        require(0 <= saturation < math.inf, 'saturation', saturation, 'a finite number >= 0')
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
            (B, 2, H, W), a and b in CIELAB units, unbounded.

        Raises:
            ValueError: if the shape is not as above.
        """
        if lightness.dim() != 4 or lightness.shape[1] != 1 or 0 in lightness.shape:
            raise ValueError(f'lightness must be (B, 1, H, W), got {tuple(lightness.shape)}')
        height, width = lightness.shape[-2:]
        x = F.pad(lightness, (0, padding(width, 32), 0, padding(height, 32)), mode='replicate')
        ab = self.head(self.neck(self.encoder(self.gray_input(x))))
        return ab[..., :height, :width]


def merge_defaults(paper: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of a part; without a type, it updates the config of the paper's part."""
    return dict(part) if 'type' in part else {**paper, **part}
