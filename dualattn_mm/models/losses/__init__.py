"""The losses of the colorizer, and the critic of its adversarial loss."""

from .critic import WassersteinCritic, WassersteinLoss
from .distillation import FeatureDistillation
from .perceptual_loss import VGG19PerceptualLoss
from .rebalanced_loss import RebalancedColorLoss

__all__ = [
    'FeatureDistillation',
    'RebalancedColorLoss',
    'VGG19PerceptualLoss',
    'WassersteinCritic',
    'WassersteinLoss',
]
