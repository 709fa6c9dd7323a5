import json
import os
import re
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import MODELS
from PIL import Image
from processes import PATIENCE
from skimage.data import camera

from dualattn_mm.apis import save_generator
from dualattn_mm.cli.main import main
from dualattn_mm.utils.ray_pool import ray_cluster, run_batches, worker_options

ROOT = Path(__file__).resolve().parents[2]
COUNT = 16


def found():
    """Return the results by name, with what changes if one is written again."""
    results = {path.name: path.stat() for path in Path('out').glob('**/*.png')}
    return {name: (status.st_ino, status.st_mtime_ns) for name, status in results.items()}


@pytest.fixture(scope='module')
def cluster():
    """A Ray cluster whose head has no CPU, so that the worker runs on the other node."""
    cluster_utils = pytest.importorskip('ray.cluster_utils')
    from ray._private import services

    start_raylet = services.start_raylet

    def start_without_agents(*args, **kwargs):
        """Write what Ray's agents write at their start, for which Ray waits only 15 s."""
        node, folder = args[2], args[11]
        for name in ('metrics_agent', 'metrics_export', 'dashboard_agent_listen'):
            Path(folder, f'{name}_port_{node}').write_text('-1')
        with socket.create_server(('127.0.0.1', 0)) as free:
            kwargs['runtime_env_agent_port'] = free.getsockname()[1]
        return start_raylet(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(services, 'start_raylet', start_without_agents)
        patch.setenv('PYTHONPATH', str(ROOT))
        patch.setenv('RAY_USAGE_STATS_ENABLED', '0')
        for name in ('agent_register_timeout_ms', 'raylet_start_wait_time_s'):
            patch.setenv(f'RAY_{name}', '300000' if name.endswith('ms') else '100')
        head = dict(num_cpus=0, include_dashboard=False, no_monitor=True, include_log_monitor=False)
        cluster = cluster_utils.Cluster(True, head_node_args=dict(head, object_store_memory=2**27))
        yield cluster
        cluster.shutdown()


@pytest.mark.slow
def test_a_killed_node_loses_nothing(cluster, tmp_path, monkeypatch, capsys, tiny):
    monkeypatch.chdir(tmp_path)
    save_generator('tiny.safetensors', MODELS.build(tiny).state_dict(), tiny)
    photo = Image.fromarray(camera()).resize((900, 900))
    for folder in ('in', 'in/sub'):
        os.mkdir(folder)
        for number in range(COUNT // 2):
            photo.rotate(number).save(f'{folder}/{Path(folder).name}{number}.png')
    Path('in/bad.png').write_text('no image')
    node = cluster.add_node(num_cpus=1, object_store_memory=2**27)
    options = ['--weights', 'tiny.safetensors', '--size', '32', '--device', 'cpu']
    command = ['colorize', 'in', '-o', 'out', *options]
    with ThreadPoolExecutor() as pool:
        run = pool.submit(main, [*command, '--ray', cluster.address])
        while not (first := found()) and not run.done():
            time.sleep(0.01)
        cluster.remove_node(node, allow_graceful=False)
        cluster.add_node(num_cpus=1, object_store_memory=2**27)
        status = run.result()
    out, err = capsys.readouterr()
    assert status == 1, err
    done, skipped = map(int, re.search(r'(\d+) done, (\d+) skipped, 1 failed, ', out).groups())
    assert done + skipped == COUNT  # the worker that died finished those that were skipped
    assert re.search(r'warning: a worker died; its \d files are run again', err)
    (failure,) = map(json.loads, Path('out/failed.jsonl').read_text().splitlines())
    assert failure['file'] == str(tmp_path / 'in/bad.png')
    assert failure['reason'].startswith('not a JPEG')
    results = found()
    assert len(results) == COUNT
    assert first.items() <= results.items()  # not written again
    # the same command without Ray skips all of them, and colorizes them alike
    main(command)
    assert f'0 done, {COUNT} skipped, 1 failed' in capsys.readouterr().out
    assert found() == results
    main(['colorize', 'in/sub', '-o', 'again', *options])
    for path in Path('again').glob('*.png'):
        expected, result = Image.open(path), Image.open(Path('out/sub', path.name))
        np.testing.assert_allclose(np.int16(result), np.int16(expected), atol=1)


@pytest.mark.slow
def test_workers_see_one_gpu_each(cluster, tmp_path):
    class Devices:
        def run(self, batch):
            Path(tmp_path, *batch).touch()
            limit = time.monotonic() + PATIENCE
            while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < limit:
                time.sleep(0.01)  # until the other worker has the other batch
            return os.environ.get('CUDA_VISIBLE_DEVICES')

    cluster.add_node(num_cpus=3, num_gpus=2, object_store_memory=2**27)  # Ray believes it
    with ray_cluster(cluster.address):
        with_gpus = [options for options in worker_options() if options['num_gpus']]
        assert with_gpus == [dict(num_cpus=1, num_gpus=1)] * 2
        seen = run_batches(Devices, (), [['a'], ['b']], with_gpus)
        assert sorted(devices for _, devices in seen) == ['0', '1']


@pytest.mark.slow
def test_an_item_whose_workers_die_again_and_again_fails_alone(cluster):
    class Dies:
        def run(self, batch):
            if 'bad' in batch:
                os._exit(1)
            return [item.upper() for item in batch]

    cluster.add_node(num_cpus=1, object_store_memory=2**27)
    batches = [['a', 'bad', 'b'], ['c', 'd']]
    with ray_cluster(cluster.address):
        found = list(run_batches(Dies, (), batches, [dict(num_cpus=1, num_gpus=0)]))
    assert sorted(found) == [
        (['a'], ['A']),
        (['b'], ['B']),
        (['bad'], None),
        (['c', 'd'], ['C', 'D']),
    ]


def test_workers_have_a_gpu_or_four_cores_each(monkeypatch):
    ray = pytest.importorskip('ray')
    nodes = {'twelve': dict(CPU=12.0), 'seven': dict(CPU=7.0), 'gpus': dict(CPU=3.0, GPU=2.0)}
    nodes |= {'two': dict(CPU=2.0), 'head': {}, 'dead': dict(CPU=8.0)}
    listed = [dict(Alive=name != 'dead', Resources=value) for name, value in nodes.items()]
    monkeypatch.setattr(ray, 'nodes', lambda: listed)
    four, seven, two = [dict(num_cpus=cores, num_gpus=0) for cores in (4, 7, 2)]
    gpu, three = dict(num_cpus=1, num_gpus=1), dict(num_cpus=3, num_gpus=0)
    assert worker_options() == [four] * 3 + [seven] + [gpu] * 2 + [two]
    assert worker_options(use_gpus=False) == [four] * 3 + [seven, three, two]


def test_ray_that_does_not_start_is_one_line(tmp_path, monkeypatch, capsys):
    ray = pytest.importorskip('ray')

    def init(*_, **__):
        raise Exception('The current node timed out')  # as Ray does

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ray, 'init', init)
    Image.new('L', (8, 8)).save('a.png')
    assert main(['colorize', 'a.png', '--ray']) == 2
    assert main(['colorize', 'a.png', '--ray', '10.0.0.1:1']) == 2
    assert capsys.readouterr().err.splitlines() == [
        'error: Ray does not start on this machine: The current node timed out',
        'error: no Ray cluster at 10.0.0.1:1: The current node timed out',
    ]


def test_ray_that_is_missing_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, 'ray', None)
    Image.new('L', (8, 8)).save('a.png')
    assert main(['colorize', 'a.png', '--ray']) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith('error: ray is needed for --ray')
    assert lines[0].endswith("pip install 'dualattn_mm[ray]'")


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--frames'], '--frames needs'),
        (['--overwrite', '-o', '.'], 'is in the output folder'),
        (['--device', 'cuda:1'], '--ray uses all GPUs: replace --device cuda:1 by --device cuda'),
    ],
)
def test_options_that_do_not_go_with_ray(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    os.mkdir('in')
    Image.new('L', (8, 8)).save('in/a.png')
    assert main(['colorize', 'in', *options, '--ray']) == 2
    assert message in capsys.readouterr().err


def test_a_link_into_the_output_folder_does_not_go_with_overwriting(tmp_path, monkeypatch, capsys):
    """The result of in/y.png would replace in/x.png, which another worker may have."""
    monkeypatch.chdir(tmp_path)
    for folder in ('in', 'out'):
        os.mkdir(folder)
        Image.new('L', (8, 8)).save(f'{folder}/y.png')
    Path('in/x.png').symlink_to('../out/y.png')
    assert main(['colorize', 'in', '-o', 'out', '--overwrite', '--ray']) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('error: in/x.png is in the output folder out: ')
