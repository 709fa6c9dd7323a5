"""The head that predicts color."""

from .color_attention import ColorAttention

__all__ = ['ColorAttention']
