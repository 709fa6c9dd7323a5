"""PSNR and SSIM of every image, computed with torchmetrics."""

from math import isnan, nan

import torch
from mmengine.registry import METRICS
from torch import Tensor

from ..utils.errors import UserError
from ..utils.libraries import library
from ..utils.tensors import without_color
from .image_metric import MeanOverImages, to_bytes

PSNR_OF_EQUALS = 100.0
_WINDOW = 11


@METRICS.register_module()
class ColorizationPSNR(MeanOverImages):
    """Peak signal-to-noise ratio over the three channels in dB, then the mean over images.

    The value of an image is limited to 100 dB, which we chose. Without a limit, a single gray photo
    that a method leaves gray would make the mean infinite. The smallest possible difference is
    101 dB at 256 x 256.
    """

    name = 'PSNR'

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self._psnr = library('torchmetrics.functional.image').peak_signal_noise_ratio

    def of_image(self, prediction: Tensor, truth: Tensor) -> Tensor:
        value = self._psnr(prediction.float(), truth.float(), data_range=255.0)
        return value.clamp(max=PSNR_OF_EQUALS)


@METRICS.register_module()
class ColorizationPSNROverGray(ColorizationPSNR):
    """Improvement of the PSNR over the gray photo in dB, then the mean over images.

    The gray photo is the input of the network, which is the CIELAB lightness of the original.
    Originals that are gray themselves are left out: any tinge in the prediction of one would cost
    some 60 dB.
    """

    name = 'PSNR_over_gray'

    def of_image(self, prediction: Tensor, truth: Tensor) -> Tensor:
        gray = to_bytes(without_color(truth))
        if torch.equal(gray, truth):
            return torch.tensor(nan)
        return super().of_image(prediction, truth) - super().of_image(gray, truth)

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        found = [value for value in results if not isnan(value)]
        return super().compute_metrics(found) if found else {self.name: nan}


@METRICS.register_module()
class ColorizationSSIM(MeanOverImages):
    """Structural similarity (Wang et al. 2004: Gaussian window of 11, sigma 1.5), mean over images.

    The value of an image is the mean over the three channels, each compared separately, and over
    the windows inside the image, as in the authors' program. torchmetrics' own mean also includes
    mirrored borders.
    """

    name = 'SSIM'

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self._ssim = library('torchmetrics.functional.image').structural_similarity_index_measure

    def of_image(self, prediction: Tensor, truth: Tensor) -> Tensor:
        if min(truth.shape[1:]) < _WINDOW:
            size = 'x'.join(map(str, truth.shape[1:]))
            raise UserError(f'SSIM needs images of at least {_WINDOW} pixels per side, got {size}')
        pair = prediction[None].double(), truth[None].double()
        _, whole = self._ssim(*pair, data_range=255.0, return_full_image=True)
        border = _WINDOW // 2
        return whole[..., border:-border, border:-border].mean()
