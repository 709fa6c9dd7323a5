"""Weights of the generator: a safetensors file that describes its own network, or a checkpoint.

A safetensors file holds the generator's state dict under its own keys and, as metadata, the
configuration to build it from. An mmengine checkpoint (.pth) holds the whole `Colorizer`; its
`generator.*` is taken, and a config file says what network that is.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS
from safetensors.torch import save
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..utils.atomic import atomic_write_bytes
from ..utils.checkpoint_file import (
    is_safetensors,
    read_checkpoint,
    read_safetensors,
    state_differences,
)
from ..utils.errors import ColorizeError, UserError, first_line, summarize
from .generator_schema import check_generator_cfg

FORMAT = 'dualattn_mm.generator.v1'
_LONGEST = 100_000  # characters of a description; those of our networks have some hundred
# The mini preset, trained on photos; docs/model_card.md says how and what it can do.
DEFAULT_WEIGHTS = Path(__file__).resolve().parents[1] / 'assets' / 'mpt_mini.safetensors'


def save_generator(
    path: str | os.PathLike,
    generator: nn.Module | Mapping[str, Tensor],
    generator_cfg: Mapping[str, Any],
    dtype: torch.dtype | None = None,
) -> None:
    """Write a generator as a safetensors file that describes its own network.

    The file appears whole or not at all (temporary name, then rename); missing folders are made.

    Args:
        path: the file to write.
        generator: the module, or its state dict.
        generator_cfg: what MODELS builds it from: dict(type='MultiscalePyramidTransformer', ...),
            of JSON values.
        dtype: stored type of the floating tensors (torch.float16 halves the file; loading casts
            up); None keeps theirs.

    Raises:
        ColorizeError: if `generator_cfg` has no `type` or holds what JSON cannot.
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
    # not save_file: its files can be read by their owner alone
    atomic_write_bytes(Path(path), save(stored, {'format': FORMAT, 'generator': description}))


def _plain_copy(value: Tensor, dtype: torch.dtype | None) -> Tensor:
    """On the CPU, dense in NCHW order, of its own memory: all that safetensors accepts."""
    value = value.detach().to('cpu', dtype if value.is_floating_point() else None)
    return value.clone(memory_format=torch.contiguous_format)


def load_generator(
    weights: str | os.PathLike | None = None,
    config: str | os.PathLike | None = None,
    device: str | torch.device = 'cpu',
) -> nn.Module:
    """Build the generator that a weights file belongs to and load it, strictly.

    Args:
        weights: a file of `save_generator`, or an mmengine checkpoint of a `Colorizer` (read with
            weights_only: nothing in it is executed). None: `DEFAULT_WEIGHTS`, which come with the
            package.
        config: an mmengine config file whose `model.generator` describes the network. It is
            Python code that runs: use files you trust. Needed for a checkpoint; goes before the
            description inside a safetensors file.
        device: where the module is put.

    Returns:
        The module in eval mode, float32: lightness (B, 1, H, W), L in [0, 100], to
        ab (B, 2, H, W), CIELAB units.

    Raises:
        ColorizeError: if a file is missing, cannot be read, or weights and network do not match
            (naming the first keys).
    """
    path = Path(DEFAULT_WEIGHTS if weights is None else weights)
    _require_file(path, 'weights file')
    state, description = _read(path)
    if config is not None:
        generator_cfg = read_generator_cfg(config)
    elif description is not None:
        generator_cfg = _parse_description(description, path)
        # A sketch without memory: what the file describes must be as large as what it holds.
        with torch.device('meta'):
            require_fit(build_network(generator_cfg, path), state, path)
    else:
        raise ColorizeError(
            f'{path} does not describe its network: pass the config file it was trained with '
            '(--config)'
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
    except OSError as error:  # a folder on the way that is closed, or a loop of links
        raise ColorizeError(f'cannot read {path}: {error.strerror}') from None
    raise ColorizeError(f'no {what} {path}')


@torch.no_grad()
def _require_colors(generator: nn.Module, source: str | os.PathLike) -> None:
    """Try a network on a small image: parts that exist need not fit each other."""
    try:
        ab = generator(torch.zeros(1, 1, 32, 32))
        problem = '' if ab.shape == (1, 2, 32, 32) else f'it returns the shape {tuple(ab.shape)}'
    except Exception as error:  # a network is a program: it can fail in any way
        problem = f'{type(error).__name__}: {first_line(error)}'
    if problem:
        raise ColorizeError(f'the network that {source} describes cannot colorize: {problem}')


def read_generator_cfg(config: str | os.PathLike) -> dict[str, Any]:
    """The `model.generator` of a config file, which is Python code that runs.

    Raises:
        ColorizeError: if there is none.
    """
    path = Path(config)
    _require_file(path, 'config file')
    try:
        cfg = Config.fromfile(path, format_python_code=False)
    except Exception as error:  # a config is a program: it can fail in any way
        reason = f'{type(error).__name__}: {first_line(error)}'
        raise ColorizeError(f'cannot read the config {path}: {reason}') from error
    generator_cfg = (cfg.get('model') or {}).get('generator')
    if not isinstance(generator_cfg, ConfigDict):
        raise ColorizeError(f'the config {path} has no model.generator')
    return generator_cfg.to_dict()


def _read(path: Path) -> tuple[dict[str, Tensor], str | None]:
    """The generator's state dict and, where the file has one, the description of its network."""
    try:
        if not is_safetensors(path):
            return _generator_of(read_checkpoint(path), path), None
        state, metadata = read_safetensors(path)
    except UserError as error:
        raise ColorizeError(str(error)) from None
    return state, metadata.get('generator', '') if metadata.get('format') == FORMAT else None


def _parse_description(text: str, path: Path) -> dict[str, Any]:
    """The config of a network that this package can build, and nothing else."""
    try:
        if len(text) > _LONGEST:
            raise UserError(f'it has {len(text):,} characters, more than {_LONGEST:,}')
        cfg = json.loads(text)
        check_generator_cfg(cfg)
    except (ValueError, RecursionError) as error:
        raise ColorizeError(
            f'the description of the network in {path} cannot be used: {first_line(error)}; pass '
            'the config file it was trained with (--config)'
        ) from None
    return cfg


def _generator_of(checkpoint: Any, path: Path) -> dict[str, Tensor]:
    """The `generator.*` part of an mmengine checkpoint, without that prefix.

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
        raise ColorizeError(f'{path} holds no generator.* weights: not a checkpoint of a Colorizer')
    return state


class _NoDraws(TorchFunctionMode):
    """Leaves out the initial values of a network, which loading replaces: most of building it."""

    _DRAWS = (
        Tensor.uniform_,
        Tensor.normal_,
        nn.init.uniform_,
        nn.init.normal_,
        nn.init.kaiming_uniform_,
        nn.init.kaiming_normal_,
    )

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in self._DRAWS:
            return args[0] if args else kwargs['tensor']
        return func(*args, **kwargs)


def build_network(network_cfg: Mapping[str, Any], source: str | os.PathLike) -> nn.Module:
    """Build a network that weights are loaded into next: it has no initial values.

    Args:
        network_cfg: its config.
        source: the file that describes it, for messages.

    Raises:
        ColorizeError: if it cannot be built.
    """
    try:
        with _NoDraws():
            return MODELS.build(dict(network_cfg))
    except (TypeError, ValueError, KeyError, AssertionError, RuntimeError, ImportError) as error:
        raise ColorizeError(
            f'cannot build the network that {source} describes: {first_line(error)}'
        ) from error


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], path: str | os.PathLike) -> None:
    """Load a state dict that has all of the network's names and shapes, and no others.

    Raises:
        ColorizeError: if it does not, with the first names and the path it is from.
    """
    require_fit(network, state, path)
    network.load_state_dict(state, strict=True)


def require_fit(network: nn.Module, state: Mapping[str, Tensor], path: str | os.PathLike) -> None:
    """Refuse a state dict that `load_strictly` would not load.

    Raises:
        ColorizeError: with the first names and the path it is from.
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
    """Write the generator of an mmengine checkpoint as a file that describes itself.

    Args:
        config: the config file of the training; Python code that runs.
        checkpoint: the checkpoint, or a file of `save_generator` to change.
        output: the safetensors file to write.
        saturation: the factor on the colors that front ends use by default; None keeps the
            config's.
        half: store float16, half the size.

    Raises:
        ColorizeError: if a file is missing, cannot be read, or the weights do not fit the config.
        OSError: if `output` cannot be written.
    """
    generator_cfg = read_generator_cfg(config)
    generator = load_generator(checkpoint, config)
    if saturation is not None:
        generator_cfg['saturation'] = saturation
    save_generator(output, generator, generator_cfg, torch.float16 if half else None)
