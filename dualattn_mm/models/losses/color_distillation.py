"""Distillation from trained colorizers into the generator."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...utils.checkpoint_file import load_frozen, part_of, read_weights
from ...utils.checks import require, require_positive
from .on_device import on_device


class _Teacher:
    """A trained colorizer, which is read when training starts and belongs to no model."""

    def __init__(self, generator: Mapping[str, Any], weights: str, share: float = 1.0) -> None:
        require_positive(share=share)
        self.name = str(generator.get('type'))
        self.generator = generator
        self.weights = weights
        self.share = share
        self.network: nn.Module | None = None

    def read(self) -> nn.Module:
        if self.network is None:
            state = read_weights(self.weights, self.name, 'the distillation')
            # A checkpoint of a Colorizer has more than its generator.
            state = part_of(state, 'generator.') or state
            network = MODELS.build(dict(self.generator))
            load_frozen(network, state, self.weights, self.name)
            self.network = network.to(memory_format=torch.channels_last)
        return self.network


@MODELS.register_module()
class ColorDistillation(BaseModule):
    """Train the generator to predict the mean color of trained colorizers.

    The true color of a pixel is one of many that would be right, so its gradient is noisy. The mean
    prediction of several networks depends on the lightness alone and is better than each of them:
    distillation of an ensemble (arXiv:1503.02531), as a Huber loss on ab. The teachers are not part
    of the model: they are loaded when training starts, never trained and not stored in checkpoints.

    Args:
        teachers: for each teacher, the config of its network (`generator`), the file of its weights
            (`weights`: published weights, a checkpoint of a `Colorizer` or a state dict) and its
            part in the mean (`share`, 1 by default; the parts are divided by their sum).
        loss_weight: factor of the loss.
        delta: in CIELAB units; the loss is quadratic below and linear above, and divided by it.

    Raises:
        ValueError: if an argument is invalid.
    """

    def __init__(
        self,
        teachers: Sequence[Mapping[str, Any]],
        loss_weight: float = 1.0,
        delta: float = 25.0,
    ) -> None:
        super().__init__()
        require(len(teachers) > 0, 'teachers', teachers, 'a list of at least one teacher')
        require(loss_weight >= 0, 'loss_weight', loss_weight, 'a number of at least 0')
        require_positive(delta=delta)
        # Plain objects, so that torch does not register their networks as submodules.
        self.teachers = [_Teacher(**teacher) for teacher in teachers]
        self.loss_weight = loss_weight
        self.delta = delta

    def init_weights(self) -> None:
        """Load the teachers. mmengine calls this before training, so errors are reported early.

        Raises:
            FileNotFoundError: if a file does not exist.
            UserError: if a file does not contain the weights of its teacher.
        """
        super().init_weights()
        for teacher in self.teachers:
            teacher.read()

    @torch.no_grad()
    def targets(self, lightness: Tensor) -> Tensor:
        """Compute the mean of the teachers' predictions.

        Args:
            lightness: (B, 1, H, W), CIELAB L in [0, 100].

        Returns:
            ab: (B, 2, H, W), CIELAB units, float32.
        """
        total = sum(teacher.share for teacher in self.teachers)
        means = (
            on_device(teacher.read(), lightness.device)(lightness).float() * (teacher.share / total)
            for teacher in self.teachers
        )
        return torch.stack(list(means)).sum(0)

    def forward(self, ab: Tensor, lightness: Tensor) -> Tensor:
        """Compare a prediction with that of the teachers.

        Args:
            ab: (B, 2, H, W), the prediction in CIELAB units.
            lightness: (B, 1, H, W), the input of the prediction, CIELAB L in [0, 100].

        Returns:
            The weighted loss, a scalar.
        """
        loss = F.huber_loss(ab.float(), self.targets(lightness), delta=self.delta)
        return self.loss_weight * loss / self.delta
