"""Loaders of mmpretrain configs have the defaults of mmpretrain's own tools."""

import pytest
import torch
from mmengine.config import Config

from dualattn_mm.engine.configs import load_config
from dualattn_mm.engine.loader_defaults import add_loader_defaults

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
COLLATE = dict(type='default_collate')


@pytest.mark.parametrize('gpu', [False, True])
def test_defaults(monkeypatch, gpu):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpu)
    cfg = Config(
        dict(
            default_scope='mmpretrain',
            train_dataloader=dict(num_workers=5),
            val_dataloader=dict(num_workers=0, collate_fn=dict(type='pseudo_collate')),
            test_dataloader=dict(persistent_workers=True),  # of a saved config
        )
    )
    add_loader_defaults(cfg)
    assert cfg.train_dataloader == dict(
        num_workers=5, pin_memory=gpu, persistent_workers=True, collate_fn=COLLATE
    )
    assert cfg.val_dataloader == dict(
        num_workers=0,
        pin_memory=gpu,
        persistent_workers=False,
        collate_fn=dict(type='pseudo_collate'),
    )
    assert cfg.test_dataloader.persistent_workers is False


def test_other_libraries_keep_theirs():
    cfg = Config(dict(default_scope='mmdet', train_dataloader=dict(num_workers=5)))
    add_loader_defaults(cfg)
    assert cfg.train_dataloader == dict(num_workers=5)


@pytest.mark.parametrize('network', ['dualattn', 'davit', 'swin', 'resnet'])
def test_small_configs_run_with_mmpretrain_s_own_tool(network):
    """It keeps workers where a config does not say otherwise, and torch rejects that for none."""
    pytest.importorskip('mmpretrain')  # its configs are the bases of ours
    cfg = load_config(f'mmpretrain/small_{network}')
    for name in LOADERS:
        assert cfg[name].num_workers == 0
        assert cfg[name].get('persistent_workers', True) is False
