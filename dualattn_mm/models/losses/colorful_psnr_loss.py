"""A loss for the PSNR of results whose colors are multiplied by a saturation."""

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...utils.checks import require, require_positive


@MODELS.register_module()
class ColorfulPSNRLoss(nn.Module):
    """Raise the PSNR that results have at a saturation above 1, without making them paler.

    Front ends multiply the predicted colors by a saturation, because means of uncertain colors are
    pale. The PSNR of a photo then falls most where its true colors are weak. This loss, our own,
    is computed on the multiplied colors. It is the mean over the images of the logarithm of the
    squared error of ab, as the PSNR is, minus `colorfulness_weight` times the logarithm of the mean
    colorfulness of the batch. That of an image is computed on ab like that of Hasler and Süsstrunk
    on their color differences: sqrt(var a + var b) + 0.3 sqrt(mean(a)^2 + mean(b)^2).

    Without the second term, the first one is lowered by paler colors in all images.

    Args:
        loss_weight: factor of the loss.
        saturation: factor on the predicted colors.
        colorfulness_weight: weight of the logarithm of the colorfulness. At 1, 1% more
            colorfulness is worth an error that is 1% larger, or 0.04 dB.
        floor: is added to the mean squared error of each image, squared CIELAB units, so that
            nearly gray images do not dominate.

    Raises:
        ValueError: if an argument is invalid.
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        saturation: float = 1.4,
        colorfulness_weight: float = 1.0,
        floor: float = 6.0,
    ) -> None:
        super().__init__()
        weights = dict(loss_weight=loss_weight, colorfulness_weight=colorfulness_weight)
        for name, value in weights.items():
            require(value >= 0, name, value, 'a number of at least 0')
        require_positive(saturation=saturation, floor=floor)
        self.loss_weight = loss_weight
        self.saturation = saturation
        self.colorfulness_weight = colorfulness_weight
        self.floor = floor

    def forward(self, ab: Tensor, true_ab: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            ab: (B, 2, H, W), the prediction in CIELAB units, before the saturation.
            true_ab: the true values, of the same shape.

        Returns:
            The weighted loss, a scalar, float32.
        """
        ab = self.saturation * ab.float()
        error = (ab - true_ab.float()).square().mean((1, 2, 3))
        # The gradient of sqrt is infinite at 0.
        spread = (ab.var((2, 3), correction=0).sum(1) + 1).sqrt()
        colorfulness = (spread + 0.3 * ab.mean((2, 3)).norm(dim=1)).mean()
        loss = (error + self.floor).log().mean()
        return self.loss_weight * (loss - self.colorfulness_weight * torch.log(colorfulness))
