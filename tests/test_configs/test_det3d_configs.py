"""LiDAR configs: sizes against the specification, and settings."""

import copy
import math
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import PARAM_SCHEDULERS, DefaultScope

from dualattn_mm.apis.complexity import Complexity, _birds_eye_view, complexity_of_config
from dualattn_mm.utils.errors import UserError

pytest.importorskip('mmdet3d')

pytestmark = pytest.mark.integration

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'mmdet3d'
# Size of the map; GMACs of the backbone and its share of SECOND's MACs at most, as specified.
SIZES = {
    'centerpoint_voxel': ((180, 180), None, 0.66),
    'centerpoint_voxel01': ((128, 128), 19.7, 0.66),
    'centerpoint_pillar': ((512, 512), None, 0.72),
    'kitti': ((200, 176), None, 0.66),
}
METAFILE = {
    m['Name']: m['Metadata']
    for m in yaml.safe_load((CONFIGS / 'metafile.yml').read_text())['Models']
}
NUSCENES = [name for name in SIZES if name != 'kitti']


def pair(name):
    """Return the names of the configs with DualAttentionBEV and with SECOND."""
    if name == 'kitti':
        return 'second_dualattn_kitti', 'second_kitti_second'
    return f'{name}_dualattn', f'{name}_second'


ALL = [config for name in SIZES for config in pair(name)]


@cache
def read(name):
    return Config.fromfile(CONFIGS / f'{name}.py')


def count(cfg, shape=None):
    with torch.device('meta'):  # no time for initial weights
        return complexity_of_config(copy.deepcopy(cfg), shape)


def part(cfg, name):
    return cfg.model.get(f'pts_{name}') or cfg.model[name]


def second_macs(cfg, height, width):
    """Count SECOND's MACs: a strided and `layer_nums` more 3 x 3 convolutions per stage."""
    about, total = part(cfg, 'backbone'), 0
    before = about.in_channels
    for after, layers, stride in zip(
        about.out_channels, about.layer_nums, about.layer_strides, strict=True
    ):
        height, width = height // stride, width // stride
        total += 9 * height * width * after * (before + layers * after)
        before = after
    return total


def dual_macs(cfg, height, width, window=8, group=32):
    """Count MACs of a strided convolution and a pair per stage, if the window divides the map."""
    about, total = part(cfg, 'backbone'), 0
    before = about.in_channels
    for after, stride in zip(about.out_channels, about.layer_strides, strict=True):
        height, width = height // stride, width // stride
        linear_and_depthwise = 2 * (12 * after**2 + 27 * after)
        attention = 2 * after * window**2 + 2 * after * group
        total += height * width * (9 * before * after + linear_and_depthwise + attention)
        before = after
    return total


@pytest.mark.parametrize('name', SIZES)
def test_counts(openmmlab, name):
    size, gmacs, share = SIZES[name]
    ours, theirs = (read(config) for config in pair(name))
    backbones = []
    for cfg, config in zip((ours, theirs), pair(name), strict=True):
        parts, shape = count(cfg)
        assert shape == size
        about = METAFILE[config]
        assert parts[''] == Complexity(about['Parameters'], about['FLOPs'])
        assert parts['neck'].macs + parts['backbone'].macs == parts[''].macs
        backbones.append(parts['backbone'].macs)
    assert backbones[1] == second_macs(theirs, *size)
    if all(side % 16 == 0 for side in size):
        assert backbones[0] == dual_macs(ours, *size)
    else:  # windows are padded
        assert dual_macs(ours, *size) < backbones[0] < 1.01 * dual_macs(ours, *size)
    assert backbones[0] / backbones[1] <= share
    if gmacs:
        assert backbones[0] / 1e9 == pytest.approx(gmacs, rel=0.005)


def test_count_at_another_size(openmmlab):
    half, shape = count(read('centerpoint_voxel01_dualattn'), (64, 128))
    assert shape == (64, 128)
    assert 2 * half[''].macs == METAFILE['centerpoint_voxel01_dualattn']['FLOPs']


PADDINGS = [(1, 1)] * 3


@pytest.mark.parametrize(
    ('encoder', 'size'),
    [
        ({}, (7, 5)),
        (dict(encoder_channels=[(16, 16), (32, 32), (64, 64)], encoder_paddings=PADDINGS), (13, 9)),
        (
            dict(
                encoder_channels=[(16, 32), (32, 64), (64, 64)],
                encoder_paddings=PADDINGS,
                block_type='basicblock',
            ),
            (13, 9),
        ),
    ],
)
def test_size_of_the_map_follows_from_the_stages_of_the_encoder(openmmlab, encoder, size):
    pytest.importorskip('spconv')
    kind = openmmlab['mmdet3d'].MODELS.get('SparseEncoder')  # in a pure Python config
    options = dict(in_channels=4, sparse_shape=[41, 50, 36], **encoder)
    voxel = torch.ones(1, 4), torch.tensor([[0, 20, 25, 18]], dtype=torch.int32), 1
    assert kind(**options).eval()(*voxel).shape[2:] == size
    cfg = copy.deepcopy(read('second_dualattn_kitti'))
    cfg.model.middle_encoder = dict(type=kind, **options)
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        assert _birds_eye_view(cfg)[1] == (256, *size)


def test_channels_of_the_map_may_be_the_default_of_the_backbone(openmmlab):
    cfg = copy.deepcopy(read('centerpoint_pillar_dualattn'))
    cfg.model.pts_backbone.in_channels = 128
    expected = count(cfg, (32, 32))
    del cfg.model.pts_backbone['in_channels']
    assert count(cfg, (32, 32)) == expected


def test_a_shape_that_the_model_does_not_accept(openmmlab):
    said = r'the model does not accept a shape of 101 x 75 \(Sizes of tensors .*\): use mul'
    with pytest.raises(UserError, match=said) as caught:
        count(read('second_kitti_second'), (101, 75))
    assert '\n' not in str(caught.value)


def test_detectors_that_cannot_be_counted(openmmlab):
    with pytest.raises(UserError, match='cannot count mmdet3d detectors with None'):
        count(get_config('mmdet3d::votenet/votenet_8xb8_scannet-3d.py'))


@pytest.mark.parametrize('name', SIZES)
def test_rows_differ_by_the_type_alone(name):
    ours, theirs = (copy.deepcopy(read(config)) for config in pair(name))
    kinds = [part(cfg, 'backbone').pop('type') for cfg in (ours, theirs)]
    assert kinds == ['DualAttentionBEV', 'SECOND']
    assert ours.to_dict() == theirs.to_dict()


def schedule(cfg):
    """Return the learning rate and Adam's first beta at every step, with four steps per epoch."""
    about = {k: v for k, v in cfg.optim_wrapper.optimizer.items() if k != 'type'}
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], **about)
    schedulers = [
        PARAM_SCHEDULERS.build(
            dict(kind, _scope_=None), default_args=dict(optimizer=optimizer, epoch_length=4)
        )
        for kind in cfg.param_scheduler
    ]
    steps = []
    for _ in range(4 * cfg.train_cfg.max_epochs):
        [group] = optimizer.param_groups
        steps.append((group['lr'], group['betas'][0]))
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    return list(zip(*steps, strict=True))


@pytest.mark.parametrize(
    ('name', 'epochs', 'peak'), [*((n, 20, 1e-3) for n in NUSCENES), ('kitti', 40, 6e-3)]
)
def test_schedule(name, epochs, peak):
    cfg = read(pair(name)[0])
    assert cfg.train_cfg.max_epochs == epochs
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.weight_decay) == ('AdamW', 0.01)
    assert optimizer.lr == pytest.approx(peak / 10)
    assert cfg.train_dataloader.batch_size * 8 == cfg.auto_scale_lr.base_batch_size == 16
    rates, momentums = schedule(cfg)
    top = rates.index(max(rates))
    assert top == pytest.approx(0.4 * 4 * epochs, abs=1)
    assert rates[top] == pytest.approx(peak, rel=0.01)  # between two steps
    assert rates[-1] < 0.01 * peak
    assert list(rates[: top + 1]) == sorted(rates[: top + 1])
    assert momentums[top] == pytest.approx(0.85, abs=0.001)
    assert momentums[0] == pytest.approx(0.95)
    assert momentums[-1] == pytest.approx(0.95, abs=0.001)
    assert max(momentums) <= 0.95 + 1e-9


@pytest.mark.parametrize('name', NUSCENES)
def test_augmentation(name):
    cfg = read(pair(name)[0])
    steps = {s.type: s for s in cfg.train_dataloader.dataset.dataset.pipeline}
    assert 'ObjectSample' in steps
    turned = steps['GlobalRotScaleTrans']
    assert turned.scale_ratio_range == [0.95, 1.05]
    assert turned.rot_range == pytest.approx([-math.pi / 8, math.pi / 8], abs=3e-4)
    flips = steps['RandomFlip3D']
    assert flips.flip_ratio_bev_horizontal == flips.flip_ratio_bev_vertical == 0.5


def test_kitti_data():
    cfg = read('second_dualattn_kitti')
    assert cfg.train_dataloader.dataset.type == 'RepeatDataset'
    assert cfg.train_dataloader.dataset.times == 2
    assert cfg.model.bbox_head.num_classes == 3


@pytest.mark.parametrize('name', ALL)
def test_runtime(name):
    cfg = read(name)
    hooks = {hook.type for hook in cfg.custom_hooks}
    assert hooks == {'PlainCheckpointHook', 'RepeatableHook', 'StrictLoadHook'} | {
        'FiniteLossHook',
        'DamagedImagesHook',
    }
    assert 'dualattn_mm.engine.mmdet3d_compat' in cfg.custom_imports.imports
    assert cfg.default_hooks.checkpoint.type == 'SafeCheckpointHook'
    features = cfg.model.data_preprocessor.num_features
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        dataset = loader.dataset.get('dataset', loader.dataset)
        [load] = [s for s in dataset.pipeline if s.type == 'LoadPointsFromFile']
        assert load.use_dim == features
