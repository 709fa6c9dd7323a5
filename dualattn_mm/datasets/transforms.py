"""From a photo's path to what the colorizer takes: uint8 RGB tensors."""

from collections.abc import Sequence
from pathlib import Path

from mmengine.registry import TRANSFORMS
from mmengine.structures import BaseDataElement

from ..utils.colorfulness import colorfulness
from ..utils.tensors import read_photo, squash


@TRANSFORMS.register_module()
class LoadPhoto:
    """Read `img_path` (upright, sRGB) to `img`: (3, H, W) uint8 RGB, unless the data set did."""

    def __call__(self, results: dict) -> dict:
        image = results.get('img')
        if image is None:
            image = read_photo(Path(results['img_path']))
        return dict(results, img=image, ori_shape=tuple(image.shape[1:]))


@TRANSFORMS.register_module()
class SkipNearGray:
    """Replace photos with little color, which teach that gray is right, by other photos.

    Args:
        min_colorfulness: the smallest `colorfulness` to keep,
            measured on the photo subsampled to about 128 pixels each way.
    """

    def __init__(self, min_colorfulness: float) -> None:
        self.min_colorfulness = min_colorfulness

    def __call__(self, results: dict) -> dict | None:
        image = results['img']
        step = max(1, round(min(image.shape[1:]) / 128))
        thinned = image[:, ::step, ::step].permute(1, 2, 0).numpy()
        return results if colorfulness(thinned) >= self.min_colorfulness else None


@TRANSFORMS.register_module()
class ColorizationCrop:
    """Random resized crop and horizontal flip of `img` (Sec. IV-A), by torchvision.

    Args:
        size: side of the square crop.
        scale: range of the crop's area over the photo's.
    """

    def __init__(self, size: int, scale: Sequence[float] = (0.08, 1.0)) -> None:
        from torchvision.transforms import v2

        self.transform = v2.Compose(
            [
                v2.RandomResizedCrop(size, scale, antialias=True),
                v2.RandomHorizontalFlip(),
            ]
        )

    def __call__(self, results: dict) -> dict:
        return dict(results, img=self.transform(results['img']))


@TRANSFORMS.register_module()
class ColorizationCenterSquare:
    """Cut the largest square out of the middle of `img`."""

    def __call__(self, results: dict) -> dict:
        from torchvision.transforms.v2 import functional

        image = results['img']
        return dict(results, img=functional.center_crop(image, [min(image.shape[1:])] * 2))


@TRANSFORMS.register_module()
class ColorizationSquash:
    """Resize `img` to a square whatever its shape, as the published figures are measured.

    Args:
        size: side of the square.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, results: dict) -> dict:
        return dict(results, img=squash(results['img'], self.size))


@TRANSFORMS.register_module()
class PackColorization:
    """Pack `img` as `inputs` and, in the sample, as `gt_img` (mmagic's field names).

    Args:
        ground_truth: whether the sample gets its `gt_img`, which metrics and visualizers read.
            Training does not need it, so the workers of the data loader send it only once.
    """

    def __init__(self, ground_truth: bool = True) -> None:
        self.ground_truth = ground_truth

    def __call__(self, results: dict) -> dict:
        sample = BaseDataElement(
            metainfo=dict(img_path=results['img_path'], ori_shape=results['ori_shape'])
        )
        if self.ground_truth:
            sample.gt_img = results['img']
        return dict(inputs=results['img'], data_samples=sample)
