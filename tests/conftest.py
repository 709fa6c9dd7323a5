import ast
import copy
import gc
import importlib
import importlib.util
import os
import random
import runpy
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import chain, islice
from unittest.mock import patch
from urllib.error import URLError

import numpy as np
import pytest
import torch
from mmengine.config import config
from mmengine.fileio import load
from mmengine.registry import MODELS
from mmengine.utils import is_installed
from tiny import GENERATOR
from torch import nn

from dualattn_mm.apis import overlap, save_generator
from dualattn_mm.models.network_schema import GENERATORS, one_of, record, whole

LIBRARIES = ('mmdet', 'mmpretrain', 'mmdet3d', 'mmagic')

gc.disable()  # imports leave no garbage, and a tenth of their time would be searching for it


def pytest_collection_finish():
    gc.enable()


def pytest_itemcollected(item):
    """Mark tests that use the libraries, and skip GPU tests on machines without a GPU."""
    if 'openmmlab' in item.fixturenames:
        item.add_marker('integration')
    rehearsed = 'DUALATTN_GPU_TEST_DEVICE' in os.environ
    if item.get_closest_marker('gpu') and not (torch.cuda.is_available() or rehearsed):
        item.add_marker(pytest.mark.skip(reason='PyTorch finds no CUDA GPU'))


def _kind(item):
    """Return which head of a part an item belongs to; None for the others."""
    if item.path.stem == 'test_env_sh':
        return 0  # set-ups of environments mostly wait for the disk
    if item.get_closest_marker('integration'):
        return 1
    return 2 if item.get_closest_marker('slow') else None


@pytest.hookimpl(trylast=True)  # after the items that -m leaves out are gone
def pytest_collection_modifyitems(config, items):
    """Sort the tests for several processes, to each of which pytest-xdist gives an equal part.

    Every part starts with tests of one kind, so as a rule one process alone imports the libraries.
    A process without work takes over the end of another part, where the tests are short.
    """
    processes = getattr(config, 'workerinput', {}).get('workercount', 1)
    if processes == 1:
        return
    kinds = [[item for item in items if _kind(item) == kind] for kind in range(3)]
    others = iter([item for item in items if _kind(item) is None])
    left = len(items)
    items.clear()
    for i in range(processes):
        size = left // (processes - i)
        left -= size
        head = list(chain.from_iterable(kinds[i::processes]))
        items += head
        items += islice(others, max(0, size - len(head)))
    items += others


@pytest.fixture(autouse=True)
def _seed():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _nothing_is_left_behind():
    """Restore the environment variables, and empty the file system in memory."""
    before = dict(os.environ)
    yield
    # Not all at once: the threads of some libraries read variables meanwhile.
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update({k: v for k, v in before.items() if os.environ.get(k) != v})
    if memory := sys.modules.get('fsspec.implementations.memory'):
        memory.MemoryFileSystem.store.clear()
        memory.MemoryFileSystem.pseudo_dirs[:] = ['']


@pytest.fixture(autouse=True, scope='module')
def _little_is_searched_for_garbage():
    """mmengine collects garbage for every data set, and our benchmark for every sample."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope='session')
def _no_time_is_lost():
    """Skip steps that take most of the time of a small training and that no test checks."""

    def format_code(text, **_):
        ast.parse(text)
        return text, False

    # OneDL's mmengine imports it in the function that calls it.
    formats = 'mmengine.config.config' if hasattr(config, 'FormatCode') else 'yapf.yapflib.yapf_api'
    with (
        # It pretty-prints the config for every checkpoint, and for every `_base_ = 'mmdet::...'`
        # reads anew what packages and which of their models there are: up to a second each.
        patch(f'{formats}.FormatCode', format_code),
        patch('mmengine.config.config.is_installed', cache(is_installed)),
        patch('mmengine.config.utils.load', cache(load)),
        # For after a failure of the power; a busy disk also takes up to a second.
        patch('os.fsync', lambda fd: None),
    ):
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope='session')
def perturb():
    """Move all parameters away from zeros, ones and near-uniform softmaxes, which hide mistakes."""

    def perturb_(module, std=0.2):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(std * torch.randn_like(parameter))
        return module

    return perturb_


class Libraries(dict):
    """The libraries' `registry` modules by name; a test that asks for a missing one is skipped.

    A test that asks for one that is installed but cannot be imported fails, and the others run.
    """

    def __init__(self):
        super().__init__()
        self.broken = {}

    def __missing__(self, name):
        if name in self.broken:
            pytest.fail(f'{name} cannot be imported: {self.broken[name]}')
        pytest.skip(f'not installed: {name}')


@pytest.fixture(scope='session')
def openmmlab():
    """Import the task libraries and register all their modules, once per session (30 s).

    OneDL has forks of mmdet and mmpretrain alone, so a test must ask for the libraries it needs.
    """
    installed = [name for name in LIBRARIES if importlib.util.find_spec(name)]
    if not installed or importlib.util.find_spec('mmcv') is None:
        pytest.skip('not installed: mmcv and a task library')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        if 'mmdet3d' in installed:
            # As its configs do, and before numba.cuda, which decides whether to simulate a GPU.
            importlib.import_module('dualattn_mm.engine.mmdet3d_compat')
        libraries = Libraries()
        for name in installed:
            try:
                utils = importlib.import_module(f'{name}.utils')
                utils.register_all_modules(init_default_scope=False)
                libraries[name] = importlib.import_module(f'{name}.registry')
            except Exception as error:  # for example, with a newer version of transformers
                libraries.broken[name] = f'{type(error).__name__}: {error}'
    gc.freeze()
    return libraries


@pytest.fixture
def run_script(monkeypatch, capsys):
    """Run a Python script with arguments in this process; return its status, stdout and stderr."""

    def run(script, *words):
        monkeypatch.setattr(sys, 'argv', [str(script), *map(str, words)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(script), run_name='__main__')
        return end.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def start(tmp_path):
    """Start a single-threaded command in `tmp_path`; it is killed when the test ends."""
    started = []

    def start_(*command, stderr=subprocess.STDOUT, **env):
        env = dict(os.environ, OMP_NUM_THREADS='1', PYTHON=sys.executable) | env
        for name in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE'):
            env.pop(name, None)
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=tmp_path,
            env=env,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        started.append(process)
        return process

    yield start_
    for process in started:
        process.kill()
        process.wait()
        for stream in filter(None, (process.stdout, process.stderr)):
            stream.close()


@MODELS.register_module()
class UniformColor(nn.Module):
    """A generator with a known result: one color everywhere."""

    def __init__(self, color=(12.0, -20.0)):
        super().__init__()
        self.color = nn.Parameter(torch.tensor(color))

    def forward(self, lightness):
        assert lightness.shape[1] == 1
        return self.color[:, None, None] * torch.ones_like(lightness)


@MODELS.register_module()
class TwoConvs(nn.Module):
    """A generator with parameters to train and keys to compare."""

    def __init__(self, width=4):
        super().__init__()
        self.enter = nn.Conv2d(1, width, 3, padding=1)
        self.leave = nn.Conv2d(width, 2, 1)

    def forward(self, lightness):
        return self.leave(torch.relu(self.enter(lightness / 100)))


GENERATORS['UniformColor'] = record(dict(type=one_of('UniformColor')))
GENERATORS['TwoConvs'] = record(dict(type=one_of('TwoConvs')), dict(width=whole(1, 16)))


@pytest.fixture
def uniform_color():
    return UniformColor


@pytest.fixture
def two_convs():
    return TwoConvs


@pytest.fixture
def weights(tmp_path):
    """A weights file for `UniformColor`, outside the folders that tests list."""
    path = tmp_path / 'weights' / 'uniform.safetensors'
    save_generator(path, UniformColor(), dict(type='UniformColor'))
    return path


@pytest.fixture
def logged(tmp_path_factory, monkeypatch):
    """Records what a module logs, also in worker processes; returns a function with its lines."""

    def logged_(module):
        log = tmp_path_factory.mktemp('log') / 'log.txt'
        log.touch()

        def record(message, logger, level):
            with log.open('a') as file:
                file.write(message + '\n')

        monkeypatch.setattr(module, 'print_log', record)
        return lambda: log.read_text().splitlines()

    return logged_


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """No network, and torch's cache is empty; gives its folder."""

    def fail(*args, **kwargs):
        raise URLError('no route')

    monkeypatch.setattr(torch.hub, 'download_url_to_file', fail)
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    return tmp_path / 'cache' / 'hub' / 'checkpoints'


@pytest.fixture
def dropped(monkeypatch):
    """An event that is set when the reading and writing threads have dropped pending work."""
    event = threading.Event()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait=True, *, cancel_futures=False):
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            event.set()
            super().shutdown(wait)

    monkeypatch.setattr(overlap, 'ThreadPoolExecutor', Pool)
    return event


@pytest.fixture
def tiny():
    """The config of a very small real network."""
    return copy.deepcopy(GENERATOR)
