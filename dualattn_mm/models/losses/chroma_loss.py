"""A loss on the chroma of neutral and vivid pixels, against tinges and against dullness."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...utils.checks import require, require_positive


@MODELS.register_module()
class ChromaLoss(nn.Module):
    """Keep neutral pixels neutral, and give vivid pixels at least some of their color.

    Where the color of a pixel is uncertain, the mean of all possible colors is best for a squared
    error. It is pale, as is a weak tinge of a truly gray pixel, so the two cannot be told apart,
    and a factor on the colors changes both. This loss, our own, separates them. It is the mean over
    all pixels of two terms in CIELAB units:

    - for neutral pixels, how far the predicted chroma exceeds `most`;
    - for vivid pixels, the sum over (chroma, weight) in `least` of weight times how far the
      prediction stays below this chroma in the direction of the true hue.

    It is used together with a loss on ab, since it says nothing about colors between the limits.

    Args:
        loss_weight: factor of the loss.
        neutral_weight: factor of the first term.
        vivid_weight: factor of the second term.
        neutral: pixels with a true chroma below this value are neutral, CIELAB units.
        most: chroma that a neutral pixel may have, CIELAB units.
        vivid: pixels with a true chroma above this value are vivid, CIELAB units.
        least: pairs of a chroma in CIELAB units and its weight.

    Raises:
        ValueError: if an argument is invalid.
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        neutral_weight: float = 1.2,
        vivid_weight: float = 1.0,
        neutral: float = 6.0,
        most: float = 8.0,
        vivid: float = 25.0,
        least: Sequence[tuple[float, float]] = ((11.0, 1.0), (20.0, 0.6)),
    ) -> None:
        super().__init__()
        for name, value in dict(
            loss_weight=loss_weight,
            neutral_weight=neutral_weight,
            vivid_weight=vivid_weight,
            most=most,
        ).items():
            require(value >= 0, name, value, 'a number of at least 0')
        require_positive(neutral=neutral)
        require(vivid >= neutral, 'vivid', vivid, f'at least neutral={neutral}')
        require(
            all(isinstance(pair, Sequence) and len(pair) == 2 and min(pair) >= 0 for pair in least),
            'least',
            least,
            'pairs of a chroma and a weight, both at least 0',
        )
        self.loss_weight = loss_weight
        self.neutral_weight = neutral_weight
        self.vivid_weight = vivid_weight
        self.neutral = neutral
        self.most = most
        self.vivid = vivid
        self.least = tuple(least)

    def forward(self, ab: Tensor, true_ab: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            ab: (B, 2, H, W), the prediction in CIELAB units.
            true_ab: the true values, of the same shape.

        Returns:
            The weighted loss, a scalar, float32.
        """
        ab, true_ab = ab.float(), true_ab.float()
        true_chroma = true_ab.norm(dim=1)
        along = (ab * F.normalize(true_ab, dim=1)).sum(1)  # the chroma in the true direction
        tinge = (true_chroma < self.neutral) * F.relu(ab.norm(dim=1) - self.most)
        missing = torch.zeros_like(along)
        for chroma, weight in self.least:
            missing = missing + weight * F.relu(chroma - along)
        dull = (true_chroma > self.vivid) * missing
        loss = self.neutral_weight * tinge.mean() + self.vivid_weight * dull.mean()
        return self.loss_weight * loss
