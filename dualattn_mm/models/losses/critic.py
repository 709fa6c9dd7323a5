"""The adversarial loss and its critic, after Wasserstein GAN (Sec. III-D)."""

from collections.abc import Sequence

from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...utils.checks import natural_numbers, require


@MODELS.register_module()
class WassersteinCritic(BaseModule):
    """Score how real an image looks (arXiv:1701.07875; the paper gives no details).

    It has 4 x 4 convolutions of stride 2 with LeakyReLU and without norm layers, followed by a
    4 x 4 convolution to one channel, which is averaged over the image.

    Args:
        channels: channels of the convolutions with stride 2.
        init_cfg: mmengine's initialization.

    Raises:
        ValueError: if `channels` is not a sequence of positive integers.
    """

    def __init__(
        self,
        channels: Sequence[int] = (64, 128, 256, 512),
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        channels = natural_numbers('channels', channels)
        layers: list[nn.Module] = []
        for before, after in zip((3, *channels), channels, strict=False):
            layers += [nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels[-1], 1, 4, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Score images.

        Args:
            images: (B, 3, H, W), sRGB in [-1, 1], at least 2 ** (len(channels) + 1) pixels per
                side (32 by default).

        Returns:
            (B,), unbounded and higher for real images.
        """
        return self.layers(images).flatten(1).mean(1)


@MODELS.register_module()
class WassersteinLoss(nn.Module):
    """The adversarial loss of both networks (eq. 14), with the signature of mmagic's GANLoss.

    Args:
        loss_weight: factor of the generator's loss; it does not apply to the critic's loss.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        require(loss_weight >= 0, 'loss_weight', loss_weight, 'a number of at least 0')
        self.loss_weight = loss_weight

    def forward(self, scores: Tensor, target_is_real: bool, is_disc: bool = False) -> Tensor:
        """Return the loss that raises the scores if `target_is_real`, and otherwise lowers them.

        Args:
            scores: scores of the critic, of any shape.
            target_is_real: whether they should become the scores of real images.
            is_disc: whether this is the loss of the critic.
        """
        loss = -scores.mean() if target_is_real else scores.mean()
        return loss if is_disc else self.loss_weight * loss
