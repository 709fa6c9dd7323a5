"""ImageNet configs: sizes against the closed form of the specification, and settings."""

from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS, DefaultScope

from dualattn_mm.apis import complexity as complexities
from dualattn_mm.apis.complexity import complexity, complexity_of_config
from dualattn_mm.models import DualAttention
from dualattn_mm.utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs' / 'mmpretrain'
NAMES = [f'cls_dualattn_{size}{more}' for size in 'tsb' for more in ('', '_384')]
ARCHS = dict(  # stem, widths, pairs
    t=(64, (96, 192, 384, 768), (1, 1, 3, 1)),
    s=(64, (96, 192, 384, 768), (1, 1, 8, 1)),
    b=(128, (128, 256, 512, 1024), (1, 1, 8, 1)),
)
PARAMETERS = dict(t=28_484_296, s=46_344_136, b=82_019_304)
GMACS = {'t': 5.15, 's': 8.70, 'b': 16.54, 't_384': 15.53, 's_384': 26.17, 'b_384': 49.43}


def up(a, b):
    return -(-a // b)


def macs(arch, side, window, classes=1000):
    """Count MACs with the formulas of the paper and of its layers, for complete windows."""
    stem, widths, pairs = ARCHS[arch]
    half = up(side, 2)
    total = half**2 * 9 * (3 * stem + stem * stem)
    before = stem
    for stage, (width, count) in enumerate(zip(widths, pairs, strict=True)):
        side = up(half, 2) if stage == 0 else up(side, 2)
        tokens = side**2
        total += tokens * before * width * (9 if stage == 0 else 4)
        layers = tokens * (3 * width**2 + 27 * width + width**2 + 8 * width**2)
        padded = (window * up(side, window)) ** 2
        products = 2 * padded * width * window**2 + 2 * tokens * width * 32
        total += count * (2 * layers + products)
        before = width
    return total + before * classes


def config(name):
    pytest.importorskip('mmpretrain')  # its configs are the bases of ours
    return Config.fromfile(CONFIGS / f'{name}.py')


@pytest.fixture
def models():
    return {m['Name']: m for m in yaml.safe_load((CONFIGS / 'metafile.yml').read_text())['Models']}


def test_closed_form_is_the_specification():
    for name, gmacs in GMACS.items():
        arch, _, size = name.partition('_')
        value = macs(arch, int(size or 224), 12 if size else 7)
        assert value / 1e9 == pytest.approx(gmacs, rel=0.005), name


@pytest.mark.parametrize('name', NAMES)
def test_metafile(name, models):
    arch, _, size = name.removeprefix('cls_dualattn_').partition('_')
    model = models.pop(name)
    assert model['Config'] == f'configs/mmpretrain/{name}.py'
    assert (ROOT / model['Config']).is_file()
    about = model['Metadata']
    assert about['Parameters'] == PARAMETERS[arch]
    assert about['FLOPs'] == macs(arch, int(size or 224), 12 if size else 7)
    assert 'Results' not in model  # nothing has been trained


@pytest.mark.parametrize('arch', 'tsb')
def test_counted(arch, openmmlab):
    parts, shape = complexity_of_config(config(f'cls_dualattn_{arch}'))
    assert shape == (224, 224)
    assert parts[''].parameters == PARAMETERS[arch]
    assert parts[''].macs == macs(arch, 224, 7)
    assert parts['head'].macs == ARCHS[arch][1][-1] * 1000
    inner = [parts[name].macs for name in parts if name.count('.') == 1]
    assert sum(inner) == parts[''].macs


def test_counted_at_another_size(openmmlab):
    parts, shape = complexity_of_config(config('cls_dualattn_t_384'), (192, 192))
    assert shape == (192, 192)
    assert parts[''].macs == macs('t', 192, 12)


def test_a_colorizer_without_tests_is_counted_at_the_size_of_its_generator():
    cfg = Config.fromfile(CONFIGS.parent / 'mmagic' / 'color_dualattn_mini.py')
    expected = complexity_of_config(cfg, (96, 96))
    cfg.merge_from_dict({'test_dataloader': None, 'model.generator.image_size': 96})
    assert complexity_of_config(cfg) == expected
    del cfg.model.generator['image_size']
    with pytest.raises(UserError, match='--shape'):
        complexity_of_config(cfg)


def test_class_folders_without_a_number_of_classes_are_counted_with_1000(openmmlab):
    cfg = config('small_resnet')
    parts, _ = complexity_of_config(cfg)
    assert parts['head'].parameters == (136 + 1) * 1000
    assert 'num_classes' not in cfg.model.head


@pytest.mark.parametrize('loaders', [[dict(dataset={})], dict(dataset=[]), None])
def test_several_test_loaders_state_no_size(loaders):
    with pytest.raises(UserError, match='--shape'):
        complexity_of_config(
            Config(dict(model=dict(type='DualAttention'), test_dataloader=loaders))
        )


def test_count_of_known_layers():
    class Layers(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1, groups=1)
            self.norm = torch.nn.BatchNorm2d(8)
            self.fc = torch.nn.Linear(8, 5, bias=False)

        def forward(self, x):
            x = self.norm(self.conv(x)).flatten(2).transpose(1, 2)
            x = torch.nn.functional.scaled_dot_product_attention(x, x, x)
            return self.fc(x)

    parts = complexity(Layers(), (3, 8, 8))
    assert parts['conv'].macs == 16 * 8 * 27
    assert parts['norm'] == (16, 0)
    assert parts['fc'] == (40, 16 * 8 * 5)
    assert parts[''].macs == 16 * 8 * 27 + 2 * 16 * 16 * 8 + 16 * 8 * 5


def test_models_that_cannot_be_counted_are_rejected():
    with pytest.raises(UserError, match='no `model`'):
        complexity_of_config(Config(dict(a=1)))
    with pytest.raises(UserError, match='--shape'):
        complexity_of_config(Config(dict(model=dict(type='DualAttention'))))
    with pytest.raises(UserError, match='mmocr'):
        complexity_of_config(Config(dict(default_scope='mmocr', model={})), (1, 1))


@pytest.mark.integration
@pytest.mark.parametrize('name', NAMES)
def test_settings(name):
    cfg = config(name)
    arch, _, fine = name.removeprefix('cls_dualattn_').partition('_')
    assert cfg.model.backbone.drop_path_rate == dict(t=0.1, s=0.2, b=0.4)[arch]
    assert cfg.model.head.in_channels == ARCHS[arch][1][-1]
    optimizer = cfg.optim_wrapper.optimizer
    found = (optimizer.type, optimizer.lr, optimizer.weight_decay, cfg.train_cfg.max_epochs)
    assert found == ('AdamW', *((5e-5, 1e-8, 150) if fine else (5e-4, 0.05, 300)))
    assert cfg.optim_wrapper.clip_grad.max_norm == 1
    assert cfg.auto_scale_lr.base_batch_size == (512 if fine else 2048)
    assert 8 * cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size
    hooks = {hook.type: hook for hook in cfg.custom_hooks}
    assert {'StrictLoadHook', 'PlainCheckpointHook', 'RepeatableHook'} <= set(hooks)
    crop = next(t for t in cfg.train_dataloader.dataset.pipeline if t.type == 'RandomResizedCrop')
    assert crop.scale == (384 if fine else 224)
    tested = [t.type for t in cfg.test_dataloader.dataset.pipeline]
    assert ('CenterCrop' in tested) != bool(fine)
    if fine:
        assert cfg.load_from == f'work_dirs/cls_dualattn_{arch}/epoch_300.pth'
        assert cfg.param_scheduler == []  # constant
        assert hooks['EMAHook'].momentum == 1e-4
        assert cfg.model.backbone.window_size == 12
    else:
        assert [s.type for s in cfg.param_scheduler] == ['LinearLR', 'CosineAnnealingLR']
        assert [a.type for a in cfg.model.train_cfg.augments] == ['Mixup', 'CutMix']


@pytest.mark.parametrize('decayed', [False, True])
@pytest.mark.parametrize(('name', 'last'), [('t', 1e-5), ('t_folder', 1e-6)])
def test_no_learning_rate_rises_after_the_warm_up(openmmlab, name, last, decayed):
    cfg = config(f'cls_dualattn_{name}')
    if decayed:  # as in docs/classification.md
        cfg.optim_wrapper.constructor = 'LearningRateDecayOptimWrapperConstructor'
        cfg.optim_wrapper.paramwise_cfg.layer_decay_rate = 0.65
    with DefaultScope.overwrite_default_scope('mmpretrain'), torch.device('meta'):
        optimizer = build_optim_wrapper(MODELS.build(cfg.model), cfg.optim_wrapper).optimizer
        schedule = dict(cfg.param_scheduler[1], end=cfg.train_cfg.max_epochs)
        made = dict(optimizer=optimizer, epoch_length=1)
        scheduler = PARAM_SCHEDULERS.build(schedule, default_args=made)
    before = scheduler.get_last_value()
    for _ in range(schedule['end'] - 1):
        optimizer.step()
        scheduler.step()
        now = scheduler.get_last_value()
        assert all(new <= old for new, old in zip(now, before, strict=True))
        before = now
    assert max(before) == pytest.approx(last, rel=0.1)
    assert len({f'{rate:.3g}' for rate in before}) == (14 if decayed else 1)


def test_weights_of_224_load_at_384():
    small = dict(embed_dims=(32, 32, 32, 32), depths=(1, 1, 1, 1), stem_channels=8)
    first, second = (DualAttention(small, window_size=g) for g in (7, 12))
    second.load_state_dict(first.state_dict(), strict=True)


@pytest.mark.parametrize(
    ('scope', 'transform', 'size'),
    [
        ('mmdet', dict(type='Pad', size=(1280, 800)), (800, 1280)),
        ('mmdet', dict(type='Pad', size_divisor=32), (800, 1280)),
        ('mmpretrain', dict(type='CenterCrop', crop_size=(64, 32)), (32, 64)),
        ('mmpretrain', dict(type='Resize', scale=(64, 32)), (32, 64)),
        ('mmpretrain', dict(type='torchvision/Resize', size=(32, 64)), (32, 64)),
        ('mmpretrain', dict(type='CenterCrop', crop_size=64), (64, 64)),
    ],
)
def test_size_of_test_images_is_height_and_width(scope, transform, size):
    """mmcv states the width first."""
    dataset = dict(pipeline=[dict(type='LoadImageFromFile'), transform])
    cfg = Config(dict(default_scope=scope, test_dataloader=dict(dataset=dataset)))
    assert complexities.tested_size(cfg) == size  # pytest would collect an imported test*
