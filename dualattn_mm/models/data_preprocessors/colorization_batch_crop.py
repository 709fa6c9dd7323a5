"""Random resized crops of whole batches, on the device of the model."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import ImgDataPreprocessor
from mmengine.registry import MODELS
from torch import Tensor

from ...utils.checks import require, require_natural
from ...utils.errors import UserError

_TRIES = 10  # torchvision's


@MODELS.register_module()
class ColorizationBatchCrop(ImgDataPreprocessor):
    """In training, a random resized crop and a horizontal flip of every photo of a batch.

    Does for a whole batch, on the GPU if the model is there, what
    `ColorizationCrop` does for each photo in the data loader's
    workers: crops are drawn from the distribution of torchvision's RandomResizedCrop, one for each
    photo, and a crop has the pixels that torchvision's `resized_crop` gives with `antialias`.

    The photos of a batch must have one size: `cache_square` of the data set, or ColorizationSquash
    in its pipeline. The crops depend on torch's random state alone, which RepeatableHook sets for
    each step.

    Args:
        size: side of the square crops.
        scale: range of a crop's area over the photo's.
        ratio: range of a crop's width over its height.
        flip: probability of a flip.
        **kwargs: those of mmengine's ImgDataPreprocessor; by default images are divided by 255.

    Raises:
        ValueError: for an argument outside of what is described here.
    """

    def __init__(
        self,
        size: int,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        flip: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**dict(mean=[0.0], std=[255.0]), **kwargs})
        require_natural(size=size)
        require(0 < scale[0] <= scale[1] <= 1, 'scale', scale, 'rising, above 0, at most 1')
        require(0 < ratio[0] <= ratio[1], 'ratio', ratio, 'rising and above 0')
        require(0 <= flip <= 1, 'flip', flip, 'a probability')
        self.size = size
        self.scale = tuple(scale)
        self.ratio = tuple(ratio)
        self.flip = flip

    def forward(self, data: dict, training: bool = False) -> dict:
        """Move a batch to the device, normalize it and, in training, crop it.

        Args:
            data: `inputs`, (B, 3, H, W) uint8 or a list of (3, H, W), and perhaps `data_samples`.
            training: whether to crop.

        Returns:
            The same dict with `inputs` (B, 3, size, size), or (B, 3, H, W) if not `training`.

        Raises:
            UserError: if the photos of a training batch differ in size.
        """
        if training and len({image.shape for image in data['inputs']}) > 1:
            raise UserError(
                'ColorizationBatchCrop takes photos of one size: add ColorizationSquash to the '
                'pipeline of the training data'
            )
        data = super().forward(data, training)
        if training:
            images = data['inputs']
            boxes = random_boxes(images, self.scale, self.ratio)
            flips = torch.rand(len(images), device=images.device) < self.flip
            data['inputs'] = crop_and_resize(images, boxes, flips, self.size)
        return data


def random_boxes(
    images: Tensor, scale: Sequence[float], ratio: Sequence[float]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw a crop for each image, as torchvision's RandomResizedCrop does.

    Args:
        images: (B, C, H, W).
        scale: range of a crop's area over the image's, uniform.
        ratio: range of a crop's width over its height, uniform in the logarithm.

    Returns:
        Top, left, height and width, each (B,), whole numbers of pixels in float32.
    """
    batch, _, full_height, full_width = images.shape
    shape = batch, _TRIES
    area = full_height * full_width * images.new_empty(shape).uniform_(*scale)
    aspect = images.new_empty(shape).uniform_(*map(math.log, ratio)).exp()
    # After the last try, the largest crop in the middle whose ratio is within the range.
    last = min(max(full_width / full_height, ratio[0]), ratio[1])
    last_height = min(full_height, round(full_width / last))
    last_width = min(full_width, round(full_height * last))
    height = torch.cat(((area / aspect).sqrt().round(), area.new_full((batch, 1), last_height)), 1)
    width = torch.cat(((area * aspect).sqrt().round(), area.new_full((batch, 1), last_width)), 1)
    fits = (height >= 1) & (height <= full_height) & (width >= 1) & (width <= full_width)
    first = fits.int().argmax(1, keepdim=True)
    height, width = height.gather(1, first)[:, 0], width.gather(1, first)[:, 0]
    free_height, free_width = full_height - height, full_width - width
    # Uniform over 0, ..., free; rounding could give one more.
    top = torch.minimum((torch.rand_like(height) * (free_height + 1)).floor(), free_height)
    left = torch.minimum((torch.rand_like(width) * (free_width + 1)).floor(), free_width)
    middle = first[:, 0] == _TRIES
    top = torch.where(middle, (free_height / 2).floor(), top)
    left = torch.where(middle, (free_width / 2).floor(), left)
    return top, left, height, width


def crop_and_resize(
    images: Tensor, boxes: tuple[Tensor, Tensor, Tensor, Tensor], flips: Tensor, size: int
) -> Tensor:
    """Cut a box out of each image, resize it to a square and perhaps flip it.

    Resizing is linear along each axis, so that two matrix products per image do it, of all images
    at once; `grid_sample`, the other way to have a box for each image, has no filter against
    aliasing.

    Args:
        images: (B, C, H, W) float32.
        boxes: top, left, height and width in pixels, each (B,).
        flips: (B,) bool, which ones to flip horizontally.
        size: side of the square.

    Returns:
        (B, C, size, size) float32.
    """
    top, left, height, width = boxes
    # In half precision a product has fewer levels than the eight bits of a photo.
    with torch.autocast(images.device.type, enabled=False):
        rows = resize_weights(top, height, size, images.shape[2])
        columns = resize_weights(left, width, size, images.shape[3])
        columns = torch.where(flips[:, None, None], columns.flip(1), columns)
        return torch.einsum('byh,bchw,bxw->bcyx', rows, images, columns)


def resize_weights(start: Tensor, length: Tensor, size: int, side: int) -> Tensor:
    """What each pixel of a line counts in each pixel of a resized part of it.

    Bilinear, with the triangle widened by the factor of shrinking, as in Pillow and torchvision
    with `antialias`.

    Args:
        start, length: (B,), the part of the line, in pixels.
        size: pixels of the result.
        side: pixels of the line.

    Returns:
        (B, size, side); each row sums to 1 and is 0 outside of the part.
    """
    start, end = start[:, None, None], (start + length)[:, None, None]
    factor = (end - start) / size
    center = start + (torch.arange(size, device=start.device)[:, None] + 0.5) * factor
    pixel = torch.arange(side, device=start.device) + 0.5
    weights = (1 - (pixel - center).abs() / factor.clamp(min=1)).clamp(min=0)
    weights = weights * ((pixel > start) & (pixel < end))
    return weights / weights.sum(-1, keepdim=True)
