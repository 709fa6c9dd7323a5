"""Read weights files from untrusted sources without executing anything in them."""

import contextlib
import hashlib
import os
import pickle
import re
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from .errors import UserError, first_line

# It needs `safe_globals` of torch 2.5.
READS_TRAINING_LOGS = hasattr(torch.serialization, 'safe_globals')
# As torchvision and OpenMMLab name the files that they publish. Eight digits can be a date.
_NAME_WITH_DIGEST = re.compile(r'-(?=\d*[a-f])[0-9a-f]{8,}\.')
_REMEDY = (
    '; if you trust it, store its weights alone: '
    "torch.save(torch.load(FILE, weights_only=False)['state_dict'], NEW)"
)


def read_checkpoint(
    path: str | os.PathLike,
    training_log: bool = True,
    map_location: Any = 'cpu',
    mmap: bool = True,
) -> Any:
    """Read a file of `torch.save` with weights_only, so nothing in it is executed.

    Args:
        path: the file.
        training_log: whether the file may contain the log of mmengine's hooks (torch >= 2.5).
        map_location: as in torch.load.
        mmap: leave parts that are not used, such as the optimizer state, on the disk. The file must
            not be overwritten while its tensors are in use.

    Raises:
        UserError: if the file is damaged, not a checkpoint, or holds objects that could run code.
    """
    log: ModuleType | None = None
    if training_log and READS_TRAINING_LOGS:
        from . import training_log as log  # `import dualattn_mm` does not need it
    try:
        mapped = zipfile.is_zipfile(path)
        if mapped:
            _require_stored(path)
        with torch.serialization.safe_globals(log.STAND_INS) if log else contextlib.nullcontext():
            content = torch.load(
                str(path), map_location=map_location, weights_only=True, mmap=mmap and mapped
            )
        return log.rebuild(content) if log else content
    except pickle.UnpicklingError as error:
        found = re.search(r'(?:GLOBAL|class) ([\w.]+)', str(error))
        reason, remedy = f' ({found[1]})' if found else '', _REMEDY if found else ''
        raise UserError(
            f'cannot load {path}: it is damaged, or holds objects other than weights{reason}, '
            f'which could run code{remedy}'
        ) from None
    except UserError:
        raise
    except Exception as error:  # anyone may have made the pickle, so any error is possible
        raise UserError(
            f'cannot load {path}: it is damaged or not a checkpoint ({first_line(error)})'
        ) from None


def _require_stored(path: str | os.PathLike) -> None:
    """Reject compressed entries, which torch.save never writes.

    A compressed file of 4 MB can expand to 8 GB.
    """
    size = os.path.getsize(path)
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or (
        sum(entry.file_size for entry in entries) > size
    ):
        raise UserError(f'cannot load {path}: it is compressed, so torch.save did not write it')


def require_checkpoint(checkpoint: Any, path: str | os.PathLike, resume: bool = False) -> None:
    """Check that mmengine can load a checkpoint or resume from it.

    Args:
        checkpoint: the result of `read_checkpoint`.
        path: its file, for error messages.
        resume: whether the checkpoint must have the state of a training.

    Raises:
        UserError: if a part has a wrong type; the message names it.
    """
    parts: list[tuple[str, Any, type]] = [('', checkpoint, dict)]
    if isinstance(checkpoint, dict):
        parts += [(name, checkpoint.get(name, {}), dict) for name in ('state_dict', 'meta')]
        meta, hub = checkpoint.get('meta'), checkpoint.get('message_hub')
        if resume and isinstance(meta, dict) and hub is not None:
            parts += [(f'meta.{name}', meta.get(name), int) for name in ('epoch', 'iter')]
            parts.append(('message_hub', hub, dict))
    for name, value, kind in parts:
        if not isinstance(value, kind):
            raise UserError(
                f'{path} is not a checkpoint: {name or "its content"} is a '
                f'{type(value).__name__}, expected a {kind.__name__}'
            )


def is_safetensors(path: str | os.PathLike) -> bool:
    """Return whether a file has the safetensors format: a length of 8 bytes, then JSON.

    Raises:
        UserError: if the file does not exist or cannot be opened.
    """
    try:
        with Path(path).open('rb') as file:
            return file.read(9)[8:] == b'{'
    except OSError as error:
        raise UserError(f'cannot read {path}: {error.strerror}') from None


def read_safetensors(path: str | os.PathLike) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors by name and the metadata of a safetensors file.

    Raises:
        UserError: if the file is damaged.
    """
    from safetensors import SafetensorError, safe_open  # `import dualattn_mm` does not need it

    try:
        with safe_open(path, 'pt') as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return state, file.metadata() or {}
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError) as error:
        raise UserError(f'{path} is damaged: {first_line(error)}') from None


def read_state_dict(path: str | os.PathLike, training_log: bool = True) -> dict[str, Tensor]:
    """Read the tensors of a weights file by name.

    Args:
        path: a safetensors file, an mmengine or timm checkpoint, or a stored state dict.
        training_log: whether the file may contain mmengine's training log.

    Raises:
        UserError: if the file does not exist or cannot be read.
    """
    if is_safetensors(path):
        return read_safetensors(path)[0]
    checkpoint = read_checkpoint(path, training_log)
    for name in ('state_dict', 'model'):
        if isinstance(checkpoint, dict) and isinstance(checkpoint.get(name), dict):
            checkpoint = checkpoint[name]
    if not isinstance(checkpoint, dict):
        raise UserError(f'{path} does not contain a state dict')
    return {str(key): value for key, value in checkpoint.items() if isinstance(value, Tensor)}


def read_weights(file: str | os.PathLike, network: str, user: str) -> dict[str, Tensor]:
    """Read the state dict of a third-party network.

    Args:
        file: path of the weights file.
        network: name of the network, for error messages.
        user: the component that needs the network, for error messages.

    Raises:
        FileNotFoundError: if the file does not exist.
        UserError: if it cannot be read, or holds anything except tensors and plain values.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist: {user} needs the weights of {network}')
    try:
        return read_state_dict(path, training_log=False)
    except UserError as error:
        raise UserError(f'the weights of {network} cannot be used: {error}') from None


def part_of(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the values whose names start with a prefix, under the rest of their names."""
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }


def load_frozen(
    network: nn.Module, state: Mapping[str, Tensor], file: str | os.PathLike, name: str
) -> None:
    """Load the weights of a network whose own values are not needed, and freeze it in float32.

    It can be on the meta device: the tensors of `state` take the place of its own.

    Raises:
        UserError: if the names or shapes do not match exactly.
    """
    try:
        network.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise misfit(file, name, error) from None
    network.float().eval().requires_grad_(False)


def misfit(file: str | os.PathLike, network: str, error: RuntimeError) -> UserError:
    """Return the UserError for weights that `load_state_dict` rejected."""
    reason = ' '.join(str(error).split())[:200]
    return UserError(f'{file} does not contain the weights of {network}: {reason}')


def state_differences(
    own: Mapping[str, Tensor], given: Mapping[str, Tensor]
) -> dict[str, list[str]]:
    """Compare a network's weights with the given ones; return the names by kind of difference."""
    return {
        'missing': [name for name in own if name not in given],
        'unexpected': [name for name in given if name not in own],
        'of another shape': [
            f'{name} {tuple(given[name].shape)} for {tuple(own[name].shape)}'
            for name in own
            if name in given and own[name].shape != given[name].shape
        ],
        'of another kind': [
            f'{name} {_kind(given[name])}'
            for name in own
            if isinstance(given.get(name), Tensor) and not _can_replace(own[name], given[name])
        ],
    }


def _can_replace(own: Tensor, given: Tensor) -> bool:
    """Return whether a tensor is dense, has data and is of the same kind of number as `own`."""
    return (
        given.layout == torch.strided
        and not (given.is_quantized or given.is_meta or given.is_nested)
        and given.is_floating_point() == own.is_floating_point()
        and given.is_complex() == own.is_complex()
        and (given.dtype == torch.bool) == (own.dtype == torch.bool)
    )


def _kind(tensor: Tensor) -> str:
    layout = '' if tensor.layout == torch.strided else f', {tensor.layout}'
    return f'{tensor.dtype}{layout}'.replace('torch.', '')


def weights_file(given: str | None, url: str, digest: str, network: str, argument: str) -> Path:
    """Return the local path of a network's weights, and download them on first use.

    Args:
        given: a local file; None uses the file in torch's cache, or downloads it.
        url: the URL of the published file; its name is kept.
        digest: the first letters of its SHA-256.
        network: name of the network, for error messages.
        argument: how the user passes a local file, for error messages: "weights=FILE of ...".

    Raises:
        UserError: if the file cannot be downloaded.
    """
    if given is not None:
        return Path(given).expanduser()
    try:
        return cached_download(url, digest)
    except (OSError, RuntimeError) as error:  # no network, no such page, or a wrong digest
        raise UserError(
            f'cannot download the weights of {network} ({first_line(error)}): '
            f'download {url} elsewhere and pass it as {argument}'
        ) from None


def cached_download(url: str, digest: str | None = None) -> Path:
    """Return the path of a published file in torch's cache, and download it on first use.

    Args:
        url: the URL of the file; its name is kept.
        digest: the first letters of its SHA-256; None does not check it.

    Raises:
        OSError: if it cannot be downloaded.
        RuntimeError: if it has another digest.
    """
    name = url.rpartition('/')[2].partition('?')[0]
    folder = Path(torch.hub.get_dir(), 'checkpoints')
    if digest is None and not _NAME_WITH_DIGEST.search(name):
        folder /= hashlib.sha256(url.encode()).hexdigest()[:16]  # many are called epoch_12.pth
    path = folder / name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, os.fspath(path), digest, sys.stderr.isatty())
    return path
