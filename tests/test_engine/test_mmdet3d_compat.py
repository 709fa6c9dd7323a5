"""What is changed in numpy and spconv, and where nothing is."""

import sys
import types

import numpy as np
import pytest
import torch

from dualattn_mm.engine import mmdet3d_compat


def test_numpy_long_is_there_and_stays_if_it_was(monkeypatch):
    assert np.array([1], dtype=np.long).dtype == np.int64
    monkeypatch.setattr(np, 'long', np.int32)
    mmdet3d_compat.restore_numpy_long()
    assert np.long is np.int32
    monkeypatch.delattr(np, 'long')
    mmdet3d_compat.restore_numpy_long()
    assert np.long is np.int64


@pytest.fixture
def spconv_ops(monkeypatch):
    """A stand-in for spconv's module with its one function."""
    ops = types.ModuleType('spconv.pytorch.ops')
    ops.get_current_stream = stock = lambda: 7
    pytorch = types.ModuleType('spconv.pytorch')
    pytorch.ops = ops
    for module in (types.ModuleType('spconv'), pytorch, ops):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(mmdet3d_compat.importlib.util, 'find_spec', lambda name: object())
    return ops, stock


@pytest.mark.parametrize('gpu', [False, True])
def test_spconv_is_changed_without_a_gpu_alone(spconv_ops, monkeypatch, gpu):
    ops, stock = spconv_ops
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpu)
    mmdet3d_compat.let_spconv_train_without_gpu()
    assert (ops.get_current_stream is stock) == gpu
    assert ops.get_current_stream() == (7 if gpu else 0)


def test_nothing_to_do_without_spconv(monkeypatch):
    monkeypatch.setattr(mmdet3d_compat.importlib.util, 'find_spec', lambda name: None)
    monkeypatch.setitem(sys.modules, 'spconv', None)
    mmdet3d_compat.let_spconv_train_without_gpu()


def test_gradient_of_a_sparse_convolution_is_that_of_a_dense_one():
    spconv = pytest.importorskip('spconv.pytorch')
    sparse = spconv.SubMConv3d(2, 3, 3, bias=False)
    coordinates = torch.cartesian_prod(*[torch.arange(4)] * 3).int()  # all: then both are equal
    at = torch.nn.functional.pad(coordinates, (1, 0))
    features = torch.randn(len(at), 2, requires_grad=True)
    out = sparse(spconv.SparseConvTensor(features, at, [4, 4, 4], 1))
    weight = torch.randn(len(at), 3)
    (out.features * weight).sum().backward()

    dense = features.detach().T.reshape(1, 2, 4, 4, 4).requires_grad_()
    kernel = sparse.weight.detach().permute(0, 4, 1, 2, 3).requires_grad_()
    expected = torch.nn.functional.conv3d(dense, kernel, padding=1)
    (expected * weight.T.reshape(1, 3, 4, 4, 4)).sum().backward()
    torch.testing.assert_close(out.features, expected.reshape(3, -1).T, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(features.grad, dense.grad.reshape(2, -1).T, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        sparse.weight.grad, kernel.grad.permute(0, 2, 3, 4, 1), rtol=1e-4, atol=1e-4
    )
