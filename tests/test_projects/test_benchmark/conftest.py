import pytest
import torch
from torch import nn

from projects.benchmark.peers import Case, Network
from projects.benchmark.step import Setting


@pytest.fixture
def setting():
    return Setting(Case.square(4), 'infer', 'float32', 'eager', 'contiguous', 2)


@pytest.fixture
def tiny():
    """Make a network of one convolution; `calls` notes its name at every call of it.

    At call number `fails_at` it raises `error`.
    """

    class Tiny(nn.Module):
        def __init__(self, name, calls, fails_at, error):
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1)
            self.name, self.calls, self.fails_at, self.error = name, calls, fails_at, error

        def forward(self, x):
            self.calls.append(self.name)
            if self.calls.count(self.name) == self.fails_at:
                raise self.error
            return self.conv(x)

        def to(self, *args, **kwargs):
            if args == ('meta',):  # the counting of operations is no call
                self.calls, self.fails_at = [], None
            return super().to(*args, **kwargs)

    def make(name, calls=None, fails_at=None, error=None, against='ours'):
        calls = [] if calls is None else calls
        return Network(name, '', against, '', lambda case: Tiny(name, calls, fails_at, error))

    return make


@pytest.fixture
def cpu():
    return torch.device('cpu')
