"""Crops of whole batches, against torchvision's crops of single images."""

import math

import pytest
import torch
from mmengine.registry import MODELS
from scipy.stats import ks_2samp
from skimage.data import astronaut
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional

from dualattn_mm.models import ColorizationBatchCrop
from dualattn_mm.models.data_preprocessors.colorization_batch_crop import (
    crop_and_resize,
    random_boxes,
)
from dualattn_mm.utils.errors import UserError

SCALE, RATIO = (0.2, 0.9), (0.6, 1.5)


@pytest.fixture(scope='module')
def photo():
    """(3, 128, 120) float32, in [0, 255]."""
    image = torch.from_numpy(astronaut()[::4, :480:4].copy())
    return image.permute(2, 0, 1).float()


def boxes_of(*boxes):
    return tuple(torch.tensor(numbers, dtype=torch.float32) for numbers in zip(*boxes, strict=True))


@pytest.mark.parametrize('size', [24, 96, 160])  # smaller than the boxes, between them, larger
def test_boxes_are_cropped_and_resized_as_by_torchvision(photo, size):
    boxes = [(0, 0, 128, 120), (5, 17, 60, 80), (67, 0, 61, 40), (10, 100, 100, 20), (3, 4, 1, 1)]
    flips = torch.tensor([False, True, False, True, False])
    batch = photo.expand(len(boxes), -1, -1, -1)
    results = crop_and_resize(batch, boxes_of(*boxes), flips, size)
    assert results.shape == (5, 3, size, size)
    for result, box, flip in zip(results, boxes, flips, strict=True):
        expected = functional.resized_crop(photo, *box, [size, size], antialias=True)
        expected = functional.horizontal_flip(expected) if flip else expected
        torch.testing.assert_close(result, expected, rtol=0, atol=2e-3)


def test_half_precision_around_it_costs_no_levels(photo):
    batch, boxes, flips = photo[None], boxes_of((5, 17, 60, 80)), torch.tensor([False])
    expected = crop_and_resize(batch, boxes, flips, 64)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(crop_and_resize(batch, boxes, flips, 64), expected)


def drawn_by_torchvision(height, width, count):
    image = torch.empty(3, height, width)
    return torch.tensor(
        [RandomResizedCrop.get_params(image, SCALE, RATIO) for _ in range(count)],
        dtype=torch.float32,
    ).T


# In the long one most tries do not fit, and one in five ends with the crop in the middle.
@pytest.mark.parametrize(('height', 'width'), [(208, 208), (100, 150), (40, 240)])
def test_boxes_are_distributed_as_those_of_torchvision(height, width):
    count = 2000
    ours = random_boxes(torch.empty(count, 3, height, width), SCALE, RATIO)
    theirs = drawn_by_torchvision(height, width, count)
    for top, left, box_height, box_width in (ours, theirs):
        assert (box_height >= 1).all()
        assert (box_width >= 1).all()
        assert (top >= 0).all()
        assert (left >= 0).all()
        assert (top + box_height <= height).all()
        assert (left + box_width <= width).all()
    for name, figure in dict(
        top=lambda top, left, height, width: top,
        left=lambda top, left, height, width: left,
        area=lambda top, left, height, width: height * width,
        ratio=lambda top, left, height, width: width / height,
    ).items():
        assert ks_2samp(figure(*ours), figure(*theirs), method='asymp').pvalue > 1e-3, name


def test_the_last_resort_is_the_middle():
    images = torch.empty(4, 3, 20, 400)
    top, left, height, width = random_boxes(images, (1.0, 1.0), (3 / 4, 4 / 3))
    assert top.tolist() == [0] * 4
    assert height.tolist() == [20] * 4
    assert width.tolist() == [round(20 * 4 / 3)] * 4
    assert left.tolist() == [(400 - 27) // 2] * 4


def test_photos_of_a_batch_get_crops_and_flips_of_their_own(photo):
    crop = ColorizationBatchCrop(size=32, scale=(0.3, 0.5))
    batch = dict(inputs=photo.to(torch.uint8).repeat(16, 1, 1, 1))
    images = crop(dict(batch), training=True)['inputs']
    assert images.dtype == torch.float32
    assert 0 <= images.min() < images.max() <= 1
    assert len({tuple(image.flatten().tolist()) for image in images}) == 16
    torch.manual_seed(1)
    first = crop(dict(batch), training=True)['inputs']
    assert not torch.equal(first, images)
    torch.manual_seed(1)
    assert torch.equal(crop(dict(batch), training=True)['inputs'], first)


@pytest.mark.parametrize('flip', [0.0, 0.25, 1.0])
def test_share_of_flips(photo, flip):
    crop = ColorizationBatchCrop(size=24, scale=(1, 1), ratio=(1, 1), flip=flip)
    square = photo[:, :24, :24]
    images = crop(dict(inputs=square.to(torch.uint8).repeat(400, 1, 1, 1)), training=True)['inputs']
    flipped = ((images - square / 255).abs().amax((1, 2, 3)) > 0.01).float().mean()
    assert float(flipped) == pytest.approx(flip, abs=4 * math.sqrt(0.25 * 0.75 / 400))


def test_photos_are_not_cropped_in_testing(photo):
    crop = MODELS.build(dict(type='ColorizationBatchCrop', size=32))
    inputs = photo.to(torch.uint8)
    for batch in (inputs[None], [inputs]):
        assert torch.equal(crop(dict(inputs=batch))['inputs'], inputs[None] / 255)


def test_photos_of_different_sizes_are_reported_in_one_line(photo):
    with pytest.raises(UserError, match='same size: add ColorizationSquash') as error:
        ColorizationBatchCrop(32)(dict(inputs=[photo, photo[:, 1:]]), training=True)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'arguments',
    [
        dict(size=0),
        dict(scale=(0, 1)),
        dict(scale=(0.5, 1.5)),
        dict(scale=0.5),
        dict(ratio=(2, 1)),
        dict(ratio=(1,)),
        dict(flip=2),
    ],
)
def test_wrong_arguments_are_reported(arguments):
    [name] = arguments
    with pytest.raises(ValueError, match=name):
        ColorizationBatchCrop(**{**dict(size=32), **arguments})
