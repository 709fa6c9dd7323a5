"""What metrics borrow: libraries that may be missing, and weights that may not be at hand."""

import importlib
import os
import pickle
import sys
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from ..apis.errors import first_line
from ..errors import UserError


def library(
    name: str, user: str = 'the metrics', requirements: str = 'requirements/evaluation.txt'
) -> ModuleType:
    """Import a module of a library that may be missing.

    Args:
        name: the module's.
        user: what needs it, for the message.
        requirements: the file that it stands in.

    Raises:
        UserError: if it is not installed, in one line that says how to get it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f'{name.split(".")[0]} is needed for {user} ({first_line(error)}): '
            f'pip install -r {requirements}'
        ) from None


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
