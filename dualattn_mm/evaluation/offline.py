"""The metrics that need no download."""

from .color import (
    ColorizationABError,
    ColorizationCF,
    ColorizationDull,
    ColorizationHue,
    ColorizationTinge,
)
from .fidelity import ColorizationPSNR, ColorizationPSNROverGray, ColorizationSSIM
from .image_metric import ImageMetric


def offline_metrics(variant: str = 'signed') -> list[ImageMetric]:
    """Return new metrics that need no download, those of `configs/_base_/color_test.py`.

    Args:
        variant: the definition of CF.
    """
    return [
        ColorizationCF(variant),
        ColorizationPSNR(),
        ColorizationPSNROverGray(),
        ColorizationSSIM(),
        ColorizationABError(),
        ColorizationHue(),
        ColorizationTinge(),
        ColorizationDull(),
    ]
