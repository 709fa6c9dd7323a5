"""How mmengine loads checkpoints once this package is there: by `read_checkpoint`."""

import os
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import barrier, get_dist_info
from mmengine.runner.checkpoint import CheckpointLoader

from .checkpoint_file import read_checkpoint
from .errors import UserError, first_line


# mmengine logs the functions' names from their eleventh letter on.
def load_from_local(filename: str, map_location: Any = None) -> Any:
    """A checkpoint of this machine.

    Raises:
        FileNotFoundError: if there is no such file.
        UserError: if it is damaged, or holds objects that could run code.
    """
    path = Path(filename).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'no file {path}')
    # mmengine's CheckpointHook overwrites files in place, and so perhaps this one.
    return read_checkpoint(path, map_location=map_location, mmap=False)


def load_from_http(filename: str, map_location: Any = None) -> Any:
    """A checkpoint of the network; the first process downloads it, unless torch's cache has it.

    Raises:
        UserError: if it cannot be downloaded, is damaged, or holds objects that could run code.
    """
    path = Path(torch.hub.get_dir(), 'checkpoints', filename.rpartition('/')[2].partition('?')[0])
    rank, _ = get_dist_info()
    if rank == 0:
        _download(filename, path)
    barrier()
    _download(filename, path)  # on other machines
    return load_from_local(os.fspath(path), map_location)


def _download(url: str, path: Path) -> None:
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, os.fspath(path))
    except OSError as error:
        raise UserError(f'{url} could not be downloaded: {first_line(error)}') from None


def register() -> None:
    """Let mmengine, and so every library's tools, load checkpoints with these functions."""
    CheckpointLoader.register_scheme('', load_from_local, force=True)
    CheckpointLoader.register_scheme(('http://', 'https://'), load_from_http, force=True)
