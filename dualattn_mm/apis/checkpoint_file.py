"""Files of weights that others wrote: read without running anything that is in them."""

import contextlib
import os
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..errors import UserError
from .errors import first_line


class _Ignored:
    """Stands for an object of a checkpoint that is of no interest here."""

    def __new__(cls, *args: Any) -> '_Ignored':
        return super().__new__(cls)

    def __init__(self, *args: Any):
        pass

    def __setstate__(self, state: Any):
        pass


# mmengine stores its training log beside the weights, in classes that weights_only does not allow.
# They are read as `_Ignored`, so that still nothing but this module's stub is ever called.
_TRAINING_LOG = [
    type(name, (_Ignored,), {'__module__': module})
    for module, name in (
        ('mmengine.logging.history_buffer', 'HistoryBuffer'),
        ('builtins', 'getattr'),
        ('numpy', 'ndarray'),
        ('numpy', 'dtype'),
        ('numpy.core.multiarray', '_reconstruct'),
        ('numpy.core.multiarray', 'scalar'),
        ('numpy._core.multiarray', '_reconstruct'),
        ('numpy._core.multiarray', 'scalar'),
    )
]


def read_checkpoint(path: str | os.PathLike) -> Any:
    """What `torch.save` wrote, on the CPU; nothing in it is executed (weights_only).

    Raises:
        UserError: if it is damaged, is something else, or holds objects that could run code.
    """
    allowed = getattr(torch.serialization, 'safe_globals', None)  # torch >= 2.5
    try:
        with allowed(_TRAINING_LOG) if allowed else contextlib.nullcontext():
            # mmap: what is not asked for, such as the optimizer's state, stays on the disk
            mapped = zipfile.is_zipfile(path)
            return torch.load(str(path), map_location='cpu', weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        found = re.search(r'(?:GLOBAL|class) ([\w.]+)', str(error))
        reason = f' ({found[1]})' if found else ''
        raise UserError(
            f'{path} is not loaded: it is damaged, or holds objects other than weights{reason}, '
            'which could run code'
        ) from None
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise UserError(f'{path} is not a weights file: {first_line(error)}') from None


def read_state_dict(path: str | os.PathLike) -> dict[str, Tensor]:
    """The tensors by name in a safetensors file, a checkpoint of mmengine or timm, or a state dict.

    Raises:
        UserError: if there is no such file, or it cannot be read.
    """
    path = Path(path)
    try:
        with path.open('rb') as file:
            head = file.read(9)
    except OSError as error:
        raise UserError(f'cannot read {path}: {error.strerror}') from None
    if head[8:] == b'{':  # a safetensors file is a length of 8 bytes, then JSON
        try:
            return load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise UserError(f'{path} is damaged: {first_line(error)}') from None
    checkpoint = read_checkpoint(path)
    for name in ('state_dict', 'model'):
        if isinstance(checkpoint, dict) and isinstance(checkpoint.get(name), dict):
            checkpoint = checkpoint[name]
    if not isinstance(checkpoint, dict):
        raise UserError(f'{path} holds no state dict')
    return {str(key): value for key, value in checkpoint.items() if isinstance(value, Tensor)}
