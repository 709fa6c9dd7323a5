"""COCO configs: sizes against the specification, and settings."""

import copy
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.optim import AmpOptimWrapper, OptimWrapper, build_optim_wrapper
from mmengine.registry import MODELS, OPTIM_WRAPPERS, DefaultScope

import dualattn_mm.engine  # noqa: F401  registers the wrapper
from dualattn_mm.apis.complexity import Complexity, complexity_of_config
from dualattn_mm.utils.errors import UserError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'mmdet'
SIZES = {
    f'{kind}_dualattn_{size}{more}': size
    for kind in ('mask_rcnn', 'cascade')
    for size in 'tsb'
    for more in (('', '_1x') if (kind, size) == ('mask_rcnn', 't') else ('',))
}
ARCHS = dict(t='tiny', s='small', b='base')
# Computed with the architecture, apart from this code: parameters in millions, GMACs.
SPECIFIED = dict(
    mask_rcnn_dualattn_t=(47.99, 276.2),
    mask_rcnn_dualattn_s=(65.85, 348.7),
    mask_rcnn_dualattn_b=(101.39, 509.9),
    cascade_dualattn_t=(85.8, 709),
    cascade_dualattn_s=(103.7, 766),
)
METAFILE = {
    m['Name']: m['Metadata']
    for m in yaml.safe_load((CONFIGS / 'metafile.yml').read_text())['Models']
}


@cache
def read(name):
    pytest.importorskip('mmdet')  # its configs are the bases of ours
    return Config.fromfile(CONFIGS / f'{name}.py')


def config(name):
    return copy.deepcopy(read(name))


def build(cfg):
    """Build the model without weights."""
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        return MODELS.build(cfg.model)


def count(cfg, shape=None):
    with torch.device('meta'):  # no time for initial weights
        return complexity_of_config(cfg, shape)


def test_metafile_is_the_specification():
    assert set(METAFILE) == set(SIZES)
    for name, (parameters, gmacs) in SPECIFIED.items():
        assert METAFILE[name]['Parameters'] / 1e6 == pytest.approx(parameters, rel=0.005), name
        assert METAFILE[name]['FLOPs'] / 1e9 == pytest.approx(gmacs, rel=0.02), name


@pytest.mark.parametrize('name', ['mask_rcnn_dualattn_t', 'cascade_dualattn_t'])
def test_count(openmmlab, name):
    parts, shape = count(config(name))
    assert shape == ((896, 896) if name.startswith('cascade') else (800, 1280))
    assert parts[''] == Complexity(METAFILE[name]['Parameters'], METAFILE[name]['FLOPs'])
    assert parts['backbone'].parameters == 27_716_640
    of_parts = [count for part, count in parts.items() if part and '.' not in part]
    assert sum(count.macs for count in of_parts) == parts[''].macs


def test_count_of_a_pure_python_config(openmmlab):
    """It names the class, and has no default_scope."""
    cfg = config('mask_rcnn_dualattn_narrow_overfit')
    expected = count(cfg)
    cfg.default_scope = None
    cfg.model.type = openmmlab['mmdet'].MODELS.get(cfg.model.type)
    assert count(cfg) == expected


def test_test_time_augmentation_counts_one_pass_of_its_detector(openmmlab):
    cfg = config('mask_rcnn_dualattn_t_tta')
    parts, shape = count(cfg)
    boxes_only = config('mask_rcnn_dualattn_t')
    boxes_only.model.roi_head.update(mask_roi_extractor=None, mask_head=None)
    assert parts == count(boxes_only, shape)[0]


def test_sizes_differ_by_backbone_and_neck():
    """The size for T, with another backbone and other first layers of the neck."""
    backbones = dict(t=27_716_640, s=45_576_480, b=80_996_096)
    classifiers = {  # at 224, less the last layer; 896 is four times that, and windows fill both
        m['Name'][-1]: m['Metadata']['FLOPs'] - 1000 * (1024 if m['Name'].endswith('b') else 768)
        for m in yaml.safe_load((CONFIGS.parent / 'mmpretrain/metafile.yml').read_text())['Models']
        if not m['Name'].endswith('384')
    }
    wider = 256 * torch.tensor([32, 64, 128, 256])  # B's maps, into 256 channels
    pixels = torch.tensor([224, 112, 56, 28]) ** 2
    for size, neck in (('s', 0), ('b', 1)):
        for kind in ('mask_rcnn', 'cascade'):
            tiny, other = (METAFILE[f'{kind}_dualattn_{name}'] for name in ('t', size))
            grown = other['Parameters'] - tiny['Parameters']
            assert grown == backbones[size] - backbones['t'] + neck * int(wider.sum())
        grown = other['FLOPs'] - tiny['FLOPs']  # the cascade's
        in_neck = neck * int((wider * pixels).sum())
        assert grown == 16 * (classifiers[size] - classifiers['t']) + in_neck


def test_count_of_a_one_stage_detector(openmmlab):
    """The count agrees with mmdet's own table."""
    parts, shape = count(get_config('mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'))
    assert shape == (640, 640)
    assert parts[''].parameters / 1e6 == pytest.approx(4.8, rel=0.025)
    assert parts[''].macs / 1e9 == pytest.approx(8.1, rel=0.01)


@pytest.mark.parametrize(
    ('stock', 'what'),
    [
        ('dino/dino-4scale_r50_8xb2-12e_coco', 'DINO'),
        ('htc/htc_r50_fpn_1x_coco', 'HybridTaskCascadeRoIHead'),
    ],
)
def test_detectors_that_cannot_be_counted(openmmlab, stock, what):
    with pytest.raises(UserError, match=f'cannot count mmdet detectors with {what}'):
        count(get_config(f'mmdet::{stock}.py'))


@pytest.mark.integration
@pytest.mark.parametrize('name', SIZES)
def test_settings(name):
    cfg = config(name)
    size = SIZES[name]
    backbone = cfg.model.backbone
    assert backbone.type == 'DualAttention'
    assert backbone.arch == ARCHS[size]
    assert backbone.drop_path_rate == dict(t=0.1, s=0.2, b=0.3)[size]
    assert backbone.init_cfg == dict(
        type='Pretrained',
        checkpoint=f'work_dirs/cls_dualattn_{size}/epoch_300.pth',
        prefix='backbone.',
    )
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('AdamW', 1e-4, 0.05)
    epochs = 12 if name.endswith('_1x') else 36
    assert cfg.train_cfg.max_epochs == epochs
    assert cfg.param_scheduler[0].end == 1000
    assert cfg.param_scheduler[1].milestones == ([8, 11] if epochs == 12 else [27, 33])
    assert cfg.auto_scale_lr.base_batch_size == 8 * cfg.train_dataloader.batch_size == 16
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.type == 'CocoDataset'  # so an epoch sees each image once
    assert cfg.val_evaluator.metric == cfg.test_evaluator.metric == ['bbox', 'segm']
    hooks = {hook.type for hook in cfg.custom_hooks}
    assert hooks == {'PlainCheckpointHook', 'RepeatableHook', 'StrictLoadHook'} | {
        'FiniteLossHook',
        'DamagedImagesHook',
    }


@pytest.mark.integration
def test_images_of_mask_rcnn():
    pipeline = config('mask_rcnn_dualattn_b').train_dataloader.dataset.pipeline
    [resize] = [t for t in pipeline if 'Resize' in t.type]
    assert resize.keep_ratio
    short, long = zip(*resize.scales, strict=True)
    assert (min(short), max(short), set(long)) == (480, 800, {1333})


@pytest.mark.integration
def test_images_and_heads_of_the_cascade():
    cfg = config('cascade_dualattn_s')
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        [pad] = [t for t in loader.dataset.pipeline if t.type == 'Pad']
        assert pad.size == (896, 896)
    heads = cfg.model.roi_head.bbox_head
    assert len(heads) == 3
    stds = [head.bbox_coder.target_stds[0] for head in heads]
    assert stds == [0.1, 0.05, 0.033]  # the base's, stage by stage
    for head in heads:
        found = (head.type, head.num_shared_convs, head.num_shared_fcs, head.reg_class_agnostic)
        assert found == ('ConvFCBBoxHead', 4, 1, False)
        assert head.norm_cfg == dict(type='GN', num_groups=32)


@pytest.mark.parametrize('name', ['mask_rcnn_dualattn_t', 'cascade_dualattn_t'])
def test_decay_and_norms(openmmlab, name):
    cfg = config(name)
    model = build(cfg)
    with DefaultScope.overwrite_default_scope('mmdet'):
        groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    decay = {id(p): group['weight_decay'] for group in groups for p in group['params']}
    trained = [p for p in model.parameters() if p.requires_grad]
    assert len(decay) == len(trained)
    assert all(decay[id(p)] == (0.05 if p.ndim > 1 else 0) for p in trained)
    kinds = {type(module).__name__ for module in model.modules()}
    assert not [kind for kind in kinds if 'BatchNorm' in kind]  # nor synchronized ones


@pytest.mark.parametrize(('gpu', 'kind'), [(False, OptimWrapper), (True, AmpOptimWrapper)])
def test_mixed_precision_with_a_gpu_alone(monkeypatch, gpu, kind):
    for module in (
        'dualattn_mm.engine.mixed_precision',
        'mmengine.optim.optimizer.amp_optimizer_wrapper',
    ):
        monkeypatch.setattr(f'{module}.is_cuda_available', lambda: gpu)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])
    cfg = dict(type='AmpOnGpuOptimWrapper', optimizer=optimizer, accumulative_counts=2)
    wrapper = OPTIM_WRAPPERS.build(dict(cfg, dtype='bfloat16', loss_scale=8.0))
    assert type(wrapper) is kind
    assert getattr(wrapper, '_scale_update_param', None) == (8.0 if gpu else None)
    assert getattr(wrapper, 'cast_dtype', None) == (torch.bfloat16 if gpu else None)
    wrapper = OPTIM_WRAPPERS.build(cfg)
    assert wrapper._accumulative_counts == 2


@pytest.mark.parametrize(
    ('options', 'dtype'),
    [
        ({}, torch.float32),
        (dict(on_cpu=True), torch.bfloat16),
        (dict(on_cpu=True, enabled=False), torch.float32),
    ],
)
def test_mixed_precision_on_a_cpu_is_an_option(monkeypatch, options, dtype):
    monkeypatch.setattr('dualattn_mm.engine.mixed_precision.is_cuda_available', lambda: False)
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(layer.parameters(), 0.5)
    cfg = dict(type='AmpOnGpuOptimWrapper', optimizer=optimizer, dtype='bfloat16', **options)
    wrapper = OPTIM_WRAPPERS.build(cfg)
    before = layer.weight.detach().clone()
    with wrapper.optim_context(layer):
        found = layer(torch.ones(4, 3))
    assert found.dtype == dtype
    wrapper.update_params(found.float().sum())
    torch.testing.assert_close(layer.weight, before - 0.5 * 4)


@pytest.mark.integration
def test_eight_images_learnt_by_heart():
    """Training, testing and the metric use the same eight images."""
    cfg = config('mask_rcnn_dualattn_narrow_overfit')
    trained, tested = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    assert (trained.type, trained.times) == ('RepeatDataset', 25)
    different = {'pipeline'}
    assert {k: v for k, v in trained.dataset.items() if k not in different} == {
        k: v for k, v in tested.items() if k not in different
    }
    assert tested.indices == 8
    assert cfg.val_evaluator.ann_file is None
    assert 'instances' in tested.pipeline[-1].meta_keys
