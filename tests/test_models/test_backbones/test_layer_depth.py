"""mmpretrain's layer-wise decay of the learning rate, on our backbone."""

import pytest
import torch
from mmengine import DefaultScope
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from torch import nn

from dualattn_mm import DualAttention

ARCH = dict(embed_dims=(8, 16, 24, 32), depths=(1, 1, 2, 1), stem_channels=4)
SMALL = dict(arch=ARCH, head_dim=8, group_dim=8)


@pytest.mark.parametrize('order', [('sda', 'fca'), ('fca', 'sda'), ('fca', 'fca'), ('sda',)])
def test_depth_rises_along_the_forward_pass(order):
    """No module runs before one of lower depth; hooks tell the order, names do not."""
    model = DualAttention(**SMALL, order=order).eval()
    seen = []
    for name, module in model.named_modules():
        if not any(True for _ in module.children()) and any(True for _ in module.parameters()):
            depth, num_layers = model.get_layer_depth(f'x.{name}.weight', 'x.')
            module.register_forward_hook(lambda *_, d=depth, n=name: seen.append((d, n)))
    model(torch.rand(1, 3, 32, 32))
    half_blocks = 5 * len(order)
    assert num_layers == half_blocks + 2
    body = [depth for depth, name in seen if not name.startswith('norm')]
    assert body == sorted(body)
    assert set(body) == set(range(half_blocks + 1))
    assert {depth for depth, name in seen if name.startswith('norm')} == {half_blocks + 1}


def test_as_many_layers_as_swin():
    with torch.device('meta'):
        depths = {arch: DualAttention(arch).get_layer_depth('x')[1] for arch in ('tiny', 'base')}
    assert depths == dict(tiny=14, base=24)  # Swin-T: 14; Swin-B with one pair fewer than its 26


def test_optimizer_of_a_classifier(openmmlab):
    classifier = dict(
        type='ImageClassifier',
        backbone=dict(
            type='DualAttention',
            arch='tiny',
            out_indices=(3,),
            gap_before_final_norm=True,
            frozen_stages=0,
        ),
        head=dict(type='LinearClsHead', num_classes=5, in_channels=768),
    )
    optim_wrapper = dict(
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.05),
        constructor='LearningRateDecayOptimWrapperConstructor',
        paramwise_cfg=dict(layer_decay_rate=0.5, norm_decay_mult=0.0, flat_decay_mult=0.0),
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(classifier)
        groups = build_optim_wrapper(model, optim_wrapper).optimizer.param_groups
    groups = {group['param_name']: group for group in groups}
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert set(groups) == set(parameters)
    assert not any(name.startswith('backbone.stem.') for name in groups)  # frozen

    expected = {
        'backbone.downsamples.0.norm.weight': 12,
        'backbone.stages.0.blocks.0.sda.attn.qkv.weight': 12,
        'backbone.stages.0.blocks.0.fca.ffn.fc2.bias': 11,
        'backbone.downsamples.1.conv.weight': 10,
        'backbone.stages.2.blocks.1.fca.attn.dwconv.weight': 5,
        'backbone.downsamples.3.conv.bias': 2,
        'backbone.stages.3.blocks.0.fca.norm1.weight': 1,
        'backbone.norm3.weight': 0,
        'head.fc.weight': 0,
    }
    for name, layers_below_the_last in expected.items():
        assert groups[name]['lr'] == 0.5**layers_below_the_last, name
    assert {name for name, g in groups.items() if g['weight_decay']} == {
        f'{name}.weight'
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and f'{name}.weight' in parameters
    }
