"""The tools as processes: killed and resumed, several at once, started by torchrun or Slurm."""

import os
import random
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

TOOLS = Path(__file__).parents[2] / 'tools'

# Stands for the core environment: the task libraries cannot be imported.
BLOCK = """
import sys
for name in ('mmcv', 'mmdet', 'mmpretrain', 'mmagic', 'mmdet3d'):
    sys.modules[name] = None
"""


def free_port():
    with socket.create_server(('', 0)) as server:
        return str(server.getsockname()[1])


@pytest.fixture
def start(tmp_path):
    """Starts a command of one thread, in `tmp_path`; it is killed when the test ends."""
    started = []

    def start_(*command, **env):
        env = dict(os.environ, OMP_NUM_THREADS='1', PYTHON=sys.executable, **env)
        for name in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE'):
            env.pop(name, None)
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=tmp_path,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start_
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def finish(process, status=0):
    output, _ = process.communicate(timeout=120)
    assert process.returncode == status, output
    return output


def weights(path):
    return torch.load(path, weights_only=True)['state_dict']


def test_killed_and_resumed_ends_as_uninterrupted(config, tmp_path, start):
    # Drop path and augmentation draw random numbers.
    options = [
        '--cfg-options',
        'train_cfg.max_iters=40',
        'model.generator.encoder.drop_path_rate=0.5',
        'default_hooks.checkpoint.interval=3',
        'default_hooks.checkpoint.max_keep_ckpts=1',
    ]
    block = tmp_path / 'block'
    block.mkdir()
    (block / 'sitecustomize.py').write_text(BLOCK)
    command = [sys.executable, TOOLS / 'train.py', config]
    whole = start(*command, '--work-dir', 'whole', *options, PYTHONPATH=str(block))
    broken = start(*command, '--work-dir', 'broken', *options)
    last = tmp_path / 'broken' / 'last_checkpoint'
    deadline = time.monotonic() + 60
    while not last.is_file() and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(random.uniform(0, 0.3))
    broken.kill()
    broken.wait()
    reached = last.read_text()
    assert 'iter_40' not in reached
    finish(start(*command, '--work-dir', 'broken', '--resume', *options))
    finish(whole)
    resumed = weights(tmp_path / 'broken' / 'iter_40.pth')
    torch.testing.assert_close(resumed, weights(tmp_path / 'whole' / 'iter_40.pth'), rtol=0, atol=0)


def test_two_processes_at_half_the_batch_are_one_at_the_full(config, tmp_path, start):
    one = start(sys.executable, TOOLS / 'train.py', config, '--work-dir', 'one')
    options = ['--work-dir', 'two', '--cfg-options', 'train_dataloader.batch_size=2']
    two = start('bash', TOOLS / 'dist_train.sh', config, 2, *options, PORT=free_port())
    finish(one)
    assert 'no GPU: 2 processes on the CPU (gloo)' in finish(two)
    start_, end = (weights(tmp_path / 'one' / f'iter_{i}.pth') for i in (1, 3))
    assert max((end[k] - start_[k]).abs().max() for k in end) > 1e-3
    torch.testing.assert_close(weights(tmp_path / 'two' / 'iter_3.pth'), end, rtol=0, atol=1e-5)


def test_a_process_that_fails_is_named(config, tmp_path, start):
    options = ['--cfg-options', 'train_dataloader.dataset.data_root=nix']
    process = start('bash', TOOLS / 'dist_train.sh', config, 2, *options, PORT=free_port())
    output = finish(process, 1)
    assert 'Traceback' not in output
    assert 'ended with status 2; the others were stopped' in output


@pytest.mark.parametrize(
    ('words', 'env', 'message'),
    [
        ('dist_train.sh nix.py 2', {}, 'error: no config file nix.py'),
        ('dist_test.sh nix.py nix.pth 2', {}, 'error: no config file nix.py'),
        ('dist_train.sh tiny.py x', {}, 'error: GPUS must be a whole number of at least 1'),
        ('dist_train.sh tiny.py 1', {'NNODES': 'x'}, 'error: NNODES must be a whole number'),
        ('dist_train.sh tiny.py', {}, 'usage: bash tools/dist_train.sh CONFIG GPUS'),
        ('slurm_train.sh part job nix.py', {}, 'error: no config file nix.py'),
        ('slurm_test.sh part job nix.py nix.pth', {}, 'error: no config file nix.py'),
    ],
)
def test_wrong_use_is_one_line(config, start, words, env, message):
    script, *rest = words.split()
    output = finish(start('bash', TOOLS / script, *rest, **env), 2)
    assert output.startswith(message)
    assert output.count('\n') == 1


def test_a_port_in_use_is_one_line(config, start):
    with socket.create_server(('', 0)) as server:
        port = str(server.getsockname()[1])
        output = finish(start('bash', TOOLS / 'dist_train.sh', config, 2, PORT=port), 2)
    assert output.startswith(f'error: port {port} cannot be used')
    assert output.count('\n') == 1


def test_slurm(config, tmp_path, start):
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
    output = finish(
        start(
            *('bash', TOOLS / 'slurm_train.sh', 'part', 'job', config, 'work'),
            *('--cfg-options', 'train_cfg.max_iters=1'),
            **task,
            **settings,
        )
    )
    assert output.startswith(
        'srun -p part --job-name=job --gres=gpu:1 --ntasks=1 --ntasks-per-node=1 '
        '--cpus-per-task=2 --kill-on-bad-exit=1 --gres=none --qos=x '
    )
    assert 'no GPU: 1 processes' in output
    assert (tmp_path / 'work' / 'iter_1.pth').is_file()
