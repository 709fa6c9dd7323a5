"""The perceptual loss, computed with VGG19 (Sec. III-D)."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...utils.checkpoint_file import load_frozen, part_of, read_weights
from ...utils.checks import require
from .on_device import on_device

TORCHVISION = 'torchvision://vgg19'
# Factors of conv1_1, conv2_1, conv3_1, conv4_1 and conv5_1, by their index in torchvision's
# `vgg19().features`.
LAYER_WEIGHTS = {0: 1 / 16, 5: 1 / 8, 10: 1 / 4, 19: 1 / 2, 28: 1.0}


@MODELS.register_module()
class VGG19PerceptualLoss(BaseModule):
    """Weighted sum of the mean absolute differences between VGG19's maps before ReLU.

    VGG19 is not part of the model: it is loaded when training starts (not for testing), never
    trained and not stored in checkpoints. It runs in float32, also under autocast.

    Args:
        loss_weight: factor of the loss.
        weights: 'torchvision://vgg19' (ImageNet, downloaded once), or a file with the state dict of
            torchvision's `vgg19()`, of which `features.*` is sufficient.

    Raises:
        ValueError: if `loss_weight` is negative.
    """

    def __init__(self, loss_weight: float = 5.0, weights: str = TORCHVISION) -> None:
        super().__init__()
        require(loss_weight >= 0, 'loss_weight', loss_weight, 'a number of at least 0')
        self.loss_weight = loss_weight
        self.weights = weights
        # ImageNet's mean and standard deviation of sRGB in [0, 1].
        self.register_buffer('rgb_mean', torch.tensor((0.485, 0.456, 0.406)), persistent=False)
        self.register_buffer('rgb_std', torch.tensor((0.229, 0.224, 0.225)), persistent=False)
        # In a tuple, so that torch does not register it as a submodule.
        self._vgg: tuple[nn.Sequential] | None = None

    def init_weights(self) -> None:
        """Load VGG19. mmengine calls this before training, so errors are reported early.

        Raises:
            FileNotFoundError: if the weights are missing; the message says what to do.
            UserError: if the file does not contain the weights of VGG19.
        """
        self._read_vgg()

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """Compare images.

        Args:
            images: (B, 3, H, W), sRGB in [0, 1], at least 16 x 16 pixels.
            targets: images of the same shape; they get no gradient.

        Returns:
            The weighted loss, a scalar.
        """
        vgg = on_device(self._read_vgg(), images.device)
        with torch.autocast(images.device.type, enabled=False):
            with torch.no_grad():
                expected = self._maps(vgg, targets)
            loss = images.new_zeros((), dtype=torch.float32)
            for map_, true, weight in zip(
                self._maps(vgg, images), expected, LAYER_WEIGHTS.values(), strict=True
            ):
                loss = loss + weight * F.l1_loss(map_, true)
        return self.loss_weight * loss

    def _read_vgg(self) -> nn.Sequential:
        if self._vgg is None:
            self._vgg = (_features(self.weights),)
        return self._vgg[0]

    def _maps(self, vgg: nn.Sequential, images: Tensor) -> list[Tensor]:
        x = (images.float() - self.rgb_mean[:, None, None]) / self.rgb_std[:, None, None]
        maps = []
        for index, layer in enumerate(vgg):
            x = layer(x)
            if index in LAYER_WEIGHTS:
                maps.append(x)
        return maps


def _features(weights: str) -> nn.Sequential:
    """Load VGG19 up to conv5_1 with the given weights, and freeze it."""
    from torchvision.models import vgg19

    state = _read(weights)
    with torch.device('meta'):  # no memory and no initialization; the file has all values
        features = vgg19().features
    load_frozen(features, part_of(state, 'features.'), weights, 'VGG19')
    features = features[: max(LAYER_WEIGHTS) + 1]
    for layer in features:
        if isinstance(layer, nn.ReLU):
            layer.inplace = False  # its input is compared
    return features


def _read(weights: str) -> dict[str, Tensor]:
    from torchvision.models import VGG19_Weights

    if weights == TORCHVISION:
        published = VGG19_Weights.IMAGENET1K_V1
        try:
            return published.get_state_dict(progress=True, check_hash=True)
        except OSError as error:
            raise FileNotFoundError(
                f'cannot download VGG19 for the perceptual loss ({error}): download '
                f'{published.url} elsewhere and set model.perceptual.weights to the file, or train '
                'without this loss (model.perceptual=None)'
            ) from None
    return read_weights(weights, 'VGG19', 'the perceptual loss')
