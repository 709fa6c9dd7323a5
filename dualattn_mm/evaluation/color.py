"""How colorful results are, and how far their colours are from the truth."""

import numpy as np
from mmengine.registry import METRICS
from torch import Tensor

from ..models.color_space import rgb_to_lab
from .colorfulness import check_variant, colorfulness, mean_colorfulness
from .image_metric import ImageMetric, MeanOverImages


@METRICS.register_module()
class ColorizationCF(ImageMetric):
    """Colourfulness of predictions (CF) and truth (CF_truth), and their distance (Delta_CF).

    Delta_CF = |mean CF(prediction) - mean CF(truth)| over the data set, so that single images may
    differ. The definition is that of :func:`~dualattn_mm.evaluation.colorfulness`.

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
