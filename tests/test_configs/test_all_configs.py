"""Every config loads, and its model has the size in the metafile."""

from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from dualattn_mm import Colorizer
from dualattn_mm.apis.complexity import complexity_of_config

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / 'configs').glob('*/*.py')
    if path.parent.name != '_base_'
)
COLORIZERS = [config for config in CONFIGS if config.startswith('configs/mmagic/')]
OF_LIBRARIES = sorted(set(CONFIGS) - set(COLORIZERS))
# The parts that a metafile counts. Those of the other libraries count the whole model.
COUNTED = dict(
    mmagic=('generator',),
    mmdet3d=('backbone', 'neck', 'pts_backbone', 'pts_neck'),
)
PARAMETERS = {
    model['Config']: model['Metadata']['Parameters']
    for metafile in (ROOT / 'configs').glob('*/metafile.yml')
    for model in yaml.safe_load(metafile.read_text())['Models']
    if 'Parameters' in model['Metadata']
}


def build(cfg, config):
    """Build the model on the meta device, and check the parameter count in its metafile."""
    # The detectors of mmdet3d and the backbones of mmpretrain read values when they are built.
    reads_values = config.startswith(('configs/mmdet3d/', 'configs/mmpretrain/small_'))
    with torch.device('cpu' if reads_values else 'meta'):
        model = MODELS.build(cfg.model)
    if config in PARAMETERS:
        parts = COUNTED.get(config.split('/')[1])
        counted = [m for n, m in model.named_children() if n in parts] if parts else [model]
        assert PARAMETERS[config] == sum(p.numel() for m in counted for p in m.parameters())
    return model


def test_metafiles_count_configs_that_exist():
    assert PARAMETERS
    assert set(PARAMETERS) <= set(CONFIGS)


@pytest.mark.parametrize('config', COLORIZERS)
def test_colorizer_config_builds_without_a_library(config):
    cfg = Config.fromfile(ROOT / config)
    if cfg.model.get('distillation'):
        pytest.importorskip('timm')
    color = cfg.model.pop('color', None)  # cannot be built on the meta device
    assert type(build(cfg, config)) is Colorizer
    if color:
        assert isinstance(MODELS.build(color), nn.Module)


@pytest.mark.parametrize('config', OF_LIBRARIES)
def test_library_config_builds(config, openmmlab):
    cfg = Config.fromfile(ROOT / config)
    assert cfg.default_scope == config.split('/')[1]
    if cfg.get('runner_type') == 'ClassFolderRunner':
        cfg.model.head.num_classes = 10  # the runner counts the folders
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        bases = type(build(cfg, config)).__mro__
    assert any(base.__module__.startswith(f'{cfg.default_scope}.') for base in bases)


@pytest.mark.parametrize('config', CONFIGS)
def test_every_config_can_be_counted(config, openmmlab):
    """As `dualattn info` does."""
    cfg = Config.fromfile(ROOT / config)
    parts, shape = complexity_of_config(cfg)
    assert parts[''].macs > parts[''].parameters > 0
    assert min(shape) >= 32
