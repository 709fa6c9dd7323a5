"""What is changed in numpy, spconv and numba, and where nothing is."""

import importlib
import os
import sys
import types

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.integration


@pytest.fixture
def mmdet3d_compat():
    """The module, which imports mmdet3d where it is installed (4 s)."""
    return importlib.import_module('dualattn_mm.engine.mmdet3d_compat')


def test_numpy_long_is_there_and_stays_if_it_was(mmdet3d_compat, monkeypatch):
    assert np.array([1], dtype=np.long).dtype == np.int64
    monkeypatch.setattr(np, 'long', np.int32)
    mmdet3d_compat.restore_numpy_long()
    assert np.long is np.int32
    monkeypatch.delattr(np, 'long')
    mmdet3d_compat.restore_numpy_long()
    assert np.long is np.int64


@pytest.fixture
def spconv_ops(mmdet3d_compat, monkeypatch):
    """A stand-in for spconv's module with its functions, of which two tell their threads."""
    ops = types.ModuleType('spconv.pytorch.ops')
    ops.get_current_stream = stock = lambda: 7
    ops.indice_conv = ops.indice_conv_backward = torch.get_num_threads
    pytorch = types.ModuleType('spconv.pytorch')
    pytorch.ops = ops
    for module in (types.ModuleType('spconv'), pytorch, ops):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(mmdet3d_compat.importlib.util, 'find_spec', lambda name: object())
    return ops, stock


@pytest.fixture
def two_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize('gpu', [False, True])
def test_spconv_is_changed_without_a_gpu_alone(
    mmdet3d_compat, spconv_ops, monkeypatch, two_threads, gpu
):
    ops, stock = spconv_ops
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpu)
    mmdet3d_compat.correct_spconv_without_gpu()
    assert (ops.get_current_stream is stock) == gpu
    assert ops.get_current_stream() == (7 if gpu else 0)
    for function in (ops.indice_conv, ops.indice_conv_backward):
        assert function() == (2 if gpu else 1)
    assert torch.get_num_threads() == 2


def test_nothing_to_do_without_spconv(mmdet3d_compat, spconv_ops, monkeypatch):
    ops, _ = spconv_ops
    before = dict(vars(ops))
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(mmdet3d_compat.importlib.util, 'find_spec', lambda name: None)
    mmdet3d_compat.correct_spconv_without_gpu()
    assert vars(ops) == before


@pytest.fixture
def numba_config(monkeypatch):
    """A stand-in for numba after its import, which notes that it reads the environment."""
    config = types.ModuleType('numba.core.config')
    config.read = []
    config.reload_config = lambda: config.read.append(os.environ['NUMBA_ENABLE_CUDASIM'])
    core = types.ModuleType('numba.core')
    core.config = config
    for module in (types.ModuleType('numba'), core, config):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.delitem(sys.modules, 'numba.cuda', raising=False)
    monkeypatch.setenv('NUMBA_ENABLE_CUDASIM', 'to be restored')
    monkeypatch.delenv('NUMBA_ENABLE_CUDASIM')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    return config


def test_numba_simulates_a_gpu_where_there_is_none(mmdet3d_compat, numba_config, monkeypatch):
    mmdet3d_compat.let_numba_simulate_gpu()
    assert numba_config.read == ['1']
    monkeypatch.setenv('NUMBA_ENABLE_CUDASIM', '0')  # the user's word
    mmdet3d_compat.let_numba_simulate_gpu()
    assert numba_config.read == ['1', '0']


@pytest.mark.parametrize('reason', ['a GPU', 'too late'])
def test_numba_is_left_alone(mmdet3d_compat, numba_config, monkeypatch, reason):
    if reason == 'a GPU':
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    else:
        monkeypatch.setitem(sys.modules, 'numba.cuda', types.ModuleType('numba.cuda'))
    mmdet3d_compat.let_numba_simulate_gpu()
    assert numba_config.read == []
    assert 'NUMBA_ENABLE_CUDASIM' not in os.environ


@pytest.mark.usefixtures('mmdet3d_compat')
@pytest.mark.parametrize('kind', ['SubMConv3d', 'SparseConv3d'])
def test_sparse_convolutions_are_dense_ones(two_threads, kind):
    spconv = pytest.importorskip('spconv.pytorch')
    sparse = getattr(spconv, kind)(8, 16, 3, padding=1, bias=False)
    size = 12
    coordinates = torch.cartesian_prod(*[torch.arange(size)] * 3).int()  # all: then both are equal
    at = torch.nn.functional.pad(coordinates, (1, 0))
    kernel = sparse.weight.detach().permute(0, 4, 1, 2, 3)
    for _ in range(3):
        features = torch.randn(len(at), 8, requires_grad=True)
        tensor = sparse(spconv.SparseConvTensor(features, at, [size] * 3, 1))
        weight = torch.randn(1, 16, *[size] * 3)
        found = torch.autograd.grad((tensor.dense() * weight).sum(), [features, sparse.weight])
        dense = [features.detach().T.reshape(1, 8, *[size] * 3), kernel]
        dense = [tensor.clone().requires_grad_() for tensor in dense]
        expected = torch.nn.functional.conv3d(*dense, padding=1)
        gradients = torch.autograd.grad((expected * weight).sum(), dense)
        torch.testing.assert_close(tensor.dense(), expected, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(found[0], gradients[0].reshape(8, -1).T, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(
            found[1], gradients[1].permute(0, 2, 3, 4, 1), rtol=1e-3, atol=2e-3
        )
    assert torch.get_num_threads() == 2
