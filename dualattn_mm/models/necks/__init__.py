"""The pixel decoder between the encoder and the color head."""

from .pixel_shuffle_neck import PixelShuffleNeck

__all__ = ['PixelShuffleNeck']
