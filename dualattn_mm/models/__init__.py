"""The networks. Importing this registers them in mmengine's root MODELS."""

from .bev import DualAttentionBEV
from .color_attention import ColorAttention
from .colorizer import Colorizer
from .critic import WassersteinCritic, WassersteinLoss
from .distillation import FeatureDistillation
from .dual_attention import DualAttention
from .generator import MultiscalePyramidTransformer
from .neck import PixelShuffleNeck
from .perceptual_loss import VGG19PerceptualLoss
from .rebalanced_loss import RebalancedColorLoss

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
