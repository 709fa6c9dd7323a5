"""Metrics of colorization. Importing this registers them; what they need is imported in use."""

from ..utils.colorfulness import VARIANTS, colorfulness, mean_colorfulness
from .color import (
    ColorizationABError,
    ColorizationCF,
    ColorizationDull,
    ColorizationHue,
    ColorizationTinge,
)
from .fid import ColorizationFID
from .fidelity import ColorizationPSNR, ColorizationSSIM
from .image_metric import ImageMetric, to_bytes
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
    'ColorizationSSIM',
    'ColorizationTinge',
    'ImageMetric',
    'colorfulness',
    'mean_colorfulness',
    'to_bytes',
]
