"""The colorizer as OpenMMLab trains and tests it: sRGB in, sRGB out."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement
from torch import Tensor

from .checks import require
from .color_space import join_lightness, rgb_to_lab


@MODELS.register_module()
class Colorizer(BaseModel):
    """Automatic colorization (Sec. III): the lightness of an image gets the colour predicted.

    The network sees the lightness alone, so a colour image serves as input and ground truth.

    Args:
        generator: config of the network from lightness to ab.
        l1_weight: factor of the L1 loss on ab in CIELAB units (eq. 12; the paper's lambda is 0.1).
        data_preprocessor: config; by default uint8 RGB images are batched and divided by 255.
        init_cfg: mmengine's initialisation.

    Raises:
        ValueError: if `l1_weight` is negative.
    """

    def __init__(
        self,
        generator: Mapping[str, Any],
        l1_weight: float = 0.1,
        data_preprocessor: Mapping[str, Any] | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(
            data_preprocessor or dict(type='mmengine.ImgDataPreprocessor', mean=[0.0], std=[255.0]),
            init_cfg,
        )
        self.generator = MODELS.build(dict(generator))
        require(l1_weight >= 0, 'l1_weight', l1_weight, 'a number of at least 0')
        self.l1_weight = l1_weight

    def forward(
        self,
        inputs: Tensor,
        data_samples: Sequence[BaseDataElement] | None = None,
        mode: str = 'tensor',
    ) -> Tensor | dict[str, Tensor] | list[BaseDataElement]:
        """Colorize, or compare with the colours of the inputs.

        Args:
            inputs: (B, 3, H, W), sRGB in [0, 1].
            data_samples: one per image, for the mode 'predict'; None makes new ones.
            mode: 'tensor', 'loss' or 'predict'.

        Returns:
            'tensor': (B, 3, H, W), sRGB in [0, 1]. 'loss': the losses by name, and `ab_l1`, the
            mean of |Delta ab| in CIELAB units. 'predict': the samples with `pred_img`
            (3, H, W), RGB in [0, 255].

        Raises:
            ValueError: for another mode.
        """
        lab = rgb_to_lab(inputs)
        lightness, ab = lab[:, :1], lab[:, 1:]
        if mode == 'loss':
            l1 = F.l1_loss(self.generator(lightness).float(), ab)
            return dict(loss_l1=self.l1_weight * l1, ab_l1=l1.detach())
        if mode not in ('tensor', 'predict'):
            raise ValueError(f"mode={mode!r} is not possible: 'tensor', 'loss' or 'predict'")
        images = join_lightness(lightness, self.generator(lightness))
        if mode == 'tensor':
            return images
        if data_samples is None:
            data_samples = [BaseDataElement() for _ in images]
        for sample, image in zip(data_samples, images, strict=True):
            sample.set_field(image * 255, 'pred_img')
        return list(data_samples)
