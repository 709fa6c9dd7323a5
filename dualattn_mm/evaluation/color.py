"""Metrics of colorfulness and of color errors."""

import math
from abc import abstractmethod

import numpy as np
import torch.nn.functional as F
from mmengine.registry import METRICS
from torch import Tensor

from ..utils.color_space import rgb_to_lab
from ..utils.colorfulness import check_variant, colorfulness, mean_colorfulness
from .image_metric import ImageMetric, MeanOverImages


@METRICS.register_module()
class ColorizationCF(ImageMetric):
    """Colorfulness of predictions (CF) and originals (CF_truth), and their distance (Delta_CF).

    Delta_CF = |mean CF(prediction) - mean CF(truth)| over the dataset, so errors of single images
    can cancel. See `colorfulness` for the definition.

    Args:
        variant: 'signed' is the published protocol; 'absolute' and 'colorformer' are those of the
            scripts of other methods.
        **kwargs: arguments of `ImageMetric`.

    Raises:
        ValueError: if the variant is unknown.
    """

    def __init__(self, variant: str = 'signed', **kwargs) -> None:
        check_variant(variant)
        super().__init__(**kwargs)
        self.variant = variant

    def compare(self, predictions: list[Tensor], truths: list[Tensor]) -> list[tuple[float, float]]:
        pairs = zip(predictions, truths, strict=True)
        return [(self._of(prediction), self._of(truth)) for prediction, truth in pairs]

    def compute_metrics(self, results: list[tuple[float, float]]) -> dict[str, float]:
        prediction, truth = (
            mean_colorfulness(values, self.variant) for values in zip(*results, strict=True)
        )
        return dict(CF=prediction, CF_truth=truth, Delta_CF=abs(prediction - truth))

    def _of(self, image: Tensor) -> float:
        pixels = np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy())
        return colorfulness(pixels, self.variant)


@METRICS.register_module()
class ColorizationABError(MeanOverImages):
    """Mean of |Delta a| and |Delta b| over pixels in CIELAB units, then the mean over images."""

    name = 'ab_error'

    def of_image(self, prediction: Tensor, truth: Tensor) -> Tensor:
        a, b = (rgb_to_lab(image.float() / 255)[1:] for image in (prediction, truth))
        return (a - b).abs().mean()


class _PixelShare(ImageMetric):
    """The share of selected pixels of all images that has a property; NaN if none is selected."""

    name: str

    def compare(self, predictions: list[Tensor], truths: list[Tensor]) -> list[tuple[int, int]]:
        counts = []
        for prediction, truth in zip(predictions, truths, strict=True):
            ab, true_ab = (rgb_to_lab(image.float() / 255)[1:] for image in (prediction, truth))
            found, among = self.select(ab, true_ab)
            counts.append((int((found & among).sum()), int(among.sum())))
        return counts

    @abstractmethod
    def select(self, ab: Tensor, true_ab: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pixels with the property and the selected pixels, (H, W) bool each.

        Args:
            ab, true_ab: (2, H, W), CIELAB units.
        """

    def compute_metrics(self, results: list[tuple[int, int]]) -> dict[str, float]:
        found, among = (sum(counts) for counts in zip(*results, strict=True))
        return {self.name: found / among if among else math.nan}


@METRICS.register_module()
class ColorizationHue(_PixelShare):
    """Share of the colorful pixels of all images with a correct hue (`hue`); 1/6 by chance.

    A sepia tone can have a better PSNR and a smaller ab error than correct hues with too much
    chroma. Therefore this metric only looks at pixels with a true chroma of at least
    `least_chroma`. It counts those whose predicted hue angle (CIELAB) is within `tolerance` of the
    true one, however pale they are. Gray is always wrong.

    Args:
        tolerance: largest difference in degrees, in both directions.
        least_chroma: smallest true chroma, CIELAB units.
        **kwargs: arguments of `ImageMetric`.
    """

    name = 'hue'

    def __init__(self, tolerance: float = 30.0, least_chroma: float = 15.0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.cosine = math.cos(math.radians(tolerance))
        self.least_chroma = least_chroma

    def select(self, ab: Tensor, true_ab: Tensor) -> tuple[Tensor, Tensor]:
        # A pixel with a chroma below 1 is gray, and its hue is only a rounding error.
        right = (F.cosine_similarity(ab, true_ab, dim=0) >= self.cosine) & (ab.norm(dim=0) >= 1)
        return right, true_ab.norm(dim=0) >= self.least_chroma


@METRICS.register_module()
class ColorizationTinge(_PixelShare):
    """Share of the truly neutral pixels of all images that get a visible color (`tinge`).

    Args:
        **kwargs: arguments of `ImageMetric`.
    """

    name = 'tinge'
    neutral = 6.0  # pixels with a true chroma below are neutral, CIELAB units
    visible = 12.0  # a predicted chroma above is visible

    def select(self, ab: Tensor, true_ab: Tensor) -> tuple[Tensor, Tensor]:
        return ab.norm(dim=0) > self.visible, true_ab.norm(dim=0) < self.neutral


@METRICS.register_module()
class ColorizationDull(_PixelShare):
    """Share of the truly vivid pixels of all images that stay nearly gray (`dull`).

    Args:
        **kwargs: arguments of `ImageMetric`.
    """

    name = 'dull'
    vivid = 25.0  # pixels with a true chroma above are vivid, CIELAB units
    gray = 8.0  # a predicted chroma below is nearly gray

    def select(self, ab: Tensor, true_ab: Tensor) -> tuple[Tensor, Tensor]:
        return ab.norm(dim=0) < self.gray, true_ab.norm(dim=0) > self.vivid
