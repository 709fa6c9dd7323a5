"""Parameters and multiply-accumulates (MACs) of what a config describes."""

import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from rich.table import Table
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from ..utils.errors import UserError

if TYPE_CHECKING:
    from mmdet.models import BaseDetector

_SCOPES = ('mmengine', 'mmagic', 'mmpretrain', 'mmdet', 'mmdet3d')
_DETECTION = 800, 1280  # (H, W) that papers count detectors at whose images have no fixed size


class Complexity(NamedTuple):
    """Of a model or a part of it.

    Attributes:
        parameters: number of all, frozen ones too.
        macs: multiply-accumulates for one image.
    """

    parameters: int
    macs: int


def complexity(model: nn.Module, shape: Sequence[int]) -> dict[str, Complexity]:
    """Count the whole model and its parts, by torch's formulas for its operations.

    What counts are convolutions, linear layers and matrix products, those of attention too. Nothing
    is computed, so the size costs neither time nor memory.

    Args:
        model: takes (1, C, H, W) by its `forward`; is put into eval mode and moved to the meta
            device, where it has no weights any more.
        shape: (C, H, W) of the image.

    Returns:
        By the modules' dotted names; '' is the whole.
    """
    # The meta device has no fused kernels, which would not be counted: neither for
    # scaled_dot_product_attention nor, where gradients are wanted, for MultiheadAttention.
    model.eval()  # on a line of its own: that of mmpretrain's backbones returns nothing
    model.to('meta')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # torch >= 2.4 finds the modules by itself
        counter = FlopCounterMode(model, display=False)
    with counter:
        model(torch.empty(1, *shape, device='meta'))
    root = type(model).__name__
    called = {
        name.removeprefix(root).removeprefix('.'): sum(flops.values()) // 2
        for name, flops in counter.get_flop_counts().items()
    }

    def macs(name: str, module: nn.Module) -> int:
        if name in called:
            return called[name]
        # A list of modules is never called itself.
        parts = module.named_children()
        return sum(macs(f'{name}.{part}' if name else part, inner) for part, inner in parts)

    return {
        name: Complexity(sum(p.numel() for p in module.parameters()), macs(name, module))
        for name, module in model.named_modules()
    }


def complexity_of_config(
    cfg: Config, shape: Sequence[int] | None = None
) -> tuple[dict[str, Complexity], tuple[int, int]]:
    """Build the model of a config and count it.

    Args:
        cfg: of mmpretrain, of mmagic's colorizer, of a detector of mmdet with one stage or with
            an RPN and (cascaded) box and mask heads, or of a LiDAR detector of mmdet3d, of which
            the parts that see the bird's-eye view as a map are counted: backbone and neck.
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
    with DefaultScope.overwrite_default_scope(scope):
        if scope == 'mmdet3d':
            with _WithoutWeights():
                network, (channels, *size) = _birds_eye_view(cfg)
            height, width = shape or size
            return complexity(network, (channels, height, width)), (height, width)
        height, width = _tested_size(cfg) if shape is None else shape
        colorizes = cfg.model.get('type') == 'Colorizer'  # whose critic and losses are left behind
        with _WithoutWeights():
            model = MODELS.build(cfg.model.generator if colorizes else cfg.model)
        if scope == 'mmdet':
            model.forward = _detector_forward(model)
        return complexity(model, (1 if colorizes else 3, height, width)), (height, width)


class _WithoutWeights(TorchFunctionMode):
    """What layers make room for is on the meta device: nothing is initialized.

    torch.device('meta') would put all else there too, and networks compute with some of it while
    they are built.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        if func is torch.empty and options.get('device') is None:
            options['device'] = 'meta'
        return func(*args, **options)


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
    if cfg.get('default_scope') == 'mmdet':  # Resize alone leaves each image its own size
        padded = [transform.get('size') for transform in pipeline if transform['type'] == 'Pad']
        return next((tuple(size) for size in padded if size), _DETECTION)
    for transform in reversed(pipeline):
        for name in ('crop_size', 'scale', 'size'):
            size = transform.get(name)
            if isinstance(size, int):
                return size, size
            if size is not None:
                return tuple(size)
    raise UserError('the config does not say the size of its test images: pass --shape H W')


def _birds_eye_view(cfg: Config) -> tuple[nn.Module, tuple[int, int, int]]:
    """Backbone and neck of a LiDAR detector, and (C, H, W) of the map that they get."""
    part = 'pts_' if 'pts_backbone' in cfg.model else ''
    encoder = cfg.model.get(f'{part}middle_encoder', {})
    if encoder.get('type') == 'SparseEncoder':
        size = [cells // 8 for cells in encoder.sparse_shape[1:]]  # halved by three of its stages
    elif encoder.get('type') == 'PointPillarsScatter':
        size = encoder.output_shape
    else:
        raise UserError(f'detectors of mmdet3d with {encoder.get("type")} cannot be counted')
    parts = {name: MODELS.build(cfg.model[part + name]) for name in ('backbone', 'neck')}
    return nn.Sequential(OrderedDict(parts)), (cfg.model[f'{part}backbone'].in_channels, *size)


def _detector_forward(detector: 'BaseDetector') -> Callable[[Tensor], None]:
    """A detector's pass over one image, without what depends on what it sees.

    As many boxes as the config lets through are taken for found: 1000 proposals for each stage of
    the box head, 100 boxes for each of the mask head.
    """
    from mmdet.models import CascadeRoIHead, SingleStageDetector, StandardRoIHead

    if isinstance(detector, SingleStageDetector) and detector.bbox_head is not None:
        return lambda image: detector.bbox_head(detector.extract_feat(image))
    roi_head = getattr(detector, 'roi_head', None)
    if type(roi_head) not in (StandardRoIHead, CascadeRoIHead):
        what = type(detector if roi_head is None else roi_head).__name__
        raise UserError(f'detectors of mmdet with {what} cannot be counted')

    def forward(image: Tensor) -> None:
        maps = detector.extract_feat(image)
        detector.rpn_head(maps)
        config = detector.test_cfg
        for part, boxes in (('bbox', config.rpn.max_per_img), ('mask', config.rcnn.max_per_img)):
            heads, extractors = (
                _listed(getattr(roi_head, name, None))
                for name in (f'{part}_head', f'{part}_roi_extractor')
            )
            for head, extractor in zip(heads, extractors, strict=True):
                size = extractor.roi_layers[0].output_size
                head(image.new_empty(boxes, extractor.out_channels, *size))

    return forward


def _listed(part: Any) -> list[Any]:
    """One head, the heads of a cascade's stages, or none."""
    if part is None:
        return []
    return list(part) if isinstance(part, nn.ModuleList) else [part]
