"""The device of the tests on a GPU; DUALATTN_GPU_TEST_DEVICE=cpu rehearses them without one."""

import os

import pytest
import torch
from coco_data import annotations, options, write_coco  # noqa: F401


@pytest.fixture(scope='session')
def device():
    return torch.device(os.environ.get('DUALATTN_GPU_TEST_DEVICE', 'cuda'))


@pytest.fixture
def full_precision():
    """float32 without TF32, which rounds factors to 10 bits and is torch's default in cuDNN."""
    parts = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [part.allow_tf32 for part in parts]
    for part in parts:
        part.allow_tf32 = False
    yield
    for part, allowed in zip(parts, before, strict=True):
        part.allow_tf32 = allowed
