"""What a resumed training takes from its checkpoint, and what it needs beside it."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from test_run import INIT, built, unique  # noqa: F401

from dualattn_mm.engine import run
from dualattn_mm.utils.errors import RunError


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
