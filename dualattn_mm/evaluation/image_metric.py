"""Base classes of the colorization metrics: which images to compare, and how to join results."""

from abc import abstractmethod
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from ..utils.errors import UserError


def to_bytes(image: Tensor) -> Tensor:
    """Convert an image to bytes, which the metrics compare and `--show-dir` saves.

    Args:
        image: any shape, values in [0, 255], either floating-point (rounded and clamped) or uint8.

    Returns:
        A uint8 tensor of the same shape.

    Raises:
        UserError: if a value is NaN, for example because training diverged.
    """
    if image.dtype == torch.uint8:
        return image
    if image.isnan().any():
        raise UserError('the prediction contains NaN: check whether the training diverged')
    return image.round().clamp(0, 255).to(torch.uint8)


class ImageMetric(BaseMetric):
    """Compare `pred_img` with `gt_img` in every data sample.

    Both are (3, H, W) RGB in [0, 255]. Each image is reduced to a few values, and one process
    computes the figures from the values of all images. The figures therefore do not depend on the
    number of processes, because the samples with which mmengine pads an uneven dataset are dropped.

    Args:
        prefix: prefix of the names of the figures, as in 'prefix/CF'; required if an evaluator has
            the same metric twice.
        collect_device: 'gpu' collects results through the process group, also with gloo on the
            CPU; 'cpu' collects them through files in the current folder.
    """

    default_prefix = ''

    def __init__(self, prefix: str | None = None, collect_device: str = 'gpu') -> None:
        super().__init__(collect_device, prefix)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Compare the images of a batch.

        Args:
            data_batch: not used.
            data_samples: with `pred_img` and `gt_img`.

        Raises:
            UserError: if the sizes of a prediction and its ground truth differ.
        """
        predictions, truths = (
            [to_bytes(sample[key]) for sample in data_samples] for key in ('pred_img', 'gt_img')
        )
        for prediction, truth in zip(predictions, truths, strict=True):
            if prediction.shape != truth.shape:
                shapes = f'{tuple(prediction.shape)} and {tuple(truth.shape)}'
                raise UserError(f'prediction and ground truth differ in shape: {shapes}')
        with torch.inference_mode():
            self.results += self.compare(predictions, truths)

    @abstractmethod
    def compare(self, predictions: list[Tensor], truths: list[Tensor]) -> list[Any]:
        """Reduce each image to the value that the figures need; a value must not be None.

        Args:
            predictions, truths: each (3, H, W) uint8 RGB, on the model's device.
        """


class MeanOverImages(ImageMetric):
    """A figure of a dataset that is the mean over its images."""

    name: str

    def compare(self, predictions: list[Tensor], truths: list[Tensor]) -> list[float]:
        pairs = zip(predictions, truths, strict=True)
        return [float(self.of_image(prediction, truth)) for prediction, truth in pairs]

    @abstractmethod
    def of_image(self, prediction: Tensor, truth: Tensor) -> Tensor | float:
        """Compute the figure of one image; both arguments are (3, H, W) uint8 RGB."""

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        return {self.name: fmean(results)}
