"""What all metrics of colorization share: which images they compare, and how results are joined."""

from abc import abstractmethod
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from ..utils.errors import UserError


def to_bytes(image: Tensor) -> Tensor:
    """The image as a saved PNG would hold it; every metric and saved picture passes through here.

    Args:
        image: any shape, values in [0, 255], floating (rounded and clamped) or uint8.

    Returns:
        The same shape, uint8.

    Raises:
        UserError: if a value is not a number, as of a network whose training diverged.
    """
    if image.dtype == torch.uint8:
        return image
    if image.isnan().any():
        raise UserError('the prediction holds values that are not numbers (NaN)')
    return image.round().clamp(0, 255).to(torch.uint8)


class ImageMetric(BaseMetric):
    """Compares `pred_img` with `gt_img` of every data sample.

    Both are (3, H, W) RGB in [0, 255]. Little is kept of each image, and one process computes the
    figures from all of it, so the number of processes does not matter: mmengine's padding of an
    uneven data set is dropped.

    Args:
        prefix: goes before the names of the figures, as 'prefix/CF'; needed where an evaluator has
            the same metric twice.
        collect_device: 'gpu' sends results through the process group, which is also right for gloo
            on the CPU; 'cpu' through files in the working folder.
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
            UserError: if a prediction has another size than its truth.
        """
        predictions, truths = (
            [to_bytes(sample[key]) for sample in data_samples] for key in ('pred_img', 'gt_img')
        )
        for prediction, truth in zip(predictions, truths, strict=True):
            if prediction.shape != truth.shape:
                shapes = f'{tuple(prediction.shape)} and {tuple(truth.shape)}'
                raise UserError(f'prediction and truth cannot be compared: they are {shapes}')
        with torch.inference_mode():
            self.results += self.compare(predictions, truths)

    @abstractmethod
    def compare(self, predictions: list[Tensor], truths: list[Tensor]) -> list[Any]:
        """What the figures need of each image: one value per image, none of them None.

        Args:
            predictions, truths: each (3, H, W) uint8 RGB, on the model's device.
        """


class MeanOverImages(ImageMetric):
    """A figure of a data set that is the mean over its images."""

    name: str

    def compare(self, predictions: list[Tensor], truths: list[Tensor]) -> list[float]:
        pairs = zip(predictions, truths, strict=True)
        return [float(self.of_image(prediction, truth)) for prediction, truth in pairs]

    @abstractmethod
    def of_image(self, prediction: Tensor, truth: Tensor) -> Tensor | float:
        """The figure of one image; both are (3, H, W) uint8 RGB."""

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        return {self.name: fmean(results)}
