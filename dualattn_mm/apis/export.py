"""Write a network as ONNX or as a program of torch.export, for use without this package.

A file is checked before it gets its name: it must compute what the network computes, for one image
and for five.
"""

import contextlib
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch.fx.experimental import _config as fx_config

from ..models import DualAttention
from ..utils.atomic import atomic_file
from ..utils.checkpoint_file import part_of, read_state_dict
from ..utils.errors import UserError, first_line
from ..utils.libraries import library
from ..version import __version__
from .pipeline import DEFAULT_SIZE, MIN_SIZE
from .weights import DEFAULT_WEIGHTS, build_network, load_generator, load_strictly

SUFFIXES = ('.onnx', '.pt2')
# The largest accepted deviation, as a share of the largest value. Rounding stays below 1e-5.
TOLERANCE = 1e-3
_SMALLEST = 1e-9  # in place of the largest value of an output of zeros
_BATCHES = (1, 5)
_OPSET = 18  # of 2023, which has every operator that the networks need
_LIBRARIES = ('onnx', 'onnxscript', 'onnxruntime')
Run = Callable[[Tensor], Sequence[Tensor]]


@dataclass
class Exportable:
    """A network and what a file says about it.

    Attributes:
        network: maps (B, C, H, W) to a map, or to several.
        shape: (C, H, W) of the input.
        limits: the range of input values with which the file is checked.
        names: the name of the input, and then those of the outputs.
        metadata: what a consumer needs to know, by name.
        dynamic: whether the file has to accept other heights and widths than those of `shape`.
    """

    network: nn.Module
    shape: tuple[int, int, int]
    limits: tuple[float, float]
    names: Sequence[str]
    metadata: dict[str, str] = field(default_factory=dict)
    dynamic: bool = False


class Written(NamedTuple):
    """What was written.

    deviation: the largest deviation from the network in the check, as a share of the largest value.
    size: of the file, in bytes.
    """

    deviation: float
    size: int


def colorizer(
    weights: str | os.PathLike | None = None,
    config: str | os.PathLike | None = None,
    size: int | None = None,
) -> Exportable:
    """Load a colorizer for a square size.

    Args:
        weights, config: as in `load_generator`.
        size: side of the input in pixels; None uses the size stored with the weights.

    Raises:
        ColorizeError: if the weights cannot be used.
    """
    network = load_generator(weights, config)
    size = getattr(network, 'image_size', DEFAULT_SIZE) if size is None else size
    metadata = {
        'network': type(network).__name__,
        'size': str(size),
        'saturation': str(getattr(network, 'saturation', 1.0)),
        'lightness': f'CIELAB L from 0 to 100 (D65), float32, (batch, 1, {size}, {size})',
        'ab': f'CIELAB a and b, not multiplied by saturation, (batch, 2, {size}, {size})',
    }
    if weights is None or Path(weights).resolve() == DEFAULT_WEIGHTS:
        metadata['license'] = 'non-commercial research, like the training data (docs/model_card.md)'
    return Exportable(network, (1, size, size), (0, 100), ('lightness', 'ab'), metadata)


def backbone(
    cfg: Config,
    weights: str | os.PathLike,
    size: Sequence[int],
    source: str,
    dynamic: bool = False,
) -> Exportable:
    """Load the DualAttention backbone of a detector or classifier for one size, or for any.

    Args:
        cfg: the config of the model; its `model.backbone` is a DualAttention.
        weights: a checkpoint with weights `backbone.*`, or the weights of the backbone alone.
        size: (H, W) of the input; not used if `dynamic`.
        source: name of the config, for error messages.
        dynamic: whether the file has to accept any other size above 32 pixels.

    Raises:
        UserError: if there is no such backbone, or the weights do not fit it.
    """
    part = (cfg.get('model') or {}).get('backbone') or {}
    if part.get('type') not in ('DualAttention', 'dualattn_mm.DualAttention', DualAttention):
        raise UserError(
            f'the config {source} has neither model.generator nor a DualAttention as '
            'model.backbone, so there is nothing to export'
        )
    part = {**part, 'type': 'DualAttention'}
    part.pop('init_cfg', None)
    network = build_network(part, source)
    assert isinstance(network, DualAttention)
    state = read_state_dict(weights)
    load_strictly(network, part_of(state, 'backbone.') or state, weights)
    if dynamic:  # with several windows per row and column in every map, and padding
        side = 64 * part.get('window_size', 7)
        size = side + 32, side + 96
    height, width = size
    names = ('image', *(f'map{i}' for i in network.out_indices))
    shape = (network.in_channels, height, width)
    sides = ('height', 'width') if dynamic else (height, width)
    metadata = {
        'network': 'DualAttention',
        'size': 'any above 32' if dynamic else f'{height} {width}',
        'image': f'normalized as in training, float32, (batch, {shape[0]}, {sides[0]}, {sides[1]})',
        **_normalization(cfg),
    }
    return Exportable(network.float().eval(), shape, (-2, 2), names, metadata, dynamic)


def _normalization(cfg: Config) -> dict[str, str]:
    """Return the mean, the standard deviation and the channels that the config states."""
    part = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    found = {name: ' '.join(map(str, part[name])) for name in ('mean', 'std') if part.get(name)}
    for flag, order in ('to_rgb', 'RGB'), ('bgr_to_rgb', 'RGB'), ('rgb_to_bgr', 'BGR'):
        if part.get(flag):
            found['channels'] = order
    return found


def export(what: Exportable, path: Path) -> Written:
    """Write a network, for any batch size.

    Args:
        what: the network.
        path: the file to write, NAME.onnx or NAME.pt2, which can be remote.

    Raises:
        UserError: if a library is missing, the network cannot be exported, or the file does not
            compute the same; then nothing is written.
        OSError: if the file cannot be written.
    """
    check_output(path)
    metadata = {'producer': f'dualattn_mm {__version__}', **what.metadata}
    write = _write_onnx if path.suffix == '.onnx' else _write_program
    with atomic_file(path) as temporary, torch.no_grad():
        try:
            with _quiet():
                run = write(what, metadata, temporary)
        except (UserError, OSError):
            raise
        except Exception as error:  # the exporters raise errors of many kinds
            raise UserError(
                f'cannot export this network: {type(error).__name__}: {first_line(error)}'
            ) from error
        height, width = what.shape[1:]
        sizes = [(height, width), *[(33, 224), (225, 50)] * what.dynamic]
        inputs = [_example(what, batch, size) for size in sizes for batch in _BATCHES]
        deviation = _largest([_deviation(what, run, x) for x in inputs])
        if not deviation <= TOLERANCE:  # also NaN
            raise UserError(
                f'{path} was not written: it deviates from the network by {deviation:.1e} of the '
                f'largest value, more than {TOLERANCE:.0e}'
            )
        size = temporary.stat().st_size
    return Written(deviation, size)


def check_output(path: Path, dynamic: bool = False) -> None:
    """Check, before anything is computed, that a file of this name can be exported.

    Raises:
        UserError: if the suffix is unknown or does not go with dynamic sizes, or a library is
            missing.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(f'the format of {path} is unknown: name it NAME{" or NAME".join(SUFFIXES)}')
    if dynamic and path.suffix != '.onnx':
        raise UserError(f'--dynamic needs an ONNX file, not {path}: torch.export checks the size')
    if not hasattr(torch.compiler, 'is_exporting'):
        raise UserError(f'exporting needs torch >= 2.7, this is torch {torch.__version__}')
    for name in _LIBRARIES if path.suffix == '.onnx' else ():
        library(name, 'ONNX files', "'dualattn_mm[export]'")


def check_size(size: Sequence[int]) -> None:
    """Raise UserError unless each side has at least `MIN_SIZE` pixels."""
    if min(size) < MIN_SIZE:
        raise UserError(f'--size must be at least {MIN_SIZE}, got {" ".join(map(str, size))}')


def _write_onnx(what: Exportable, metadata: Mapping[str, str], path: Path) -> Run:
    runtime = library('onnxruntime')
    given, *results = what.names
    program: Any = torch.onnx.export(
        _program(what),
        (_example(what, 2),),
        dynamo=True,
        opset_version=_OPSET,
        dynamic_shapes=_free(what),
        input_names=[given],
        output_names=results,
        verbose=False,
    )
    program.model.metadata_props.update(metadata)
    program.save(str(path), external_data=False)
    session = runtime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    return lambda x: [torch.from_numpy(y) for y in session.run(None, {given: x.numpy()})]


def _write_program(what: Exportable, metadata: Mapping[str, str], path: Path) -> Run:
    program = _program(what)
    with path.open('wb') as file:
        torch.export.save(program, file, extra_files={'metadata.json': json.dumps(metadata)})
    with path.open('rb') as file:
        loaded = torch.export.load(file).module()
    return lambda x: _listed(loaded(x))


def _program(what: Exportable) -> torch.export.ExportedProgram:
    """Trace the network with the dynamic sizes of its input."""
    options: dict[str, Any] = {}
    context: contextlib.AbstractContextManager = contextlib.nullcontext()
    if what.dynamic:  # without deciding whether a map has a single row of windows
        options['prefer_deferred_runtime_asserts_over_guards'] = True
        context = fx_config.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]
    with context:
        return torch.export.export(
            what.network, (_example(what, 2),), dynamic_shapes=_free(what), strict=False, **options
        )


def _free(what: Exportable) -> tuple[dict[int, Any]]:
    """Return the dynamic dimensions of the input."""
    free = {0: torch.export.Dim('batch', min=1)}
    if what.dynamic:
        free[2], free[3] = (torch.export.Dim(name, min=33) for name in ('height', 'width'))
    return (free,)


def _example(what: Exportable, batch: int, size: Sequence[int] = ()) -> Tensor:
    channels, height, width = what.shape
    low, high = what.limits
    shape = batch, channels, *(size or (height, width))
    return low + (high - low) * torch.rand(shape, generator=torch.Generator().manual_seed(batch))


def _deviation(what: Exportable, run: Run, x: Tensor) -> float:
    expected, found = _listed(what.network(x)), run(x)
    if [y.shape for y in expected] != [y.shape for y in found]:
        return float('nan')
    return _largest(
        [
            ((y - z).abs().max() / z.abs().max().clamp(min=_SMALLEST)).item()
            for y, z in zip(found, expected, strict=True)
        ]
    )


def _largest(deviations: list[float]) -> float:
    """Return the largest value, and NaN if one is NaN, which `max` can miss."""
    return torch.tensor(deviations).max().item()


def _listed(maps: Tensor | Sequence[Tensor]) -> Sequence[Tensor]:
    return [maps] if isinstance(maps, Tensor) else list(maps)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Mute the warnings and logs in which the exporters report on their own code."""
    levels = {
        name: logging.getLogger(name).level for name in ('torch.onnx', 'onnxscript', 'onnx_ir')
    }
    try:
        for name in levels:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
