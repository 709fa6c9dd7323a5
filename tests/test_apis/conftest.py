import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from mmengine.registry import MODELS
from tiny import GENERATOR
from torch import nn

from dualattn_mm.apis import overlap, save_generator


@MODELS.register_module()
class UniformColor(nn.Module):
    """A generator whose answer is known: one colour everywhere."""

    def __init__(self, color=(12.0, -20.0)):
        super().__init__()
        self.color = nn.Parameter(torch.tensor(color))

    def forward(self, lightness):
        assert lightness.shape[1] == 1
        return self.color[:, None, None] * torch.ones_like(lightness)


@MODELS.register_module()
class TwoConvs(nn.Module):
    """A generator with something to learn and keys to compare."""

    def __init__(self, width=4):
        super().__init__()
        self.enter = nn.Conv2d(1, width, 3, padding=1)
        self.leave = nn.Conv2d(width, 2, 1)

    def forward(self, lightness):
        return self.leave(torch.relu(self.enter(lightness / 100)))


@pytest.fixture
def uniform_color():
    return UniformColor


@pytest.fixture
def two_convs():
    return TwoConvs


@pytest.fixture
def weights(tmp_path):
    """A weights file for `UniformColor`, outside the folders that tests look into."""
    path = tmp_path / 'weights' / 'uniform.safetensors'
    save_generator(path, UniformColor(), dict(type='UniformColor'))
    return path


@pytest.fixture
def dropped(monkeypatch):
    """Set as soon as the threads that read and write have dropped what they had not begun."""
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
    """The config of a real network, very small."""
    return copy.deepcopy(GENERATOR)
