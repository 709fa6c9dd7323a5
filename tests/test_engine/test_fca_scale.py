"""A checkpoint with another fca_scale than the config, on which no weight depends."""

import pytest
import torch
from mmengine.config import Config

from dualattn_mm.engine.checkpoints import require_fca_scale, warn_of_other_fca_scale
from dualattn_mm.engine.run import evaluate, train
from dualattn_mm.utils.errors import RunError

GROUP = dict(type='DualAttention', fca_scale='group')
DEFAULT = dict(type='DualAttention')


@pytest.mark.parametrize('task', ['train', 'test'])
def test_converted_weights_need_theirs(config, tmp_path, task):
    file = tmp_path / 'start.pth'
    torch.save(dict(state_dict={}, meta=dict(fca_scale='group')), file)
    options = {
        'model.generator.encoder.type': 'DualAttention',
        'test_dataloader': Config.fromfile(config).train_dataloader,
    }
    line = (
        f'{file} needs fca_scale=group, but the config has channel: --cfg-options '
        'model.generator.encoder.fca_scale=group'
    )
    work_dir = str(tmp_path / 'run')
    calls = dict(
        train=lambda: train(str(config), work_dir, cfg_options=options | dict(load_from=str(file))),
        test=lambda: evaluate(str(config), str(file), work_dir, cfg_options=options),
    )
    with pytest.raises(RunError) as caught:
        calls[task]()
    assert str(caught.value) == line


def test_parts_that_have_it_pass():
    require_fca_scale(dict(backbone=GROUP, neck=dict(type='FPN')), 'a.pth', 'group')


@pytest.mark.parametrize(
    ('trained', 'used', 'line'),
    [
        (GROUP, GROUP, ''),
        (DEFAULT, dict(DEFAULT, fca_scale='channel'), ''),
        (
            GROUP,
            DEFAULT,
            'warning: a.pth was trained with fca_scale=group, but the config has channel: '
            '--cfg-options model.backbone.fca_scale=group sets the same\n',
        ),
        (
            DEFAULT,
            dict(DEFAULT, fca_scale='tokens'),
            'warning: a.pth was trained with fca_scale=channel, but the config has tokens: '
            '--cfg-options model.backbone.fca_scale=channel sets the same\n',
        ),
        (None, GROUP, ''),
        (GROUP, dict(type='ResNet'), ''),
    ],
)
def test_another_one_than_in_training_is_a_warning(capsys, trained, used, line):
    meta = dict(cfg=Config(dict(model=dict(backbone=trained))).pretty_text) if trained else {}
    warn_of_other_fca_scale(dict(backbone=used), 'a.pth', meta)
    assert capsys.readouterr().out == line


def test_the_model_in_a_test_time_augmentation_is_compared(capsys):
    meta = dict(cfg=Config(dict(model=dict(backbone=GROUP))).pretty_text)
    warn_of_other_fca_scale(dict(module=dict(backbone=DEFAULT)), 'a.pth', meta)
    assert 'model.module.backbone.fca_scale=group' in capsys.readouterr().out


@pytest.mark.parametrize('resumed', [True, False], ids=['resumed', 'load_from'])
def test_a_training_is_compared(config, tmp_path, capsys, resumed):
    work = tmp_path / 'run'
    train(str(config), str(work), cfg_options={'train_cfg.max_iters': 1})
    capsys.readouterr()
    options = {'train_cfg.max_iters': 1, 'model.generator.encoder.fca_scale': 'group'}
    if resumed:
        train(str(config), str(work), resume='auto', cfg_options=options)
    else:
        options['load_from'] = str(work / 'iter_1.pth')
        train(str(config), str(tmp_path / 'next'), cfg_options=options)
    assert 'was trained with fca_scale=channel, but the config has group' in capsys.readouterr().out
