"""Metrics of colorization. Importing this registers them; their libraries are imported later."""

from ..utils.colorfulness import VARIANTS, colorfulness, mean_colorfulness
from .color import (
    ColorizationABError,
    ColorizationCF,
    ColorizationDull,
    ColorizationHue,
    ColorizationTinge,
)
from .fid import ColorizationFID
from .fidelity import ColorizationPSNR, ColorizationPSNROverGray, ColorizationSSIM
from .image_metric import ImageMetric, to_bytes
from .offline import offline_metrics
from .perceptual import ColorizationLPIPS

__all__ = [
    'VARIANTS',
    'ColorizationABError',
    'ColorizationCF',
    'ColorizationDull',
    'ColorizationFID',
    'ColorizationHue',
    'ColorizationLPIPS',
    'ColorizationPSNR',
    'ColorizationPSNROverGray',
    'ColorizationSSIM',
    'ColorizationTinge',
    'ImageMetric',
    'colorfulness',
    'mean_colorfulness',
    'offline_metrics',
    'to_bytes',
]
