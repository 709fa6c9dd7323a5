"""Frechet inception distance with torch-fidelity's Inception and torchmetrics' distance."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.registry import METRICS, MODELS
from torch import Tensor, nn

from ..utils.checkpoint_file import misfit, read_weights, weights_file
from ..utils.errors import UserError
from ..utils.libraries import library
from .image_metric import ImageMetric

WEIGHTS = (
    'https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/'
    'weights-inception-2015-12-05-6726825d.pth'
)
_DIGEST = '6726825d'
_WHAT = "FID's Inception"
_AT_ONCE = 1000  # number of features that are summed at once in float64


@METRICS.register_module()
class ColorizationFID(ImageMetric):
    """FID (Heusel et al. 2017) between the predictions and the originals.

    The weights of Inception are loaded when the metric is built, before any image is processed. The
    sums are computed in float64. With fewer than about 2048 images (one per feature), the FID is
    not reliable.

    Args:
        weights: file with the weights of torch-fidelity's Inception
            (weights-inception-2015-12-05-6726825d.pth); None downloads them once.
        network: another feature network, or its config, that maps (B, 3, H, W) uint8 RGB to
            (B, features). `weights` is then not used.
        **kwargs: arguments of `ImageMetric`.

    Raises:
        FileNotFoundError: if the weights file does not exist.
        UserError: if the weights cannot be used or downloaded, or a library is missing.
    """

    def __init__(
        self,
        weights: str | None = None,
        network: nn.Module | Mapping[str, Any] | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self._distance = library('torchmetrics.image.fid').FrechetInceptionDistance
        if network is None:
            network = _inception(weights)
        elif not isinstance(network, nn.Module):
            network = MODELS.build(dict(network))
        self.network = network.eval()

    def compare(self, predictions: list[Tensor], truths: list[Tensor]) -> list[Tensor]:
        of_both = zip(self._features(predictions), self._features(truths), strict=True)
        return [torch.stack(pair).cpu() for pair in of_both]

    def compute_metrics(self, results: list[Tensor]) -> dict[str, float]:
        if len(results) < 2:
            raise UserError('FID needs at least two images')
        given = PrecomputedFeatures(results[0].shape[1])
        # Without this, it would wait for the other processes, which do not call it.
        distance = self._distance(feature=given, sync_on_compute=False)
        for start in range(0, len(results), _AT_ONCE):
            pairs = torch.stack(results[start : start + _AT_ONCE]).double()
            distance.update(pairs[:, 0], real=False)
            distance.update(pairs[:, 1], real=True)
        return dict(FID=float(distance.compute()))

    def _features(self, images: list[Tensor]) -> list[Tensor]:
        """Compute the features of each image, (features,) each."""
        network = self.network.to(images[0].device)
        alike = len({image.shape for image in images}) == 1
        batches = [torch.stack(images)] if alike else [image[None] for image in images]
        return [row for batch in batches for row in network(batch)]


class PrecomputedFeatures(nn.Module):
    """Pass features through to torchmetrics, because they come from several processes."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


class _Inception(nn.Module):
    """torch-fidelity's network with only the output that is needed."""

    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        self.extractor = extractor

    def forward(self, images: Tensor) -> Tensor:
        return self.extractor(images)[0]


def _inception(weights: str | None) -> nn.Module:
    extractor = library('torch_fidelity.feature_extractor_inceptionv3').FeatureExtractorInceptionV3
    argument = 'weights=FILE of ColorizationFID, or --fid-weights FILE of tools/measure.py'
    path = weights_file(weights, WEIGHTS, _DIGEST, _WHAT, argument)
    # The extractor would execute code in the file that it loads, so the file is checked first.
    read_weights(path, _WHAT, 'FID')
    try:
        return _Inception(extractor('inception-v3-compat', ['2048'], str(path)))
    except RuntimeError as error:
        raise misfit(path, _WHAT, error) from None
