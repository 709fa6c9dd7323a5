"""A colorizer whose encoder is a timm network trained on ImageNet, as a teacher for the paper's."""

from collections.abc import Mapping
from typing import Any

import timm
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from dualattn_mm.models.losses.timm_teacher import TimmTeacher
from dualattn_mm.models.network_schema import GENERATORS, one_of, real, record, whole
from dualattn_mm.utils.color_space import gray_of_lightness

_UNIT = 10.0  # CIELAB units per unit of the last convolution
# What published weights may describe. timm would download some other names.
GENERATORS['TimmColorizer'] = record(
    dict(
        type=one_of('TimmColorizer'),
        encoder=one_of(*(f'tf_efficientnet_lite{i}' for i in range(5))),
    ),
    dict(
        dim=whole(1, 8192),
        frozen_stages=whole(0, 7),
        image_size=whole(32, 1024),
        saturation=real(0, 10),
    ),
)


def _mixer(dim: int) -> nn.Sequential:
    """Return a depthwise and two pointwise convolutions."""
    return nn.Sequential(
        nn.Conv2d(dim, dim, 5, padding=2, groups=dim, bias=False),
        nn.BatchNorm2d(dim),
        nn.Conv2d(dim, 2 * dim, 1),
        nn.ReLU(),
        nn.Conv2d(2 * dim, dim, 1),
    )


@MODELS.register_module()
class TimmColorizer(BaseModule):
    """A generator with a timm encoder, and maps that are added from coarse to fine.

    Args:
        encoder: timm name of the encoder, whose maps are 1/4 to 1/32 of the image.
        weights: a file with the ImageNet weights of the encoder, as in `FeatureDistillation`. They
            are read when training starts. None is for networks that get all weights from a file.
        dim: channels of the decoder.
        frozen_stages: the stem and so many of the encoder's first blocks are not trained; None
            trains everything.
        mean, std: of the encoder's input, sRGB in [0, 1].
        image_size, saturation: of `ColorizationPipeline`, as in `MultiscalePyramidTransformer`.

    Raises:
        ValueError: with `weights`, if timm has no such network.
    """

    def __init__(
        self,
        encoder: str,
        weights: str | None = None,
        dim: int = 128,
        frozen_stages: int | None = None,
        mean: float = 0.498,
        std: float = 0.502,
        image_size: int = 192,
        saturation: float = 1.0,
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.pretrained = None if weights is None else TimmTeacher(encoder, weights, 'the encoder')
        self.encoder: Any = timm.create_model(encoder, features_only=True, out_indices=(1, 2, 3, 4))
        channels = self.encoder.feature_info.channels()
        self.lateral = nn.ModuleList(nn.Conv2d(c, dim, 1) for c in channels)
        self.mixers = nn.ModuleList(_mixer(dim) for _ in channels)
        self.pooled = nn.Linear(channels[-1], dim)
        self.to_ab = nn.Conv2d(dim, 2, 3, padding=1)
        self.frozen_stages = frozen_stages
        self.mean, self.std = mean, std
        self.image_size, self.saturation = image_size, saturation
        for part in self._frozen():  # before DDP looks which parameters have gradients
            part.requires_grad_(False)

    def init_weights(self) -> None:
        """Load the ImageNet weights. mmengine calls this before training."""
        super().init_weights()
        if self.pretrained is not None:
            state = self.pretrained.read().state_dict()
            own = self.encoder.state_dict()  # without the classifier
            self.encoder.load_state_dict({key: state[key] for key in own})

    def train(self, mode: bool = True) -> 'TimmColorizer':
        """Switch to training, but for the frozen parts."""
        super().train(mode)
        for part in self._frozen():
            part.eval()
        return self

    def _frozen(self) -> list[nn.Module]:
        if self.frozen_stages is None:
            return []
        blocks = self.encoder.blocks[: self.frozen_stages]
        return [self.encoder.conv_stem, self.encoder.bn1, *blocks]

    def forward(self, lightness: Tensor) -> Tensor:
        """Map lightness (B, 1, H, W), L in [0, 100], to ab (B, 2, H, W) in CIELAB units."""
        maps = self.encoder((gray_of_lightness(lightness) - self.mean) / self.std)
        x = self.pooled(maps[-1].mean((2, 3)))[:, :, None, None]
        for map_, lateral, mixer in zip(
            reversed(maps), reversed(self.lateral), reversed(self.mixers), strict=True
        ):
            here = lateral(map_)
            x = here + F.interpolate(x, here.shape[-2:])
            x = x + mixer(x)
        return F.interpolate(_UNIT * self.to_ab(x), lightness.shape[-2:], mode='bilinear')
