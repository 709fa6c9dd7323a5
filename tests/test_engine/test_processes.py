"""The tools as processes: killed and resumed, several at once, started by torchrun or Slurm."""

import os
import random
import stat
import sys
import time
from pathlib import Path

import pytest
import torch
from processes import (
    dualattn_in_processes,
    finish,
    free_port,
    in_processes,
    ranks,
    wait_until,
)
from torch import distributed

from dualattn_mm.engine.run import train

pytestmark = pytest.mark.slow

TOOLS = Path(__file__).parents[2] / 'tools'

# The core environment does not have them.
LIBRARIES = 'mmcv', 'mmdet', 'mmpretrain', 'mmagic', 'mmdet3d'


def weights(path):
    return torch.load(path, weights_only=True)['state_dict']


def train_here(config, work_dir, resume=None, **options):
    """As the commands do it in one thread, without starting a process."""
    options |= dict(experiment_name=f'{work_dir.name}-{os.urandom(4).hex()}')
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train(str(config), str(work_dir), resume=resume, cfg_options=options)
    finally:
        torch.set_num_threads(threads)


def words(options):
    return ['--cfg-options', *(f'{name}={value}' for name, value in options.items())]


def test_killed_and_resumed_ends_as_uninterrupted(config, tmp_path, start, monkeypatch):
    """The task libraries cannot be imported."""
    # Drop path and augmentation draw random numbers.
    options = {
        'model.generator.encoder.drop_path_rate': 0.5,
        'default_hooks.checkpoint.interval': 3,
        'default_hooks.checkpoint.max_keep_ckpts': 1,
    }
    block = tmp_path / 'block'
    block.mkdir()
    code = f'import sys\nsys.modules |= dict.fromkeys({LIBRARIES})\n'
    (block / 'sitecustomize.py').write_text(code)
    for name in LIBRARIES:
        monkeypatch.setitem(sys.modules, name, None)
    command = [sys.executable, TOOLS / 'train.py', config, '--work-dir', 'broken']
    # It would not end by itself, however late the kill comes.
    endless = 'train_cfg.max_iters=1000000000'
    broken = start(*command, *words(options), endless, PYTHONPATH=str(block))
    last = tmp_path / 'broken' / 'last_checkpoint'
    wait_until(lambda: last.is_file() or broken.poll() is not None, 'a first checkpoint')
    time.sleep(random.uniform(0, 0.3))
    broken.kill()
    output, _ = broken.communicate()
    assert last.is_file(), output
    reached = int(Path(last.read_text()).stem.removeprefix('iter_'))
    options['train_cfg.max_iters'] = reached + 9
    train_here(config, tmp_path / 'broken', resume='auto', **options)
    train_here(config, tmp_path / 'whole', **options)
    ends = [tmp_path / name / f'iter_{reached + 9}.pth' for name in ('broken', 'whole')]
    torch.testing.assert_close(*map(weights, ends), rtol=0, atol=0)


@pytest.fixture
def slurm(tmp_path):
    """What a task of a one-task job has in its environment, and an `srun` that starts it here."""
    srun = tmp_path / 'bin' / 'srun'
    srun.parent.mkdir()
    srun.write_text(
        '#!/usr/bin/env bash\necho "srun $*"\nwhile [[ $1 == -* ]]; do\n'
        '  [[ $1 != -p ]] || shift\n  shift\ndone\nexec "$@"\n'
    )
    srun.chmod(srun.stat().st_mode | stat.S_IXUSR)
    task = dict(
        PATH=f'{srun.parent}:{os.environ["PATH"]}',
        SLURM_PROCID='0',
        SLURM_NTASKS='1',
        SLURM_LOCALID='0',
        SLURM_NODELIST='localhost',
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=free_port(),
    )
    settings = dict(GPUS='1', GPUS_PER_NODE='1', CPUS_PER_TASK='2', SRUN_ARGS='--gres=none --qos=x')
    return dict(task, **settings)


def test_slurm(config, tmp_path, start, slurm):
    command = ['bash', TOOLS / 'slurm_train.sh', 'part', 'job', config, 'work']
    options = ['--cfg-options', 'train_cfg.max_iters=1']
    output = finish(start(*command, *options, **slurm | dict(PYTHON='echo')))
    called, shown = output.splitlines()
    assert called.startswith(
        'srun -p part --job-name=job --gres=gpu:1 --ntasks=1 --ntasks-per-node=1 '
        '--cpus-per-task=2 --kill-on-bad-exit=1 --gres=none --qos=x '
    )
    unbuffered, script, *argv = shown.split(' ')
    assert (unbuffered, script) == ('-u', str(TOOLS / 'train.py'))
    output = dualattn_in_processes([slurm], tmp_path, 'train', *argv)
    assert 'no GPU: 1 processes' in output
    assert (tmp_path / 'work' / 'iter_1.pth').is_file()


def test_slurm_tests(config, tmp_path, start, slurm):
    words = [config, 'weights.pth', '--out', 'x.json']
    command = ['bash', TOOLS / 'slurm_test.sh', 'part', 'job', *words]
    output = finish(start(*command, **slurm | dict(PYTHON='echo')))
    called, shown = output.splitlines()
    assert called.startswith('srun -p part --job-name=job --gres=gpu:1 --ntasks=1 ')
    assert shown == ' '.join(map(str, ['-u', TOOLS / 'test.py', *words, '--launcher=slurm']))


TESTING = """
test_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(train_dataloader['dataset'], test_mode=True),
)
test_cfg = dict()
test_evaluator = dict(type='ColorizationCF')
"""


def test_damaged_weights_in_several_processes(config, tmp_path, start):
    config.write_text(config.read_text() + TESTING)
    (tmp_path / 'weights.pth').write_bytes(b'PK' + bytes(100))
    words = [config, 'weights.pth']
    command = ['bash', TOOLS / 'dist_test.sh', *words, 2, '--out', 'x.json']
    shown = finish(start(*command, PYTHON='echo'))
    expected = [TOOLS / 'dist_run.py', 2, TOOLS / 'test.py', *words, '--out', 'x.json']
    assert shown.split() == list(map(str, expected))
    words += ['--launcher', 'pytorch']
    output = dualattn_in_processes(ranks(2, free_port()), tmp_path, 'test', *words, status=2)
    assert 'weights.pth: it is damaged' in output
    assert 'Traceback' not in output


GALLERY = """
model['critic'] = dict(type='WassersteinCritic', channels=(4, 8))
optim_wrapper = dict(
    constructor='NetworkOptimWrapperConstructor',
    generator=dict(optimizer=dict(type='Adam', lr=1e-3)),
    critic=dict(optimizer=dict(type='RMSprop', lr=5e-5)),
)
model_wrapper_cfg = dict(type='MMSeparateDistributedDataParallel')
custom_hooks = [
    dict(type='PlainCheckpointHook'),
    dict(type='RepeatableHook'),
    dict(type='GeneratorEMAHook', momentum=0.1),
]
"""


def train_in_turn(rank, trainings, ports):
    """Train one after the other, in a process that is one of two as if torchrun started it."""
    for (config, work_dir, options), port in zip(trainings, ports, strict=True):
        os.environ |= ranks(2, port)[rank]
        options = dict(options, experiment_name=Path(work_dir).name)
        train(config, work_dir, launcher='pytorch', cfg_options=options)
        distributed.destroy_process_group()


def test_two_processes_at_half_the_batch_are_one_at_the_full(config, tmp_path):
    # Attention's key bias has no gradient but rounding, which Adam would make a step of.
    options = {'optim_wrapper.optimizer.eps': 1e-5}
    halves = options | {'train_dataloader.batch_size': 2}
    trainings = [(str(config), str(tmp_path / 'two'), halves)]
    in_processes(2, train_in_turn, trainings, [free_port()])
    train_here(config, tmp_path / 'one', **options)
    start, end = (weights(tmp_path / 'one' / f'iter_{i}.pth') for i in (1, 3))
    assert max((end[k] - start[k]).abs().max() for k in end) > 1e-3
    torch.testing.assert_close(weights(tmp_path / 'two' / 'iter_3.pth'), end, rtol=0, atol=1e-5)


def test_a_gallery_in_two_processes(config, tmp_path):
    with_critic = config.with_name('critic.py')
    with_critic.write_text(config.read_text() + GALLERY)
    gallery = {
        'default_hooks.gallery.dataset.data_root': str(tmp_path / 'photos'),
        'default_hooks.gallery.interval': 2,
    }
    size = {'model.generator.image_size': 32}
    trainings = [
        (str(path), str(tmp_path / f'{path.stem}-{name}'), options)
        for path in (config, with_critic)
        for name, options in (('with', gallery | size), ('without', size))
    ]
    in_processes(2, train_in_turn, trainings, [free_port() for _ in trainings])
    for path in (config, with_critic):
        folders = [tmp_path / f'{path.stem}-{name}' for name in ('with', 'without')]
        one, other = (weights(folder / 'iter_3.pth') for folder in folders)
        torch.testing.assert_close(one, other, rtol=0, atol=0)
        assert any(key.startswith('critic.') for key in one) == (path is with_critic)
        sheets = [sorted(p.name for p in f.glob('*/vis_data/vis_image/*')) for f in folders]
        assert sheets == [['gallery_2.png', 'gallery_3.png'], []]
