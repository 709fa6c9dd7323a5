"""Let mmengine load checkpoints with `read_checkpoint` once this package is imported."""

import os
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, get_dist_info
from mmengine.runner.checkpoint import CheckpointLoader

from .checkpoint_file import cached_download, is_safetensors, read_checkpoint, read_safetensors
from .errors import UserError, first_line


# mmengine logs the names of the functions from the eleventh letter on.
def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Load a checkpoint from the local disk; the metadata of a safetensors file is its `meta`.

    Raises:
        FileNotFoundError: if the file does not exist.
        UserError: if it is damaged, or holds objects that could run code.
    """
    path = Path(filename).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist')
    if is_safetensors(path):
        state, meta = read_safetensors(path)
        return dict(state_dict=state, meta=meta)
    # Without mmap, because mmengine's CheckpointHook may overwrite this file in place.
    return read_checkpoint(path, map_location=map_location, mmap=False)


def load_from_http(filename: str, map_location: Any = None) -> Any:
    """Load a checkpoint from a URL; the first process downloads it to torch's cache if needed.

    Raises:
        UserError: if it cannot be downloaded, is damaged, or holds objects that could run code.
    """
    rank, _ = get_dist_info()
    try:
        if rank == 0:
            cached_download(filename)
        barrier()
        path = cached_download(filename)  # on other machines
    except OSError as error:
        raise UserError(f'cannot download {filename}: {first_line(error)}') from None
    return load_from_local(os.fspath(path), map_location)


def register() -> None:
    """Let mmengine, and therefore the tools of all libraries, use these functions."""
    CheckpointLoader.register_scheme('', load_from_local, force=True)
    CheckpointLoader.register_scheme(('http://', 'https://'), load_from_http, force=True)
