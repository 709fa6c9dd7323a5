"""The losses of the colorizer, and the critic of its adversarial loss."""

from .chroma_loss import ChromaLoss
from .color_distillation import ColorDistillation
from .colorful_psnr_loss import ColorfulPSNRLoss
from .critic import WassersteinCritic, WassersteinLoss
from .distillation import FeatureDistillation
from .perceptual_loss import VGG19PerceptualLoss
from .rebalanced_loss import RebalancedColorLoss
from .teacher_perceptual_loss import TeacherPerceptualLoss

__all__ = [
    'ChromaLoss',
    'ColorDistillation',
    'ColorfulPSNRLoss',
    'FeatureDistillation',
    'RebalancedColorLoss',
    'TeacherPerceptualLoss',
    'VGG19PerceptualLoss',
    'WassersteinCritic',
    'WassersteinLoss',
]
