"""Files of weights that others wrote: read without running anything that is in them."""

import contextlib
import os
import pickle
import re
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .errors import UserError, first_line


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
    from safetensors import SafetensorError  # `import dualattn_mm` does without it
    from safetensors.torch import load_file

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


def read_state(file: str, name: str, purpose: str) -> dict[str, Tensor]:
    """Read the state dict of a network from a file.

    Args:
        file: its path.
        name: of the network, for errors.
        purpose: what needs it, for errors.

    Raises:
        FileNotFoundError: if there is no such file.
        UserError: if torch reads no state dict in it.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'no file {path}: {purpose} needs the weights of {name}')
    try:
        state = torch.load(path, map_location='cpu', weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError):
        state = None
    if not isinstance(state, dict):
        raise UserError(
            f'{file} does not hold the weights of {name}: torch.load reads no state dict'
        )
    return state


def load_frozen(network: nn.Module, state: Mapping[str, Tensor], file: str, name: str) -> None:
    """Give a network on the meta device its weights, in float32, and freeze it.

    Raises:
        UserError: if they do not fit, exactly.
    """
    try:
        network.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        reason = ' '.join(str(error).split())[:200]
        raise UserError(f'{file} does not hold the weights of {name}: {reason}') from None
    network.float().eval().requires_grad_(False)


def weights_file(given: str | None, url: str, digest: str, what: str, argument: str) -> Path:
    """Where a network's weights lie on this machine; downloaded once unless there.

    Args:
        given: a local file; None takes the one in torch's cache, or downloads it.
        url: where the file is published; its name is kept.
        digest: the first letters of its SHA-256.
        what: what the weights are, for messages.
        argument: how the user passes a local file, for messages: "weights=FILE of ...".

    Raises:
        UserError: if the file is not there or cannot be downloaded, in one line.
    """
    if given is not None:
        path = Path(given).expanduser()
        if not path.is_file():
            raise UserError(f'no file {path}, which should hold the weights of {what}')
        return path
    path = Path(torch.hub.get_dir(), 'checkpoints', url.rpartition('/')[2])
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(
            url, os.fspath(path), hash_prefix=digest, progress=sys.stderr.isatty()
        )
    except (OSError, RuntimeError) as error:  # no network, no such page; another file than expected
        raise UserError(
            f'the weights of {what} could not be downloaded ({first_line(error)}): '
            f'fetch {url} elsewhere and pass it as {argument}'
        ) from None
    return path


def read_weights(path: Path, what: str) -> dict[str, Tensor]:
    """The state dict in a file; nothing in the file is executed.

    Raises:
        UserError: if it is something else.
    """
    try:
        state = torch.load(path, map_location='cpu', weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError, ValueError):
        state = None
    if not isinstance(state, dict):
        raise UserError(f'{path} does not hold the weights of {what}: no state dict')
    return state


def misfit(path: Path, what: str, error: RuntimeError) -> UserError:
    """The error for weights that `load_state_dict` refused."""
    reason = ' '.join(str(error).split())[:200]
    return UserError(f'{path} does not hold the weights of {what}: {reason}')
