"""A loss on ab with higher weights for rare colors, for training without pretrained networks."""

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...utils.checks import require, require_positive
from ...utils.color_space import rgb_to_lab

_LEAST, _CELL, _SIDE = -130, 10, 26  # ab from -130 to 130 in cells of 10 x 10


@MODELS.register_module()
class RebalancedColorLoss(nn.Module):
    """Huber loss on ab in which each pixel is weighted by the rarity of its true color.

    Plain L1 on ab favors the median color, which is almost gray if the color of a pixel is
    uncertain. Below `delta`, the Huber loss favors the mean, which keeps the hue. The weights are
    those of class rebalancing in "Colorful Image Colorization" (arXiv:1603.08511, eq. 4), without
    smoothing. The frequencies are counted in training, as a moving average over all processes.

    The weights are smallest for neutral pixels, so these can get a tint if their color is
    uncertain. `ChromaLoss` prevents it.

    Args:
        loss_weight: factor of the loss.
        delta: in CIELAB units; the loss is quadratic below and linear above.
        uniform: in (0, 1], the share of the uniform distribution over the colors of sRGB that is
            mixed into the frequencies (lambda in the source); 1 weights all pixels equally.
        momentum: in (0, 1], the weight of a new batch in the moving average.

    Raises:
        ValueError: if an argument is invalid.
    """

    frequency: Tensor

    def __init__(
        self,
        loss_weight: float = 1.0,
        delta: float = 25.0,
        uniform: float = 0.5,
        momentum: float = 0.01,
    ) -> None:
        super().__init__()
        require_positive(delta=delta)
        require(0 < uniform <= 1, 'uniform', uniform, 'a number in (0, 1]')
        require(0 < momentum <= 1, 'momentum', momentum, 'a number in (0, 1]')
        require(loss_weight >= 0, 'loss_weight', loss_weight, 'a number of at least 0')
        self.loss_weight = loss_weight
        self.delta = delta
        self.uniform = uniform
        self.momentum = momentum
        in_gamut = _cells_of_srgb()
        self.num_colors = int(in_gamut.sum())
        self.register_buffer('frequency', in_gamut.float() / self.num_colors)

    def forward(self, ab: Tensor, true_ab: Tensor) -> Tensor:
        """Compute the loss; in training mode, also update the frequencies with `true_ab`.

        Args:
            ab: (B, 2, H, W), the prediction in CIELAB units.
            true_ab: the true values, of the same shape.
        """
        cells = _cells(true_ab)
        if self.training:
            # Unlike `bincount`, this does not wait for the GPU.
            counts = cells.new_zeros(_SIDE**2)
            counts.scatter_add_(0, cells.flatten(), torch.ones_like(cells).flatten())
            counts = counts / cells.numel()
            all_reduce(counts, 'mean')
            self.frequency.lerp_(counts, self.momentum)
        weights = 1 / ((1 - self.uniform) * self.frequency + self.uniform / self.num_colors)
        weights = weights / (weights * self.frequency).sum()  # 1 on average
        losses = F.huber_loss(ab.float(), true_ab.float(), reduction='none', delta=self.delta)
        return self.loss_weight * (weights[cells][:, None] * losses).mean() / self.delta


def _cells(ab: Tensor) -> Tensor:
    """Map (B, 2, H, W) in CIELAB units to cell indices (B, H, W)."""
    a, b = ((ab - _LEAST) / _CELL).long().clamp(0, _SIDE - 1).unbind(1)
    return a * _SIDE + b


def _cells_of_srgb() -> Tensor:
    """Return which cells contain a color of sRGB, one bool per cell."""
    levels = torch.linspace(0, 1, 52)
    colors = torch.cartesian_prod(levels, levels, levels).T[None, :, None]
    cells = _cells(rgb_to_lab(colors)[:, 1:])
    return torch.bincount(cells.flatten(), minlength=_SIDE**2) > 0
