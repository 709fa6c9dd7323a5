"""All networks at small sizes, and how to compare them with the CPU."""

import contextlib
import copy

import torch
from mmengine.registry import MODELS
from tiny import GENERATOR

PYRAMID = dict(embed_dims=(8, 16, 16, 24), depths=(1, 1, 2, 1), stem_channels=6)
ENCODER = dict(type='DualAttention', arch=PYRAMID, window_size=3, head_dim=4, group_dim=8)
BEV = dict(type='DualAttentionBEV', in_channels=6, out_channels=(32, 64))
BEV |= dict(layer_nums=(5, 5), layer_strides=(1, 2))
HEAD = dict(in_channels=16, num_layers=2, num_heads=2, feedforward_channels=32, num_queries=8)
GLH = dict(embed_dims=8, depths=[2, 2, 2, 2], num_heads=[1, 2, 2, 4])

# The config of each network, and the shape of its input. Windows fill some maps and not others.
NETWORKS = {
    'tiny': (dict(type='DualAttention', arch='tiny'), (2, 3, 96, 70)),
    'small': (dict(type='DualAttention', arch='small'), (1, 3, 64, 64)),
    'base': (dict(type='DualAttention', arch='base'), (1, 3, 64, 64)),
    'encoder': (ENCODER, (2, 3, 75, 70)),
    'pooled': (dict(ENCODER, out_indices=(1, 3), gap_before_final_norm=True), (2, 3, 48, 48)),
    'traditional': (dict(ENCODER, order=('ca', 'da')), (2, 3, 48, 70)),
    'tokens': (dict(ENCODER, fca_scale='tokens', in_channels=1), (1, 1, 96, 96)),
    'bev': (BEV, (2, 6, 32, 30)),
    'head': (dict(HEAD, type='ColorAttention'), (2, 16, 12, 10)),
    'colorizer': (GENERATOR, (2, 1, 64, 50)),
    'paper': (dict(type='MultiscalePyramidTransformer'), (1, 1, 64, 64)),
    'critic': (dict(type='WassersteinCritic', channels=(8, 16)), (3, 3, 32, 40)),
    'memory': (dict(type='ColorMemory', in_channels=8, num_semantics=20), (2, 8, 6, 5)),
    'glh': (
        dict(type='GLHTransformer', arch=GLH, window_size=3, drop_path_rate=0.0),
        (1, 3, 64, 48),
    ),
    'color blocks': (dict(type='EncoderBlocksHead', kind='dual_attention'), (1, 256, 8, 8)),
}
# What a network needs besides the core.
NEEDS = {'bev': 'mmcv', 'glh': 'projects.colorformer.glh_transformer'}


def build(config):
    """A network whose parameters are not at their initial zeros and ones; memories are filled."""
    torch.manual_seed(0)
    network = MODELS.build(dict(config))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        for buffer in network.buffers():
            if buffer.isnan().any():
                buffer.normal_()
    network.train()  # mmpretrain's Swin does not return itself
    return network


def maps_and_gradients(network, x, autocast=None):
    """Outputs by number, and the gradients of their fixed random projection by name."""
    x = x.clone().requires_grad_()
    with autocast or contextlib.nullcontext():
        outs = network(x)
    outs = outs if isinstance(outs, tuple) else (outs,)
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(o.shape, generator=generator, dtype=torch.float64) for o in outs]
    sum((o.double() * w.to(o.device)).sum() for o, w in zip(outs, weights, strict=True)).backward()
    named = dict(network.named_parameters(), input=x)
    grads = {name: p.grad for name, p in named.items() if p.grad is not None}
    return {i: o.detach() for i, o in enumerate(outs)}, grads


def reference(network, x):
    """The same in float64 on the CPU."""
    return maps_and_gradients(copy.deepcopy(network).double(), x.double())


def assert_within(found, expected, tolerance):
    """Compare each tensor; the tolerance is relative to its largest value.

    Some gradients are 0 except for rounding errors, for example those that a softmax cancels.
    """
    assert found.keys() == expected.keys()
    floor = 1e-3 * max(value.abs().max().item() for value in expected.values())
    errors = {
        name: (found[name].double().cpu() - value).abs().max().item()
        / max(value.abs().max().item(), floor)
        for name, value in expected.items()
    }
    bad = {name: f'{error:.1e}' for name, error in errors.items() if not error <= tolerance}
    assert not bad  # NaN is bad as well


def assert_norm_within(found, expected, tolerance):
    """Compare all tensors together by their Euclidean norm, as half precision needs."""
    assert found.keys() == expected.keys()
    square = sum(value.square().sum() for value in expected.values())
    error = sum((found[k].double().cpu() - v).square().sum() for k, v in expected.items())
    ratio = (error / square).sqrt().item()
    assert ratio <= tolerance, f'{ratio:.1e}'
