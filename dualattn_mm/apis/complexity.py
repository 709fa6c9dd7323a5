"""Count the parameters and multiply-accumulates (MACs) of the model in a config."""

import copy
import math
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

from ..utils.config_parts import type_name
from ..utils.errors import UserError, first_line

if TYPE_CHECKING:
    from mmdet.models import BaseDetector

_SCOPES = ('mmengine', 'mmagic', 'mmpretrain', 'mmdet', 'mmdet3d')
_DETECTION = 800, 1280  # (H, W): papers count detectors at this size if images vary in size
_CLASSES = 1000  # as in ImageNet, of a classifier whose classes are found only in its images


class Complexity(NamedTuple):
    """The size and cost of a model or of one of its submodules.

    Attributes:
        parameters: number of parameters, including frozen ones.
        macs: multiply-accumulates for one image.
    """

    parameters: int
    macs: int


def complexity(model: nn.Module, shape: Sequence[int]) -> dict[str, Complexity]:
    """Count the whole model and its submodules with torch's FLOP formulas.

    Convolutions, linear layers and matrix products are counted, including those of attention.
    Nothing is computed, so a large input costs neither time nor memory.

    Args:
        model: its `forward` takes (1, C, H, W). It is put into eval mode and moved to the meta
            device without gradients, which discards its weights.
        shape: (C, H, W) of the image.

    Returns:
        The counts by the dotted name of the submodule; '' is the whole model.
    """
    # Fused kernels would not be counted. The meta device has none for
    # scaled_dot_product_attention or for MultiheadAttention.
    model.eval()  # not chained: `eval` of mmpretrain's backbones returns None
    # The counter would prepare a backward pass for each module, which takes a third of the time.
    model.to('meta').requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # torch >= 2.4 warns that the argument is not needed
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
        # A ModuleList is never called itself.
        parts = module.named_children()
        return sum(macs(f'{name}.{part}' if name else part, inner) for part, inner in parts)

    return {
        name: Complexity(sum(p.numel() for p in module.parameters()), macs(name, module))
        for name, module in model.named_modules()
    }


def complexity_of_config(
    cfg: Config, shape: Sequence[int] | None = None
) -> tuple[dict[str, Complexity], tuple[int, int]]:
    """Build the model of a config and count its parameters and MACs.

    Args:
        cfg: a config of one of these kinds: an mmpretrain classifier; the colorizer; an mmdet
            detector that is single-stage or has an RPN and (cascaded) box and mask heads; or an
            mmdet3d LiDAR detector, of which the 2D backbone and neck are counted. A classifier of
            class folders without `num_classes` is counted with 1000 classes.
        shape: (H, W) of the input; None uses the test size of the config.

    Returns:
        The result of `complexity`, and (H, W).

    Raises:
        UserError: if the model cannot be counted, does not accept the shape, or the config does
            not state a size.
    """
    scope = _scope(cfg)
    if scope not in _SCOPES:
        raise UserError(
            f'cannot count a model of default_scope {scope!r}: supported are {", ".join(_SCOPES)}'
        )
    if 'model' not in cfg:
        raise UserError('the config has no `model`')
    with DefaultScope.overwrite_default_scope(scope):
        network, channels, (height, width) = _network(cfg, scope, shape)
        try:
            parts = complexity(network, (channels, height, width))
        except (RuntimeError, ValueError, AssertionError) as error:
            if shape is None:  # not for the reason that is given below
                raise
            raise UserError(
                f'the model does not accept a shape of {height} x {width} ({first_line(error)}): '
                'use multiples of its largest stride'
            ) from None
    return parts, (height, width)


def _scope(cfg: Config) -> str:
    """Return the library of a config; pure Python configs name the class of their model."""
    kind = (cfg.get('model') or {}).get('type')
    library = kind.__module__.partition('.')[0] if isinstance(kind, type) else ''
    return cfg.get('default_scope') or (library if library in _SCOPES else 'mmengine')


def _network(
    cfg: Config, scope: str, shape: Sequence[int] | None
) -> tuple[nn.Module, int, Sequence[int]]:
    """Build what is counted; return it, the channels of its input, and (H, W)."""
    if scope == 'mmdet3d':
        with _WithoutWeights():
            network, (channels, *size) = _birds_eye_view(cfg)
        return network, channels, shape or size
    tested = tested_size(cfg) if shape is None else shape
    if tested is None:
        raise UserError('the config does not state the size of its test images: pass --shape H W')
    kind = type_name(cfg.model)
    # Of these, only the generator, and one pass of test-time augmentation, are counted.
    part = {'Colorizer': 'generator', 'DetTTAModel': 'module'}.get(kind or '')
    described = copy.deepcopy(cfg.model if part is None else cfg.model[part])
    if cfg.get('runner_type') == 'ClassFolderRunner':
        described.head.setdefault('num_classes', _CLASSES)
    with _WithoutWeights():
        model = MODELS.build(described)
    if scope == 'mmdet':
        model.forward = _detector_forward(model)
    return model, 1 if kind == 'Colorizer' else 3, tested


class _WithoutWeights(TorchFunctionMode):
    """Allocate the weights of layers on the meta device, so that nothing is initialized.

    torch.device('meta') would move every other tensor there as well, but networks compute with
    some of those tensors while they are built.
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
    """Make a table of the submodules that have parameters or MACs, down to `depth` levels."""
    table = Table(title=title, title_justify='left')
    for heading in ('module', 'parameters', 'MACs', 'GMACs'):
        table.add_column(heading, justify='left' if heading == 'module' else 'right', no_wrap=True)
    for name, (parameters, macs) in parts.items():
        if name and (name.count('.') >= depth or not (parameters or macs)):
            continue
        table.add_row(name or 'whole', f'{parameters:,}', f'{macs:,}', f'{macs / 1e9:.3f}')
    return table


def tested_size(cfg: Config) -> tuple[int, int] | None:
    """Return the size of test images, from the last transform in the pipeline that sets one.

    Args:
        cfg: a config of mmpretrain, mmdet or the colorizer. Without a test pipeline, the colorizer
            has the size of its generator.

    Returns:
        (H, W), or None if the config does not state it.
    """
    loader = cfg.get('test_dataloader')
    dataset = loader.get('dataset') if isinstance(loader, Mapping) else None  # mmagic has several
    pipeline = dataset.get('pipeline') or [] if isinstance(dataset, Mapping) else []
    if _scope(cfg) == 'mmdet':  # Resize keeps the aspect ratio, so sizes vary
        padded = [step.get('size') for step in pipeline if type_name(step) == 'Pad']
        return next((tuple(size[::-1]) for size in padded if size), _DETECTION)
    for transform in reversed(pipeline):
        for name in ('crop_size', 'scale', 'size'):
            size = transform.get(name)
            if isinstance(size, int):
                return size, size
            if size is not None:
                # mmcv states (W, H), and torchvision's transforms, which only have `size`, (H, W).
                torchvision_s = name == 'size' and type_name(transform) != 'Pad'
                return tuple(size if torchvision_s else size[::-1])
    side = cfg.model.get('generator', {}).get('image_size')
    return None if side is None else (side, side)


def _birds_eye_view(cfg: Config) -> tuple[nn.Module, tuple[int, int, int]]:
    """Build the backbone and neck of a LiDAR detector; return them and (C, H, W) of their input."""
    part = 'pts_' if 'pts_backbone' in cfg.model else ''
    encoder = cfg.model.get(f'{part}middle_encoder', {})
    kind = type_name(encoder)
    if kind == 'SparseEncoder':
        # All stages but one halve the size, rounded up; by default there are four.
        halved = len(encoder.get('encoder_channels', range(4))) - 1
        size = [math.ceil(cells / 2**halved) for cells in encoder.sparse_shape[1:]]
    elif kind == 'PointPillarsScatter':
        size = encoder.output_shape
    else:
        raise UserError(f'cannot count mmdet3d detectors with {kind}')
    parts = {name: MODELS.build(cfg.model[part + name]) for name in ('backbone', 'neck')}
    first = next(m for m in parts['backbone'].modules() if isinstance(m, nn.Conv2d))
    return nn.Sequential(OrderedDict(parts)), (first.in_channels, *size)


def _detector_forward(detector: 'BaseDetector') -> Callable[[Tensor], None]:
    """Return a forward pass for one image whose cost does not depend on the image.

    It assumes that the largest number of boxes the config allows is found: for example 1000
    proposals for each stage of the box head and 100 boxes for each stage of the mask head.
    """
    from mmdet.models import CascadeRoIHead, SingleStageDetector, StandardRoIHead

    if isinstance(detector, SingleStageDetector) and detector.bbox_head is not None:
        return lambda image: detector.bbox_head(detector.extract_feat(image))
    roi_head = getattr(detector, 'roi_head', None)
    if type(roi_head) not in (StandardRoIHead, CascadeRoIHead):
        what = type(detector if roi_head is None else roi_head).__name__
        raise UserError(f'cannot count mmdet detectors with {what}')

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
    """Return the heads as a list: a single head, those of a cascade's stages, or none."""
    if part is None:
        return []
    return list(part) if isinstance(part, nn.ModuleList) else [part]
