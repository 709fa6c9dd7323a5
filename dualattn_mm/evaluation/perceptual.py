"""LPIPS of every image, computed with the package of its authors."""

import re
import warnings

from mmengine.registry import METRICS
from torch import Tensor

from ..utils.checkpoint_file import misfit, read_weights, weights_file
from ..utils.errors import UserError, shortened
from ..utils.libraries import library
from .image_metric import MeanOverImages

WEIGHTS = 'https://download.pytorch.org/models/alexnet-owt-7be5be79.pth'
_DIGEST = '7be5be79'
_WHAT = "LPIPS' AlexNet"
_LEAST = 31  # AlexNet's second pooling has no output for smaller images


@METRICS.register_module()
class ColorizationLPIPS(MeanOverImages):
    """Learned perceptual image patch similarity (Zhang et al. 2018: v0.1, AlexNet), mean of images.

    The weights of AlexNet are loaded when the metric is built, before any image is processed. The
    learned factors come with the lpips package. Smaller is more similar; equal images have 0.

    Args:
        weights: file with the state dict of torchvision's `alexnet()`
            (alexnet-owt-7be5be79.pth); None downloads it once.
        **kwargs: arguments of `ImageMetric`.

    Raises:
        FileNotFoundError: if the weights file does not exist.
        UserError: if the weights cannot be used or downloaded, a library is missing, or an image is
            smaller than 31 pixels.
    """

    name = 'LPIPS'

    def __init__(self, weights: str | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        lpips = library('lpips')
        argument = 'weights=FILE of ColorizationLPIPS, or --lpips-weights FILE of tools/measure.py'
        path = weights_file(weights, WEIGHTS, _DIGEST, _WHAT, argument)
        state = read_weights(path, _WHAT, 'LPIPS')
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # lpips uses an argument that torchvision renamed
            # pnet_rand: do not download AlexNet, because its weights come from the file.
            self.network = lpips.LPIPS(net='alex', pnet_rand=True, verbose=False)
        trunk = self.network.net
        # lpips numbers layers as torchvision does, but groups them in slices.
        names = {key: re.sub(r'^slice\d+', 'features', key) for key in trunk.state_dict()}
        missing = [name for name in names.values() if name not in state]
        if missing:
            raise misfit(path, _WHAT, RuntimeError(f'{shortened(missing)} missing'))
        try:
            trunk.load_state_dict({key: state[name] for key, name in names.items()}, strict=True)
        except RuntimeError as error:
            raise misfit(path, _WHAT, error) from None

    def of_image(self, prediction: Tensor, truth: Tensor) -> Tensor:
        if min(truth.shape[1:]) < _LEAST:
            size = 'x'.join(map(str, truth.shape[1:]))
            raise UserError(f'LPIPS needs images of at least {_LEAST} pixels per side, got {size}')
        network = self.network.to(prediction.device)
        return network(prediction[None] / 255, truth[None] / 255, normalize=True)
