"""How colorful results are, and how far their colours are from the truth."""

import math

import numpy as np
import torch.nn.functional as F
from mmengine.registry import METRICS
from torch import Tensor

from ..utils.color_space import rgb_to_lab
from ..utils.colorfulness import check_variant, colorfulness, mean_colorfulness
from .image_metric import ImageMetric, MeanOverImages


@METRICS.register_module()
class ColorizationCF(ImageMetric):
    """Colourfulness of predictions (CF) and truth (CF_truth), and their distance (Delta_CF).

    Delta_CF = |mean CF(prediction) - mean CF(truth)| over the data set, so that single images may
    differ. The definition is that of :func:`~dualattn_mm.utils.colorfulness.colorfulness`.

    Args:
        variant: 'signed' is the published protocol; 'absolute' and 'colorformer' are those of the
            peers' scripts.
        **kwargs: those of :class:`~dualattn_mm.evaluation.ImageMetric`.

    Raises:
        ValueError: for another variant.
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
    """Mean of |Delta a| and |Delta b| over pixels, CIELAB units; then the mean over images."""

    name = 'ab_error'

    def of_image(self, prediction: Tensor, truth: Tensor) -> Tensor:
        a, b = (rgb_to_lab(image.float() / 255)[1:] for image in (prediction, truth))
        return (a - b).abs().mean()


@METRICS.register_module()
class ColorizationHue(ImageMetric):
    """Share of the colourful pixels of all images whose hue is right (`hue`): 1/6 by chance.

    PSNR and the error of ab are little worse, or better, for sepia than for right hues that are
    too strong. So count, among the pixels of the truth with chroma of at least `least_chroma`,
    those whose predicted hue angle (CIELAB) is within `tolerance`, however pale; gray is wrong.

    Args:
        tolerance: in degrees, to either side.
        least_chroma: of the truth, CIELAB units.
        **kwargs: those of :class:`~dualattn_mm.evaluation.ImageMetric`.
    """

    def __init__(self, tolerance: float = 30.0, least_chroma: float = 15.0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.cosine = math.cos(math.radians(tolerance))
        self.least_chroma = least_chroma

    def compare(self, predictions: list[Tensor], truths: list[Tensor]) -> list[tuple[int, int]]:
        pairs = zip(predictions, truths, strict=True)
        return [self._count(prediction, truth) for prediction, truth in pairs]

    def compute_metrics(self, results: list[tuple[int, int]]) -> dict[str, float]:
        right, colorful = (sum(counts) for counts in zip(*results, strict=True))
        return dict(hue=right / colorful if colorful else math.nan)

    def _count(self, prediction: Tensor, truth: Tensor) -> tuple[int, int]:
        a, b = (rgb_to_lab(image.float() / 255)[1:] for image in (prediction, truth))
        colorful = b.norm(dim=0) >= self.least_chroma
        # Below a chroma of 1 a pixel is gray, and its hue rounding.
        right = (F.cosine_similarity(a, b, dim=0) >= self.cosine) & (a.norm(dim=0) >= 1)
        return int((right & colorful).sum()), int(colorful.sum())
