"""The networks. Importing this registers them in mmengine's root MODELS."""

from .backbones import DualAttention, DualAttentionBEV
from .colorizers import Colorizer, MultiscalePyramidTransformer
from .heads import ColorAttention
from .losses import (
    FeatureDistillation,
    RebalancedColorLoss,
    VGG19PerceptualLoss,
    WassersteinCritic,
    WassersteinLoss,
)
from .necks import PixelShuffleNeck

__all__ = [
    'ColorAttention',
    'Colorizer',
    'DualAttention',
    'DualAttentionBEV',
    'FeatureDistillation',
    'MultiscalePyramidTransformer',
    'PixelShuffleNeck',
    'RebalancedColorLoss',
    'VGG19PerceptualLoss',
    'WassersteinCritic',
    'WassersteinLoss',
]
