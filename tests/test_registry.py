"""The registries together with mmcv, mmdet, mmpretrain, mmdet3d and mmagic."""

import importlib
import pkgutil

import mmengine.registry
import pytest
import torch
from mmengine import Config, DefaultScope
from mmengine.registry import Registry
from mmengine.structures import InstanceData

import dualattn_mm

LIBRARIES = ('mmdet', 'mmpretrain', 'mmdet3d', 'mmagic')
NETWORKS = {
    'ColorAttention',
    'Colorizer',
    'DualAttention',
    'DualAttentionBEV',
    'MultiscalePyramidTransformer',
    'PixelShuffleNeck',
}
ARCH = dict(embed_dims=[8, 16, 16, 24], depths=[1, 1, 1, 1], stem_channels=4)
BACKBONE = dict(type='DualAttention', arch=ARCH, window_size=3, head_dim=4, group_dim=8)
GENERATOR = dict(
    type='MultiscalePyramidTransformer',
    encoder=dict(BACKBONE, in_channels=1),
    neck=dict(type='PixelShuffleNeck', in_channels=[8, 16, 16, 24], out_channels=[8, 8, 8]),
    head=dict(
        type='ColorAttention', in_channels=8, num_layers=1, num_heads=2, feedforward_channels=8
    ),
    num_queries=4,
)
BEV = dict(
    type='DualAttentionBEV',
    in_channels=4,
    out_channels=[32, 32],
    layer_nums=[5, 5],
    layer_strides=[1, 2],
)


@pytest.mark.parametrize('library', LIBRARIES)
@pytest.mark.parametrize('use_default_scope', [True, False], ids=['scope', 'registry'])
def test_networks_build_by_type_from_every_library(openmmlab, library, use_default_scope):
    models = openmmlab[library].MODELS
    if use_default_scope:  # as a Runner does it, from the root with a scope
        models = mmengine.registry.MODELS
    with DefaultScope.overwrite_default_scope(library if use_default_scope else None):
        backbone, colorizer, bev = (
            models.build(config)
            for config in (BACKBONE, dict(type='Colorizer', generator=GENERATOR), BEV)
        )
    assert type(backbone) is dualattn_mm.DualAttention
    assert type(colorizer.generator.head) is dualattn_mm.ColorAttention
    assert type(bev) is dualattn_mm.DualAttentionBEV
    assert colorizer(torch.rand(1, 3, 5, 3)).shape == (1, 3, 5, 3)


def import_everything_of_ours():
    for module in pkgutil.walk_packages(dualattn_mm.__path__, 'dualattn_mm.'):
        if not module.name.endswith('__main__'):
            importlib.import_module(module.name)


def descendants(registry):
    for child in registry.children.values():
        yield child
        yield from descendants(child)


def test_every_name_of_ours_is_unique(openmmlab):
    """mmcv registers in the root, where a second name fails; a child's name would win silently."""
    for name in LIBRARIES:
        openmmlab[name]  # skips where one is missing
    import_everything_of_ours()
    roots = [r for r in vars(mmengine.registry).values() if isinstance(r, Registry)]
    ours, children = {}, 0
    for root in roots:
        names = {
            name
            for name, module in root.module_dict.items()
            if module.__module__.split('.')[0] == 'dualattn_mm'
        }
        ours[root.name] = names
        for child in descendants(root):
            children += 1
            assert not names & set(child.module_dict), f'{child.scope} has these too'
            modules = {getattr(m, '__module__', '') for m in child.module_dict.values()}
            assert not [m for m in modules if m.split('.')[0] == 'dualattn_mm'], child.scope
    assert ours['model'] >= NETWORKS
    assert children > 40
    libraries = {child.scope for root in roots for child in descendants(root)}
    assert set(LIBRARIES) <= libraries


@pytest.fixture
def detector(openmmlab, tmp_path):
    (tmp_path / 'config.py').write_text(
        f"""
_base_ = 'mmdet::_base_/models/retinanet_r50_fpn.py'
custom_imports = dict(imports=['dualattn_mm'], allow_failed_imports=False)
model = dict(
    backbone=dict(_delete_=True, **{BACKBONE}),
    neck=dict(in_channels={ARCH['embed_dims']}, out_channels=16),
    bbox_head=dict(num_classes=3, in_channels=16, feat_channels=16, stacked_convs=1),
    test_cfg=dict(score_thr=0.0, max_per_img=20))
"""
    )
    config = Config.fromfile(tmp_path / 'config.py')
    with DefaultScope.overwrite_default_scope('mmdet'):
        return mmengine.registry.MODELS.build(config.model)


def test_detector_of_mmdet_runs_on_our_backbone(detector):
    from mmdet.structures import DetDataSample

    sample = DetDataSample(metainfo=dict(img_shape=(64, 64), scale_factor=(1.0, 1.0)))
    sample.set_metainfo(dict(ori_shape=(64, 64), batch_input_shape=(64, 64), pad_shape=(64, 64)))
    boxes = torch.tensor([[5.0, 8.0, 50.0, 60.0]])
    sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([1]))
    images = torch.randn(1, 3, 64, 64)
    assert type(detector.backbone) is dualattn_mm.DualAttention
    losses = detector(images, [sample], mode='loss')
    (sum(losses['loss_cls']) + sum(losses['loss_bbox'])).backward()
    # RetinaNet's pyramid starts at the second map.
    grads = {name: p.grad for name, p in detector.backbone.named_parameters()}
    assert grads.pop('norm0.weight') is grads.pop('norm0.bias') is None
    assert all(g.isfinite().all() and g.any() for g in grads.values())
    detector.eval()
    with torch.no_grad():
        (result,) = detector(images, [sample], mode='predict')
    assert len(result.pred_instances) > 0
    assert result.pred_instances.bboxes.isfinite().all()
