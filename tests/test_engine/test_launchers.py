"""tools/dist_train.sh and dist_test.sh: wrong use, a process that ends early, several machines."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from processes import ForkedScript, finish, free_port, wait_until

from dualattn_mm.engine.run import train
from dualattn_mm.utils.parent import LAUNCHER

TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.mark.parametrize(
    ('words', 'env', 'message'),
    [
        ('dist_train.sh nix.py 2', {}, 'error: nix.py is neither a config file nor the name'),
        (
            'dist_test.sh nix.py nix.pth 2',
            {},
            'error: nix.py is neither a config file nor the name',
        ),
        ('dist_train.sh mmdet/mask_rcnn_dualattn_t 1', {'NODE_RANK': '1'}, 'error: NODE_RANK 1'),
        ('dist_train.sh tiny.py x', {}, 'error: GPUS must be an integer >= 1'),
        ('dist_train.sh tiny.py 1', {'NNODES': 'x'}, 'error: NNODES must be an integer'),
        ('dist_train.sh tiny.py 1', {'PORT': '70000'}, 'error: PORT 70000 is too large'),
        ('dist_train.sh tiny.py 1', {'NODE_RANK': '1'}, 'error: NODE_RANK 1 needs NNODES of at'),
        ('dist_train.sh tiny.py 1', {'NNODES': '2'}, 'error: NNODES > 1 needs MASTER_ADDR'),
        ('dist_train.sh tiny.py 1', {'PORT': '0'}, 'error: PORT must be an integer >= 1, got'),
        ('dist_train.sh tiny.py', {}, 'usage: bash tools/dist_train.sh CONFIG GPUS'),
        ('slurm_train.sh part job nix.py', {}, 'error: config file nix.py does not exist'),
        ('slurm_test.sh part job nix.py nix.pth', {}, 'error: config file nix.py does not exist'),
    ],
)
def test_wrong_use_is_reported_in_one_line(config, start, words, env, message):
    script, *rest = words.split()
    output = finish(start(TOOLS / script, *rest, **env), 2)
    assert output.startswith(message)
    assert output.count('\n') == 1


@pytest.mark.parametrize(('words', 'stream'), [(['--help'], 'stdout'), (['4'], 'stderr')])
def test_dist_run_without_arguments_shows_its_usage(words, stream):
    command = [sys.executable, TOOLS / 'dist_run.py', *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == (0 if stream == 'stdout' else 2)
    assert 'Usage: dist_run.py GPUS SCRIPT CONFIG' in getattr(done, stream)
    assert 'Traceback' not in done.stderr


def test_a_port_in_use_is_reported_in_one_line(config, start):
    with socket.create_server(('', 0)) as server:
        port = str(server.getsockname()[1])
        output = finish(start(TOOLS / 'dist_train.sh', config, 2, PORT=port), 2)
    assert output.startswith(f'error: port {port} cannot be used')
    assert output.count('\n') == 1


def test_too_few_gpus_are_reported_in_one_line(config, run_script, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setenv('PORT', free_port())
    for name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS'):
        monkeypatch.setenv(name, '1')
    status, out, err = run_script(TOOLS / 'dist_run.py', 4, TOOLS / 'train.py', config)
    assert (status, out) == (2, '')
    assert err == 'error: 4 processes were requested, but this machine has 2 GPUs\n'


def launch(folder, *words):
    """Start dist_run.py in a fork that has imported PyTorch; return it and its output's file."""
    tool, script, said = TOOLS / 'dist_run.py', folder / 'launch.py', folder / 'said'
    script.write_text(
        'import os, runpy, sys\n'
        f'os.chdir({str(folder)!r})\n'
        f'os.environ["PORT"], sys.argv = "{free_port()}", {[str(tool), *map(str, words)]}\n'
        'runpy.run_path(sys.argv[0], run_name="__main__")\n'
    )
    with said.open('wb') as log:
        return ForkedScript([sys.executable, script], stdout=log), said


def process_of_rank(launcher, rank):
    """The process with this RANK among those that a launcher has started."""
    for pid in Path(f'/proc/{launcher.pid}/task/{launcher.pid}/children').read_text().split():
        if f'RANK={rank}' in environment(pid):
            return int(pid)
    raise AssertionError(f'no process {rank}')


def environment(pid):
    return Path(f'/proc/{pid}/environ').read_text().split('\0')


@pytest.fixture
def machines():
    """Two of them: how a command is started on each and its settings, and the address of the first.

    Two network namespaces joined by a cable; where those are not allowed, this machine twice.
    """
    names = [f'nodes{os.getpid()}{side}' for side in 'ab']
    cable = f'link add {names[0]} netns {names[0]} type veth peer {names[1]} netns {names[1]}'
    commands = [f'netns add {name}' for name in names] + [cable]
    for i, name in enumerate(names, 1):
        commands.append(f'-n {name} address add 10.9.8.{i}/30 dev {name}')
        commands += [f'-n {name} link set {link} up' for link in (name, 'lo')]
    try:
        for command in commands:
            subprocess.run(['ip', *command.split()], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        yield [([], {}), ([], {})], '127.0.0.1'
    else:
        start = ('ip', 'netns', 'exec')
        yield [((*start, name), dict(GLOO_SOCKET_IFNAME=name)) for name in names], '10.9.8.1'
    finally:
        with suppress(OSError):
            for name in names:
                subprocess.run(['ip', 'netns', 'delete', name], capture_output=True)


# A script whose process 0 fails when the connection to process 1 breaks, as training runs do.
CONNECTED = """
import os, pathlib, signal, sys
rank = os.environ['RANK']
with open('pipe', 'r' if rank == '0' else 'w') as pipe:
    pathlib.Path(f'connected{rank}').touch()
    if rank == '0':
        pipe.read()
        sys.exit('lost the connection')
    signal.pause()
"""


@pytest.mark.slow
def test_a_killed_process_is_named_and_the_others_are_stopped(config, tmp_path):
    (tmp_path / 'script.py').write_text(CONNECTED)
    os.mkfifo(tmp_path / 'pipe')
    launcher, said = launch(tmp_path, 2, 'script.py', config)
    connected = [tmp_path / f'connected{rank}' for rank in range(2)]
    wait_until(lambda: all(path.exists() for path in connected), 'two connected processes')
    first, second = (process_of_rank(launcher.process, rank) for rank in range(2))
    assert f'{LAUNCHER}={launcher.process.pid}' in environment(second)  # it ends with it
    os.kill(second, signal.SIGKILL)
    assert launcher.wait() == 1
    end = said.read_text().splitlines()[-1]
    assert end == 'error: process 1 ended with SIGKILL; the others were stopped'
    assert not Path(f'/proc/{first}').exists()


@pytest.mark.slow
def test_the_status_of_a_failed_process_is_named(config, tmp_path):
    (tmp_path / 'script.py').write_text('raise SystemExit(2)')
    launcher, said = launch(tmp_path, 2, 'script.py', config)
    assert launcher.wait() == 1
    end = said.read_text().splitlines()[-1]
    assert re.fullmatch('error: process [01] ended with status 2; the others were stopped', end)


@pytest.mark.slow
def test_two_machines_resume(config, tmp_path, start, machines):
    options = dict(experiment_name=f'one-{os.urandom(4).hex()}')
    train(str(config), str(tmp_path / 'work'), cfg_options=options | {'train_cfg.max_iters': 1})
    last = tmp_path / 'work' / 'last_checkpoint'
    more = ['--cfg-options', 'log_level=INFO', 'train_cfg.max_iters=3']
    nodes, address = machines
    common = dict(NNODES='2', MASTER_ADDR=address, PORT=free_port())
    command = [TOOLS / 'dist_train.sh', config, 1]
    # The second has no folder of its own to find the last checkpoint in.
    resumes = (['work', '--resume'], ['node1', '--resume', last.read_text()])
    processes = [
        start(*within, *command, '--work-dir', *words, *more, NODE_RANK=str(i), **common, **env)
        for i, ((within, env), words) in enumerate(zip(nodes, resumes, strict=True))
    ]
    first, second = map(finish, processes)
    assert 'no GPU: 2 processes on the CPU (gloo)' in first
    assert 'no GPU' not in second
    assert 'resumed epoch: 0, iter: 1' in first
    assert (tmp_path / 'work' / 'iter_3.pth').is_file()
    assert not list(tmp_path.glob('node1/*.pth'))
