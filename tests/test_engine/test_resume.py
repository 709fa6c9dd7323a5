"""What a resumed training takes from its checkpoint, and what it needs beside it."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS
from test_run import INIT, built, unique  # noqa: F401

from dualattn_mm.datasets import ColorizationDataset
from dualattn_mm.engine import run
from dualattn_mm.utils.errors import RunError


@DATASETS.register_module()
class DrawnWhenBuilt(ColorizationDataset):
    """As mmdet3d's CBGSDataset, which chooses its samples with NumPy's random numbers."""

    drawn: ClassVar[list[float]] = []

    def load_data_list(self):
        self.drawn.append(np.random.random())
        return super().load_data_list()


def test_datasets_are_built_with_the_seed_of_the_checkpoint(config, tmp_path):
    options = {'train_dataloader.dataset.type': 'DrawnWhenBuilt', 'randomness.seed': None}
    DrawnWhenBuilt.drawn.clear()
    for steps, resume in ((1, None), (2, 'auto')):
        changes = unique() | options | {'train_cfg.max_iters': steps}
        run.train(str(config), str(tmp_path / 'work'), resume, cfg_options=changes)
    first, resumed = DrawnWhenBuilt.drawn
    assert first == resumed


def test_a_seed_of_the_config_remains(config, tmp_path, built):  # noqa: F811
    path = tmp_path / 'iter_1.pth'
    torch.save(dict(state_dict={}, meta=dict(epoch=0, iter=1, seed=7)), path)
    for seed in (None, 3):
        run.train(str(config), resume=str(path), cfg_options={'randomness.seed': seed})
    assert [cfg.randomness.seed for cfg in built] == [7, 3]


def test_initial_weights_are_not_needed(config, tmp_path):
    encoder = MODELS.build(Config.fromfile(str(config)).model.generator.encoder)
    file, work = tmp_path / 'encoder.pth', tmp_path / 'work'
    torch.save(encoder.state_dict(), file)
    options = {
        f'{INIT}.type': 'Pretrained',
        f'{INIT}.checkpoint': str(file),
        'optim_wrapper.optimizer.lr': 0.0,
    }

    def train(steps, resume=None):
        changes = unique() | options | {'train_cfg.max_iters': steps}
        run.train(str(config), str(work), resume, cfg_options=changes)
        return torch.load(work / f'iter_{steps}.pth', weights_only=True)['state_dict']

    train(1)
    file.unlink()
    resumed = train(2, 'auto')
    for name, value in encoder.state_dict().items():
        assert torch.equal(resumed[f'generator.encoder.{name}'], value), name
    saved = Config.fromfile(work / 'tiny.py').model.generator.encoder
    assert saved.init_cfg.checkpoint == str(file)


def test_initial_weights_are_needed_without_a_checkpoint(config, tmp_path, built):  # noqa: F811
    options = {INIT: dict(type='Pretrained', checkpoint='nix.pth')}
    with pytest.raises(RunError, match=r'initial weights file nix\.pth does not exist'):
        run.train(str(config), str(tmp_path), resume='auto', cfg_options=options)
    assert not built


def test_load_from_is_needed_without_a_checkpoint(config, tmp_path, built):  # noqa: F811
    options = dict(load_from='nix.safetensors')
    with pytest.raises(RunError, match=r'load_from nix\.safetensors does not exist'):
        run.train(str(config), str(tmp_path), resume='auto', cfg_options=options)
    assert not built
