"""DualAttention for OpenMMLab: one encoder for colorization, classification and detection.

`custom_imports = dict(imports=['dualattn_mm'])` registers the networks for every OpenMMLab library.
"""

import warnings

from .version import __version__

with warnings.catch_warnings():
    # mmengine imports transformers where it is installed; the release that mmagic needs warns.
    warnings.simplefilter('ignore', FutureWarning)
    from .models import (
        ColorAttention,
        Colorizer,
        DualAttention,
        DualAttentionBEV,
        MultiscalePyramidTransformer,
        PixelShuffleNeck,
    )

__all__ = [
    'ColorAttention',
    'Colorizer',
    'DualAttention',
    'DualAttentionBEV',
    'MultiscalePyramidTransformer',
    'PixelShuffleNeck',
    '__version__',
]
