"""What the paper compares with in Tables II and III; nothing else loads it.

In a config by its whole name, `type='dualattn_mm.ablations.EncoderBlocksHead'`, which needs no
custom_imports.
"""

from .encoder_blocks import EncoderBlocksHead

__all__ = ['EncoderBlocksHead']
