"""The networks. Importing this package registers them in mmengine's root MODELS."""

import warnings

with warnings.catch_warnings():
    # mmengine imports transformers if it is installed; the release that mmagic needs warns.
    warnings.simplefilter('ignore', FutureWarning)
    from .backbones import DualAttention, DualAttentionBEV
    from .colorizers import Colorizer, MultiscalePyramidTransformer
    from .data_preprocessors import ColorizationBatchCrop
    from .heads import ColorAttention
    from .losses import (
        ChromaLoss,
        ColorDistillation,
        ColorfulPSNRLoss,
        FeatureDistillation,
        RebalancedColorLoss,
        TeacherPerceptualLoss,
        VGG19PerceptualLoss,
        WassersteinCritic,
        WassersteinLoss,
    )
    from .necks import PixelShuffleNeck

__all__ = [
    'ChromaLoss',
    'ColorAttention',
    'ColorDistillation',
    'ColorfulPSNRLoss',
    'ColorizationBatchCrop',
    'Colorizer',
    'DualAttention',
    'DualAttentionBEV',
    'FeatureDistillation',
    'MultiscalePyramidTransformer',
    'PixelShuffleNeck',
    'RebalancedColorLoss',
    'TeacherPerceptualLoss',
    'VGG19PerceptualLoss',
    'WassersteinCritic',
    'WassersteinLoss',
]
