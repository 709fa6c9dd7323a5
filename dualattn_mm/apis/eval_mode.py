"""Keep a network in evaluation mode for as long as any thread needs it."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from torch import nn


@dataclass
class _Use:
    """The number of current users of a network, and its modules that were in training mode."""

    users: int = 0
    training: list[nn.Module] = field(default_factory=list)


_lock = threading.Lock()
_uses: WeakKeyDictionary[nn.Module, _Use] = WeakKeyDictionary()


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Keep a network in evaluation mode; the last user restores the mode of every module."""
    with _lock:
        use = _uses.setdefault(network, _Use())
        if not use.users:
            use.training = [module for module in network.modules() if module.training]
            network.eval()
        use.users += 1
    try:
        yield
    finally:
        with _lock:
            use.users -= 1
            if not use.users:
                for module in use.training:
                    module.training = True
                use.training = []
