"""A small encoder for tests, and its gradients."""

import torch

from dualattn_mm import DualAttention

ARCH = dict(embed_dims=(8, 16, 16, 24), depths=(1, 1, 2, 1), stem_channels=6)
SMALL = dict(arch=ARCH, window_size=3, head_dim=4, group_dim=8)


def small(**kwargs):
    return DualAttention(**{**SMALL, **kwargs})


def gradients(model, x, seed=0):
    """Outputs and gradients of a fixed random projection of all outputs."""
    torch.manual_seed(seed)
    model.zero_grad()
    outs = model(x)
    generator = torch.Generator().manual_seed(1)
    sum((o * torch.randn(o.shape, generator=generator)).sum() for o in outs).backward()
    return outs, {name: p.grad for name, p in model.named_parameters()}
