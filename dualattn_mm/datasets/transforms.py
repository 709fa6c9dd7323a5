"""Transforms from the path of a photo to the uint8 RGB tensor that the colorizer expects."""

from collections.abc import Sequence
from pathlib import Path

from mmengine.registry import TRANSFORMS
from mmengine.structures import BaseDataElement

from ..utils.colorfulness import colorfulness
from ..utils.tensors import read_photo, squash


@TRANSFORMS.register_module()
class LoadPhoto:
    """Read `img_path` to `img`, (3, H, W) uint8 upright sRGB, unless the dataset has done so."""

    def __call__(self, results: dict) -> dict:
        image = results.get('img')
        if image is None:
            image = read_photo(Path(results['img_path']))
        return dict(results, img=image, ori_shape=tuple(image.shape[1:]))


@TRANSFORMS.register_module()
class SkipNearGray:
    """Replace photos with little color, which teach the network to stay gray, by other photos.

    Args:
        min_colorfulness: the smallest `colorfulness` to keep, measured on the photo subsampled to
            about 128 pixels per side.
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
    """Apply torchvision's random resized crop and horizontal flip to `img` (Sec. IV-A).

    Args:
        size: side of the square crop.
        scale: range of the area of the crop relative to the photo.
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
    """Crop the largest centered square of `img`."""

    def __call__(self, results: dict) -> dict:
        from torchvision.transforms.v2 import functional

        image = results['img']
        return dict(results, img=functional.center_crop(image, [min(image.shape[1:])] * 2))


@TRANSFORMS.register_module()
class ColorizationSquash:
    """Resize `img` to a square and ignore its aspect ratio, as in the published evaluation.

    Args:
        size: side of the square.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, results: dict) -> dict:
        return dict(results, img=squash(results['img'], self.size))


@TRANSFORMS.register_module()
class PackColorization:
    """Pack `img` as `inputs`, and as `gt_img` in the sample (mmagic's field names).

    Args:
        ground_truth: whether to store `gt_img` in the sample, which metrics and visualizers read.
            Training does not need it. Without it, data loader workers send the image only once.
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
