"""DualAttention for OpenMMLab: one encoder for colorization, classification and detection.

`custom_imports = dict(imports=['dualattn_mm'])` registers the networks for every OpenMMLab library.
"""

from typing import TYPE_CHECKING, Any

from .registration import register, register_with_mmengine
from .version import __version__

if TYPE_CHECKING:
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

register_with_mmengine()


def __getattr__(name: str) -> Any:
    """Import the networks, and with them PyTorch, on the first access to one of them."""
    if name == 'models' or name in __all__:
        models = register()
        return models if name == 'models' else getattr(models, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
