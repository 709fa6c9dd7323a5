"""Random resized crops of whole batches on the device of the model."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import ImgDataPreprocessor
from mmengine.registry import MODELS
from torch import Tensor

from ...utils.checks import as_tuple, require, require_natural
from ...utils.errors import UserError

_TRIES = 10  # as in torchvision


@MODELS.register_module()
class ColorizationBatchCrop(ImgDataPreprocessor):
    """In training, apply a random resized crop and a random flip to every photo of a batch.

    It does for a whole batch, on the GPU if the model is there, what `ColorizationCrop` does for
    single photos in the workers of the data loader. The crop of each photo is drawn from the
    distribution of torchvision's RandomResizedCrop, and its pixels equal those of torchvision's
    `resized_crop` with `antialias`.

    The photos of a batch must have the same size: set `cache_square` in the dataset, or add
    ColorizationSquash to its pipeline. The crops depend only on torch's random state, which
    RepeatableHook sets in each step.

    Args:
        size: side of the square crops.
        scale: range of the area of a crop relative to the photo.
        ratio: range of the aspect ratio (width over height) of a crop.
        flip: probability of a horizontal flip.
        **kwargs: arguments of mmengine's ImgDataPreprocessor; the default divides images by 255.

    Raises:
        ValueError: if an argument is invalid.
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
        scale, ratio = as_tuple('scale', scale), as_tuple('ratio', ratio)
        in_order = len(scale) == 2 and 0 < scale[0] <= scale[1] <= 1
        require(in_order, 'scale', scale, 'two increasing numbers in (0, 1]')
        in_order = len(ratio) == 2 and 0 < ratio[0] <= ratio[1]
        require(in_order, 'ratio', ratio, 'two increasing numbers above 0')
        require(0 <= flip <= 1, 'flip', flip, 'a probability in [0, 1]')
        self.size = size
        self.scale = scale
        self.ratio = ratio
        self.flip = flip

    def forward(self, data: dict, training: bool = False) -> dict:
        """Move a batch to the device, normalize it and, in training, crop it.

        Args:
            data: `inputs`, (B, 3, H, W) uint8 or a list of (3, H, W), and optional `data_samples`.
            training: whether to crop.

        Returns:
            The same dict with `inputs` (B, 3, size, size), or (B, 3, H, W) if not `training`.

        Raises:
            UserError: if the photos of a training batch differ in size.
        """
        if training and len({image.shape for image in data['inputs']}) > 1:
            raise UserError(
                'ColorizationBatchCrop needs photos of the same size: add ColorizationSquash to '
                'the pipeline of the training data'
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
        scale: range of the relative area of a crop, uniform.
        ratio: range of the aspect ratio (width over height), uniform in the logarithm.

    Returns:
        Top, left, height and width, each (B,), in whole pixels as float32.
    """
    batch, _, full_height, full_width = images.shape
    shape = batch, _TRIES
    area = full_height * full_width * images.new_empty(shape).uniform_(*scale)
    aspect = images.new_empty(shape).uniform_(*map(math.log, ratio)).exp()
    # After the last try, use the largest centered crop whose aspect ratio is within the range.
    last = min(max(full_width / full_height, ratio[0]), ratio[1])
    last_height = min(full_height, round(full_width / last))
    last_width = min(full_width, round(full_height * last))
    height = torch.cat(((area / aspect).sqrt().round(), area.new_full((batch, 1), last_height)), 1)
    width = torch.cat(((area * aspect).sqrt().round(), area.new_full((batch, 1), last_width)), 1)
    fits = (height >= 1) & (height <= full_height) & (width >= 1) & (width <= full_width)
    first = fits.int().argmax(1, keepdim=True)
    height, width = height.gather(1, first)[:, 0], width.gather(1, first)[:, 0]
    free_height, free_width = full_height - height, full_width - width
    # Uniform over 0, ..., free. The clamp is needed, because rounding could give free + 1.
    top = torch.minimum((torch.rand_like(height) * (free_height + 1)).floor(), free_height)
    left = torch.minimum((torch.rand_like(width) * (free_width + 1)).floor(), free_width)
    middle = first[:, 0] == _TRIES
    top = torch.where(middle, (free_height / 2).floor(), top)
    left = torch.where(middle, (free_width / 2).floor(), left)
    return top, left, height, width


def crop_and_resize(
    images: Tensor, boxes: tuple[Tensor, Tensor, Tensor, Tensor], flips: Tensor, size: int
) -> Tensor:
    """Crop a box from each image, resize it to a square and flip it if `flips` says so.

    Resizing is linear along each axis, so two batched matrix products do it for all images at once.
    `grid_sample` could also use a different box for each image, but it has no antialiasing.

    Args:
        images: (B, C, H, W) float32.
        boxes: top, left, height and width in pixels, each (B,).
        flips: (B,) bool, which images to flip horizontally.
        size: side of the square.

    Returns:
        (B, C, size, size) float32.
    """
    top, left, height, width = boxes
    # Not in half precision, whose products have fewer levels than the 8 bits of a photo.
    with torch.autocast(images.device.type, enabled=False):
        rows = resize_weights(top, height, size, images.shape[2])
        columns = resize_weights(left, width, size, images.shape[3])
        columns = torch.where(flips[:, None, None], columns.flip(1), columns)
        return torch.einsum('byh,bchw,bxw->bcyx', rows, images, columns)


def resize_weights(start: Tensor, length: Tensor, size: int, side: int) -> Tensor:
    """Return the weights that resize a part of a line of pixels.

    The filter is bilinear; when shrinking, the triangle is widened by the scale factor, as in
    Pillow and in torchvision with `antialias`.

    Args:
        start, length: (B,), the part of the line, in pixels.
        size: number of pixels of the result.
        side: number of pixels of the line.

    Returns:
        (B, size, side); each row sums to 1 and is 0 outside the part.
    """
    start, end = start[:, None, None], (start + length)[:, None, None]
    factor = (end - start) / size
    center = start + (torch.arange(size, device=start.device)[:, None] + 0.5) * factor
    pixel = torch.arange(side, device=start.device) + 0.5
    weights = (1 - (pixel - center).abs() / factor.clamp(min=1)).clamp(min=0)
    weights = weights * ((pixel > start) & (pixel < end))
    return weights / weights.sum(-1, keepdim=True)
