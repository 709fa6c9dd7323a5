"""Trained networks that are measuring instruments: read from a file, and never trained."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import UserError


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


def fill(network: nn.Module, state: Mapping[str, Tensor], file: str, name: str) -> None:
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
