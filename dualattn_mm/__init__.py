"""DualAttention for OpenMMLab: one encoder for colorization, classification and detection.

`custom_imports = dict(imports=['dualattn_mm'])` registers the networks for every OpenMMLab library.
"""

from .models import (
    ColorAttention,
    Colorizer,
    DualAttention,
    DualAttentionBEV,
    MultiscalePyramidTransformer,
    PixelShuffleNeck,
)
from .version import __version__

__all__ = [
    'ColorAttention',
    'Colorizer',
    'DualAttention',
    'DualAttentionBEV',
    'MultiscalePyramidTransformer',
    'PixelShuffleNeck',
    '__version__',
]
