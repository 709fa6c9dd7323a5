"""The encoders for images and for bird's-eye-view maps."""

from .dual_attention import DualAttention
from .dual_attention_bev import DualAttentionBEV

__all__ = ['DualAttention', 'DualAttentionBEV']
