"""A perceptual loss with a network of timm, where VGG19 is too large or not available."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor

from ...utils.checks import require
from .timm_teacher import TimmTeacher


@MODELS.register_module()
class TeacherPerceptualLoss(BaseModule):
    """One minus the cosine of a network's maps of two images, the mean over pixels and stages.

    This is LPIPS (arXiv:1801.03924, eq. 1) with equal weights for all channels and a factor of 1/2.
    The network is not part of the model: it is loaded when training starts, never trained and not
    stored in checkpoints. It runs in float32, also under autocast.

    Args:
        weights: a file with the weights of the network, as in :class:`FeatureDistillation`.
        teacher: timm name of the network.
        loss_weight: factor of the loss.

    Raises:
        UserError: if timm is not installed.
        ValueError: if an argument is invalid.
    """

    def __init__(
        self, weights: str, teacher: str = 'tf_efficientnet_lite0', loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        require(loss_weight >= 0, 'loss_weight', loss_weight, 'a number of at least 0')
        self.loss_weight = loss_weight
        # A plain object, so that torch does not register its network as a submodule.
        self.teacher = TimmTeacher(teacher, weights, 'the perceptual loss')

    def init_weights(self) -> None:
        """Load the network. mmengine calls this before training, so errors are reported early.

        Raises:
            FileNotFoundError: if the file does not exist.
            UserError: if the file does not contain the weights of the network.
        """
        super().init_weights()
        self.teacher.read()

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """Compare images.

        Args:
            images: (B, 3, H, W), sRGB in [0, 1].
            targets: images of the same shape; they get no gradient.

        Returns:
            The weighted loss, a scalar.
        """
        with torch.autocast(images.device.type, enabled=False):
            with torch.no_grad():
                expected = self.teacher.all_maps(targets.float())
            losses = [
                1 - F.cosine_similarity(map_, true, dim=1).mean()
                for map_, true in zip(self.teacher.all_maps(images.float()), expected, strict=True)
            ]
        return self.loss_weight * torch.stack(losses).mean()
