"""The colorization network and the model that trains it."""

from .colorizer import Colorizer
from .multiscale_pyramid_transformer import MultiscalePyramidTransformer

__all__ = ['Colorizer', 'MultiscalePyramidTransformer']
