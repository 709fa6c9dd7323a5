"""Describe the content of a weights file."""

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..utils.checkpoint_file import is_safetensors, read_checkpoint, read_safetensors
from ..utils.errors import ColorizeError

# The part of mmengine's metadata that describes the training.
_META = ('experiment_name', 'epoch', 'iter', 'time', 'mmengine_version')


def weights_info(path: str | os.PathLike) -> dict[str, str]:
    """Describe the content of a safetensors file or an mmengine checkpoint.

    Args:
        path: the file.

    Returns:
        A dict with the keys 'file', 'file size', 'tensors', 'values' (how many numbers the tensors
        hold) and 'stored as' (their types); then 'network', 'image size' and 'saturation' if the
        file stores them; then the metadata.

    Raises:
        UserError: if the file is missing or cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise ColorizeError(f'weights file {path} does not exist')
    size = f'{path.stat().st_size / 1e6:.1f} MB'
    if is_safetensors(path):
        tensors, metadata = read_safetensors(path)
    else:
        checkpoint = read_checkpoint(path)
        tensors = _dict_in(checkpoint, 'state_dict') or checkpoint
        meta = _dict_in(checkpoint, 'meta')
        metadata = {name: str(meta[name]) for name in _META if name in meta}
    return {
        'file': str(path),
        'file size': size,
        **_of_tensors(tensors if isinstance(tensors, dict) else {}),
        **_of_generator(metadata),
        **{f'metadata {name}': value for name, value in sorted(metadata.items())},
    }


def _dict_in(checkpoint: Any, name: str) -> dict:
    inner = checkpoint.get(name) if isinstance(checkpoint, dict) else None
    return inner if isinstance(inner, dict) else {}


def _of_tensors(tensors: Mapping[str, Any]) -> dict[str, str]:
    found = [value for value in tensors.values() if isinstance(value, Tensor)]
    by_type: Counter[str] = Counter()
    for tensor in found:
        by_type[str(tensor.dtype).removeprefix('torch.')] += tensor.numel()
    return {
        'tensors': str(len(found)),
        'values': f'{sum(by_type.values()):,}',
        'stored as': ', '.join(by_type),
    }


def _of_generator(metadata: Mapping[str, str]) -> dict[str, str]:
    try:
        generator = json.loads(metadata.get('generator', '{}'))
    except (ValueError, RecursionError):
        return {}
    names = ('network', 'type'), ('image size', 'image_size'), ('saturation', 'saturation')
    stored = generator if isinstance(generator, dict) else {}
    return {name: str(stored[key]) for name, key in names if key in stored}
