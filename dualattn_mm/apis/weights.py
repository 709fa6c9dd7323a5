"""Read and write weights of the generator: a self-describing safetensors file or a checkpoint.

A safetensors file holds the state dict of the generator under its own keys, and the config to build
it from as metadata. An mmengine checkpoint (.pth) holds the whole `Colorizer`. Only its
`generator.*` part is used, and a config file describes the network.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS
from safetensors.torch import save
from torch import Tensor, nn

from ..models.hub import GENERATOR_FORMAT as FORMAT
from ..models.network_schema import check_generator_cfg
from ..utils.atomic import atomic_write_bytes
from ..utils.checkpoint_file import (
    is_safetensors,
    read_checkpoint,
    read_safetensors,
    state_differences,
)
from ..utils.errors import ColorizeError, UserError, first_line, shortened, summarize

_LONGEST = 100_000  # characters in a description; those of our networks have a few hundred
# The mini preset, trained on photos. docs/model_card.md describes the training and the quality.
DEFAULT_WEIGHTS = Path(__file__).resolve().parents[1] / 'assets' / 'mpt_mini.safetensors'


def save_generator(
    path: str | os.PathLike,
    generator: nn.Module | Mapping[str, Tensor],
    generator_cfg: Mapping[str, Any],
    dtype: torch.dtype | None = None,
) -> None:
    """Write a generator as a safetensors file that describes its own network.

    The file is written under a temporary name and then renamed, so it is never incomplete. Missing
    folders are created.

    Args:
        path: the file to write.
        generator: the module, or its state dict.
        generator_cfg: the config that MODELS builds it from, with JSON values only:
            dict(type='MultiscalePyramidTransformer', ...).
        dtype: type in which floating-point tensors are stored; torch.float16 halves the file, and
            loading casts back to float32. None keeps their types.

    Raises:
        ColorizeError: if `generator_cfg` has no `type`, or holds a value that JSON cannot store; or
            if `dtype` has no room for a weight.
        OSError: if the file cannot be written.
    """
    state = generator.state_dict() if isinstance(generator, nn.Module) else generator
    try:
        description = json.dumps(generator_cfg)
    except TypeError as error:
        raise ColorizeError(f'generator_cfg cannot be stored as JSON: {error}') from None
    if 'type' not in generator_cfg:
        raise ColorizeError('generator_cfg has no `type`')
    stored = {key: _plain_copy(value, dtype) for key, value in state.items()}
    lost = [key for key, value in stored.items() if _overflows(state[key], value)]
    if lost:
        raise ColorizeError(
            f'{dtype} cannot hold the values of {shortened(lost)}: store them in float32 '
            '(without --half)'
        )
    # Not save_file, because only the owner can read the files that it writes.
    atomic_write_bytes(Path(path), save(stored, {'format': FORMAT, 'generator': description}))


def _plain_copy(value: Tensor, dtype: torch.dtype | None) -> Tensor:
    """Copy to the CPU as a dense NCHW tensor with its own memory, which safetensors requires."""
    value = value.detach().to('cpu', dtype if value.is_floating_point() else None)
    return value.clone(memory_format=torch.contiguous_format)


def _overflows(value: Tensor, stored: Tensor) -> bool:
    """Tell whether a number that was finite no longer is in another type."""
    if stored.dtype == value.dtype:
        return False
    return bool((value.isfinite().cpu() & ~stored.isfinite()).any())


def load_generator(
    weights: str | os.PathLike | None = None,
    config: str | os.PathLike | None = None,
    device: str | torch.device = 'cpu',
) -> nn.Module:
    """Build the generator that a weights file describes, and load the weights strictly.

    Args:
        weights: a file of `save_generator`, or an mmengine checkpoint of a `Colorizer`. Checkpoints
            are read with weights_only, so nothing in them is executed. None uses
            `DEFAULT_WEIGHTS`, the bundled weights.
        config: an mmengine config file whose `model.generator` describes the network. It is Python
            code that is executed, so use only files that you trust. A checkpoint needs it; for a
            safetensors file it replaces the stored description.
        device: the device of the module.

    Returns:
        The module in eval mode and float32. It maps lightness (B, 1, H, W), L in [0, 100], to
        ab (B, 2, H, W) in CIELAB units.

    Raises:
        ColorizeError: if a file is missing or cannot be read, or the weights do not match the
            network; the message names the first keys that differ.
    """
    path = Path(DEFAULT_WEIGHTS if weights is None else weights)
    _require_file(path, 'weights file')
    state, description = _read(path)
    if config is not None:
        generator_cfg = read_generator_cfg(config)
    elif description is not None:
        generator_cfg = _parse_description(description, path)
        # Built without memory, to check that the tensors fit the description.
        with torch.device('meta'):
            require_fit(build_network(generator_cfg, path), state, path)
    else:
        raise ColorizeError(
            f'{path} does not describe its network: pass the config of its training (--config)'
        )
    generator = build_network(generator_cfg, config or path)
    load_strictly(generator, state, path)
    generator = generator.float().eval()
    _require_colors(generator, config or path)
    return generator.to(device)


def _require_file(path: Path, what: str) -> None:
    try:
        if path.is_file():
            return
    except OSError as error:  # a parent folder is not readable, or links form a loop
        raise ColorizeError(f'cannot read {path}: {error.strerror}') from None
    raise ColorizeError(f'{what} {path} does not exist')


@torch.no_grad()
def _require_colors(generator: nn.Module, source: str | os.PathLike) -> None:
    """Run the network on a small image, because its parts may not fit together."""
    try:
        ab = generator(torch.zeros(1, 1, 32, 32))
        problem = '' if ab.shape == (1, 2, 32, 32) else f'it returns the shape {tuple(ab.shape)}'
    except Exception as error:  # any network can be described, so any error is possible
        problem = f'{type(error).__name__}: {first_line(error)}'
    if problem:
        raise ColorizeError(f'the network that {source} describes cannot colorize: {problem}')


def read_generator_cfg(config: str | os.PathLike) -> dict[str, Any]:
    """Return the `model.generator` of a config file, which is Python code that is executed.

    Raises:
        ColorizeError: if the file does not exist, cannot be read or has no `model.generator`.
    """
    path = Path(config)
    _require_file(path, 'config file')
    try:
        cfg = Config.fromfile(path, format_python_code=False)
    except Exception as error:  # a config is a program, so any error is possible
        reason = f'{type(error).__name__}: {first_line(error)}'
        raise ColorizeError(f'cannot read the config {path}: {reason}') from error
    generator_cfg = (cfg.get('model') or {}).get('generator')
    if not isinstance(generator_cfg, ConfigDict):
        raise ColorizeError(f'the config {path} has no model.generator')
    return generator_cfg.to_dict()


def _read(path: Path) -> tuple[dict[str, Tensor], str | None]:
    """Return the state dict of the generator and the description of its network, if stored."""
    try:
        if not is_safetensors(path):
            return _generator_of(read_checkpoint(path), path), None
        state, metadata = read_safetensors(path)
    except UserError as error:
        raise ColorizeError(str(error)) from None
    return state, metadata.get('generator', '') if metadata.get('format') == FORMAT else None


def _parse_description(text: str, path: Path) -> dict[str, Any]:
    """Parse the stored config and check that this package can build the network."""
    try:
        if len(text) > _LONGEST:
            raise UserError(f'it has {len(text):,} characters, more than {_LONGEST:,}')
        cfg = json.loads(text)
        check_generator_cfg(cfg)
    except (ValueError, RecursionError) as error:
        raise ColorizeError(
            f'the description of the network in {path} cannot be used: {first_line(error)}; pass '
            'the config of its training (--config)'
        ) from None
    return cfg


def _generator_of(checkpoint: Any, path: Path) -> dict[str, Tensor]:
    """Return the `generator.*` part of an mmengine checkpoint, without that prefix.

    With an EMAHook, `state_dict` already holds the averaged weights.
    """
    model = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else None
    if not isinstance(model, dict):
        model = {}
    pattern = re.compile(r'(?:module\.)?generator\.(?:module\.)?(.+)')
    state = {
        match[1]: value
        for key, value in model.items()
        if isinstance(value, Tensor) and isinstance(key, str) and (match := pattern.fullmatch(key))
    }
    if not state:
        raise ColorizeError(
            f'{path} has no generator.* weights, so it is not a checkpoint of a Colorizer'
        )
    return state


def build_network(network_cfg: Mapping[str, Any], source: str | os.PathLike) -> nn.Module:
    """Build a network for loading weights into it; the random state is left as it was.

    Args:
        network_cfg: the config of the network.
        source: the file that describes it, for error messages.

    Raises:
        ColorizeError: if the network cannot be built.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            return MODELS.build(dict(network_cfg))
    except (TypeError, ValueError, KeyError, AssertionError, RuntimeError, ImportError) as error:
        raise ColorizeError(
            f'cannot build the network that {source} describes: {first_line(error)}'
        ) from error


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], path: str | os.PathLike) -> None:
    """Load a state dict whose names and shapes match those of the network exactly.

    Raises:
        ColorizeError: if they do not match; the message names the file and the first names.
    """
    require_fit(network, state, path)
    network.load_state_dict(state, strict=True)


def require_fit(network: nn.Module, state: Mapping[str, Tensor], path: str | os.PathLike) -> None:
    """Check that `load_strictly` can load a state dict.

    Raises:
        ColorizeError: if it cannot; the message names the file and the first names that differ.
    """
    if differences := summarize(state_differences(network.state_dict(), state)):
        raise ColorizeError(f'{path} does not fit the network: {differences}')


def publish(
    config: str | os.PathLike,
    checkpoint: str | os.PathLike,
    output: str | os.PathLike,
    saturation: float | None = None,
    half: bool = False,
) -> None:
    """Write the generator of an mmengine checkpoint as a self-describing safetensors file.

    Args:
        config: the config file of the training, which is Python code that is executed.
        checkpoint: the checkpoint, or a file of `save_generator` whose settings should change.
        output: the safetensors file to write.
        saturation: the default factor on the colors for front ends. None keeps the factor that a
            file of `save_generator` stores; without one, the factor is that of the config, or 1.
        half: store float16, which halves the file size.

    Raises:
        ColorizeError: if a file is missing or cannot be read, the weights do not fit the config, or
            float16 has no room for a weight.
        OSError: if `output` cannot be written.
    """
    generator_cfg = read_generator_cfg(config)
    generator = load_generator(checkpoint, config)
    if saturation is None:
        saturation = _stored_saturation(Path(checkpoint))
    if saturation is not None:
        generator_cfg['saturation'] = saturation
    check_generator_cfg(generator_cfg)  # what `load_generator` accepts
    save_generator(output, generator, generator_cfg, torch.float16 if half else None)


def _stored_saturation(path: Path) -> float | None:
    """Return the factor on the colors that a weights file stores; None if it stores none."""
    _, description = _read(path)
    if description is None:
        return None
    try:
        return _parse_description(description, path).get('saturation')
    except ColorizeError:  # the config describes the network instead
        return None
