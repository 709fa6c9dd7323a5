"""Colorize images with one pipeline, shared by the command line, the tools and Python users."""

from ..utils.errors import ColorizeError
from .pipeline import ColorizationPipeline
from .weights import load_generator, save_generator

__all__ = ['ColorizationPipeline', 'ColorizeError', 'load_generator', 'save_generator']
