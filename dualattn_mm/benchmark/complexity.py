"""Parameters and multiply-accumulates (MACs) of what a config describes."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from rich.table import Table
from torch import nn

from ..errors import UserError

# FLOPs in papers are the MACs of convolutions, linear layers and matrix products.
_LEFT_OUT = (
    'aten::batch_norm',
    'aten::group_norm',
    'aten::layer_norm',
    'aten::instance_norm',
    'aten::upsample_nearest2d',
    'aten::upsample_bilinear2d',
    'aten::adaptive_avg_pool2d',
    'aten::grid_sampler',
)
_SCOPES = ('mmengine', 'mmagic', 'mmpretrain')


class Complexity(NamedTuple):
    """Of a model or a part of it.

    Attributes:
        parameters: number of all, frozen ones too.
        macs: multiply-accumulates for one image.
    """

    parameters: int
    macs: int


def complexity(model: nn.Module, shape: Sequence[int]) -> dict[str, Complexity]:
    """Count the whole model and its parts, by running one image of zeros through it on the CPU.

    mmengine's analysis, with scaled_dot_product_attention added, without norms and resizing.

    Args:
        model: takes (1, C, H, W) by its `forward`; is put into eval mode.
        shape: (C, H, W) of the image.

    Returns:
        By the modules' dotted names; '' is the whole.
    """
    device = next(model.parameters()).device
    model.eval()  # on a line of its own: that of mmpretrain's backbones returns nothing
    analyzer = FlopAnalyzer(model, torch.zeros(1, *shape, device=device))
    analyzer.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    analyzer.tracer_warnings('none')
    analyzer.set_op_handle('aten::scaled_dot_product_attention', _attention_macs)
    for name in _LEFT_OUT:  # mmengine ignores only what it does not know
        analyzer.set_op_handle(name, lambda inputs, outputs: 0)
    with torch.no_grad():
        macs = analyzer.by_module()
    return {
        name: Complexity(sum(p.numel() for p in module.parameters()), int(macs[name]))
        for name, module in model.named_modules()
    }


def complexity_of_config(
    cfg: Config, shape: Sequence[int] | None = None
) -> tuple[dict[str, Complexity], tuple[int, int]]:
    """Build the model of a config and count it.

    Args:
        cfg: of mmpretrain or of mmagic's colorizer.
        shape: (H, W); None takes what the config tests at.

    Returns:
        What `complexity` gives, and (H, W).

    Raises:
        UserError: if the config has no model that can be counted, or names no size.
    """
    scope = cfg.get('default_scope') or 'mmengine'
    if scope not in _SCOPES:
        raise UserError(f'configs of {scope} cannot be counted, only those of {_SCOPES}')
    if 'model' not in cfg:
        raise UserError('the config has no model')
    height, width = _tested_size(cfg) if shape is None else shape
    init_default_scope(scope)
    colorizes = cfg.model.get('type') == 'Colorizer'  # whose critic and losses are left behind
    model = MODELS.build(cfg.model.generator if colorizes else cfg.model)
    return complexity(model, (1 if colorizes else 3, height, width)), (height, width)


def complexity_table(parts: Mapping[str, Complexity], title: str, depth: int) -> Table:
    """One row per part, down to `depth` levels of modules, that has parameters or MACs."""
    table = Table(title=title, title_justify='left')
    for heading in ('module', 'parameters', 'MACs', 'GMACs'):
        table.add_column(heading, justify='left' if heading == 'module' else 'right', no_wrap=True)
    for name, (parameters, macs) in parts.items():
        if name and (name.count('.') >= depth or not (parameters or macs)):
            continue
        table.add_row(name or 'whole', f'{parameters:,}', f'{macs:,}', f'{macs / 1e9:.3f}')
    return table


def _tested_size(cfg: Config) -> tuple[int, int]:
    """What the last transform that names a size makes of a test's images."""
    pipeline = (cfg.get('test_dataloader') or {}).get('dataset', {}).get('pipeline', [])
    for transform in reversed(pipeline):
        for name in ('crop_size', 'scale', 'size'):
            size = transform.get(name)
            if isinstance(size, int):
                return size, size
            if size is not None:
                return tuple(size)
    raise UserError('the config does not say the size of its test images: pass --shape H W')


def _attention_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """Of scaled_dot_product_attention: q k^T and the product with v."""
    query, key, value = (list(node.type().sizes()) for node in inputs[:3])
    return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])
