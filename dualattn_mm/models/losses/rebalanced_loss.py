"""A loss of ab that weights rare colors more, for training without pretrained networks."""

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...utils.checks import require
from ...utils.color_space import rgb_to_lab

_LEAST, _CELL, _SIDE = -130, 10, 26  # ab from -130 to 130 in cells of 10 x 10


@MODELS.register_module()
class RebalancedColorLoss(nn.Module):
    """Huber loss of ab whose pixels are weighted by the rarity of their true color.

    Plain L1 on ab favors the median color, which is almost gray wherever the color of a pixel is
    uncertain. Below `delta` the Huber loss favors the mean, which keeps the hue. The weights are
    those of class rebalancing in "Colorful Image Colorization" (arXiv:1603.08511, eq. 4), without
    smoothing and with the frequencies counted in training, as a moving average over all processes.

    The weights are smallest for neutral pixels, which then get a tinge where their color is in
    doubt. A second term, chosen here, adds the predicted chroma of the truly neutral pixels: its
    mean over all pixels, divided by `delta` like the first one.

    Args:
        loss_weight: factor of the loss.
        delta: in CIELAB units; differences are squared below and count linearly above.
        uniform: in (0, 1], the share of the uniform distribution over the colors of sRGB that the
            frequencies are mixed with (the source's lambda); 1 weighs all pixels alike.
        momentum: in (0, 1], the weight of a new batch in the moving average.
        neutral_weight: factor of the second term; 0 leaves it out.
        neutral: pixels with a true chroma below this are neutral, in CIELAB units.

    Raises:
        ValueError: for an argument outside of what is described here.
    """

    frequency: Tensor

    def __init__(
        self,
        loss_weight: float = 1.0,
        delta: float = 25.0,
        uniform: float = 0.5,
        momentum: float = 0.01,
        neutral_weight: float = 0.0,
        neutral: float = 6.0,
    ) -> None:
        super().__init__()
        require(delta > 0, 'delta', delta, 'a number above 0')
        require(0 < uniform <= 1, 'uniform', uniform, 'a number above 0, at most 1')
        require(0 < momentum <= 1, 'momentum', momentum, 'a number above 0, at most 1')
        require(neutral_weight >= 0, 'neutral_weight', neutral_weight, 'a number of at least 0')
        require(neutral > 0, 'neutral', neutral, 'a number above 0')
        self.loss_weight = loss_weight
        self.neutral_weight = neutral_weight
        self.neutral = neutral
        self.delta = delta
        self.uniform = uniform
        self.momentum = momentum
        in_gamut = _cells_of_srgb()
        self.num_colors = int(in_gamut.sum())
        self.register_buffer('frequency', in_gamut.float() / self.num_colors)

    def forward(self, ab: Tensor, true_ab: Tensor) -> Tensor:
        """The loss; in training mode the frequencies follow `true_ab`.

        Args:
            ab: (B, 2, H, W), prediction in CIELAB units.
            true_ab: of the same shape.
        """
        cells = _cells(true_ab)
        if self.training:
            counts = torch.bincount(cells.flatten(), minlength=_SIDE**2) / cells.numel()
            all_reduce(counts, 'mean')
            self.frequency.lerp_(counts, self.momentum)
        weights = 1 / ((1 - self.uniform) * self.frequency + self.uniform / self.num_colors)
        weights = weights / (weights * self.frequency).sum()  # 1 on average
        losses = F.huber_loss(ab.float(), true_ab.float(), reduction='none', delta=self.delta)
        loss = (weights[cells][:, None] * losses).mean()
        if self.neutral_weight:
            is_neutral = true_ab.float().norm(dim=1) < self.neutral
            loss = loss + self.neutral_weight * (is_neutral * ab.float().norm(dim=1)).mean()
        return self.loss_weight * loss / self.delta


def _cells(ab: Tensor) -> Tensor:
    """(B, 2, H, W) in CIELAB units to the numbers of the cells, (B, H, W)."""
    a, b = ((ab - _LEAST) / _CELL).long().clamp(0, _SIDE - 1).unbind(1)
    return a * _SIDE + b


def _cells_of_srgb() -> Tensor:
    """Which cells hold a color of sRGB: bool, one per cell."""
    levels = torch.linspace(0, 1, 52)
    colors = torch.cartesian_prod(levels, levels, levels).T[None, :, None]
    cells = _cells(rgb_to_lab(colors)[:, 1:])
    return torch.bincount(cells.flatten(), minlength=_SIDE**2) > 0
