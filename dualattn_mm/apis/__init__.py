"""Colorizing images: one pipeline that the command line, tools and Python users call."""

from ..utils.errors import ColorizeError
from .pipeline import ColorizationPipeline
from .weights import load_generator, save_generator

__all__ = ['ColorizationPipeline', 'ColorizeError', 'load_generator', 'save_generator']
