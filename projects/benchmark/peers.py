"""The networks to measure, ours and other ones, and their inputs.

Like is compared with like: backbones return one averaged vector per image and have no classifier,
colorizers return color, and bird's-eye-view backbones are all followed by the same SECONDFPN.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from types import ModuleType

import torch
from mmengine.config import Config, ConfigDict
from mmengine.hub import get_config
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dualattn_mm.models import DualAttention, DualAttentionBEV, MultiscalePyramidTransformer
from dualattn_mm.utils.configs_dir import configs_dir

from .detectors import PointsToBoxes, with_plain_strides


@dataclass(frozen=True)
class Case:
    """An input: its size and, for bird's-eye-view networks, the mmdet3d config it belongs to.

    For whole detectors it also has a file of points, and the size is that of their map.
    """

    name: str
    height: int
    width: int
    config: str = ''
    points: str = ''

    @classmethod
    def image(cls, height: int, width: int) -> 'Case':
        return cls(f'{height} x {width}', height, width)

    @classmethod
    def square(cls, side: int) -> 'Case':
        return cls.image(side, side)

    @property
    def pixels(self) -> int:
        return self.height * self.width


def in_channels(module: nn.Module) -> int:
    """Return the input channels of a network, which are those of its first convolution."""
    return next(m for m in module.modules() if isinstance(m, nn.Conv2d)).in_channels


def random_map(module: nn.Module, case: Case, batch_size: int) -> Tensor:
    """Return a random map (batch_size, in_channels, H, W) in [0, 1)."""
    return torch.rand(batch_size, in_channels(module), case.height, case.width)


@dataclass(frozen=True)
class Network:
    """A network that can be measured.

    Args:
        name: name on the command line.
        package: the Python package it comes from; empty for ours.
        against: name of our network that it is compared with.
        about: one line for the user.
        build: builds the network for a case, with random weights.
        large: whether to skip it on the CPU unless it is requested.
        make_input: makes an input of a given batch size.
        layout: the memory format in which its authors or users run it on a GPU.
    """

    name: str
    package: str
    against: str
    about: str
    build: Callable[[Case], nn.Module]
    large: bool = False
    make_input: Callable[[nn.Module, Case, int], Tensor] = random_map
    layout: str = 'contiguous'

    @property
    def installed(self) -> bool:
        return not self.package or find_spec(self.package) is not None


# How to install a package. tools/env.sh also installs mmcv, which OpenMMLab's packages need.
INSTALL = {
    'timm': 'pip install -r requirements/benchmark.txt',
    'modelscope': 'pip install -r requirements/benchmark.txt',
    'mmpretrain': 'bash tools/env.sh full',
    'mmdet3d': 'bash tools/env.sh full',
}


# ---- backbones ----


def _ours(arch: str, case: Case, with_cp: bool = False) -> nn.Module:
    return DualAttention(arch, out_indices=(3,), gap_before_final_norm=True, with_cp=with_cp)


def _timm(model: str, case: Case, *, sized: bool = False, **options: str) -> nn.Module:
    import timm

    if sized:  # the network is built for a fixed image size
        options['img_size'] = (case.height, case.width)
    return timm.create_model(model, num_classes=0, **options)


def _mmpretrain(backbone: str, case: Case) -> nn.Module:
    from mmpretrain.models import backbones
    from mmpretrain.models.necks import GlobalAveragePooling

    network = getattr(backbones, backbone)('tiny', out_indices=(3,))
    return nn.Sequential(network, GlobalAveragePooling())


def _backbone(
    name: str,
    build: Callable[[Case], nn.Module],
    about: str,
    size: str = 'tiny',
    layout: str = 'contiguous',
) -> Network:
    package = name.split('_')[0]
    package = '' if package == 'dualattn' else package
    large = size != 'tiny'
    return Network(name, package, f'dualattn_{size}', about, build, large, layout=layout)


def _family(size: str) -> tuple[Network, ...]:
    """Return our network of a size and those of timm."""
    return (
        _backbone(f'dualattn_{size}', partial(_ours, size), 'DualAttention', size),
        _backbone(
            f'timm_davit_{size}',
            partial(_timm, f'davit_{size}'),
            'window and channel attention',
            size,
        ),
        _backbone(
            f'timm_swin_{size}',
            partial(_timm, f'swin_{size}_patch4_window7_224', sized=True),
            'shifted windows',
            size,
        ),
        _backbone(
            f'timm_maxvit_{size}',
            partial(_timm, f'maxvit_{size}_tf_224', sized=True),
            "windows and grids; timm's grow with the image, to 1/32 of its side",
            size,
            'channels_last',
        ),
        _backbone(
            f'timm_convnext_{size}',
            partial(_timm, f'convnext_{size}'),
            'convolutions',
            size,
            'channels_last',
        ),
    )


_BACKBONES = (
    *_family('tiny'),
    _backbone('mmpretrain_davit_tiny', partial(_mmpretrain, 'DaViT'), "timm's davit in mmpretrain"),
    _backbone(
        'mmpretrain_swin_tiny',
        partial(_mmpretrain, 'SwinTransformer'),
        "timm's swin in mmpretrain",
    ),
    _backbone(
        'timm_vit_small',
        partial(_timm, 'vit_small_patch16_224', sized=True, global_pool='avg'),
        'global attention: quadratic in the number of pixels',
    ),
    Network(
        'dualattn_tiny_with_cp',
        '',
        'dualattn_tiny',
        'the same with gradient checkpointing (with_cp): less memory, more time',
        partial(_ours, 'tiny', with_cp=True),
        large=True,
    ),
    *_family('small'),
    *_family('base'),
)


# ---- colorizers ----


@cache
def _modelscope_ddcolor() -> ModuleType:
    """Import DDColor's own files alone: the packages above them import half of modelscope."""
    [folder] = find_spec('modelscope').submodule_search_locations
    package = ModuleType('modelscope_ddcolor')
    package.__path__ = [f'{folder}/models/cv/image_colorization/ddcolor']
    sys.modules[package.__name__] = package
    return import_module('modelscope_ddcolor.ddcolor')


class _DDColor(nn.Module):
    """DDColor without the maps that its hooks would keep in memory after a call."""

    def __init__(self, encoder: str) -> None:
        super().__init__()
        self.network = _modelscope_ddcolor().DDColor(encoder)
        self._drop_maps()

    def forward(self, rgb: Tensor) -> Tensor:
        """Map gray sRGB (B, 3, H, W) to ab (B, 2, H, W)."""
        ab = self.network(rgb)
        self._drop_maps()
        return ab

    def _drop_maps(self) -> None:
        for hook in self.network.encoder.hooks:
            hook.feature = None


def _mini(case: Case) -> nn.Module:
    config = Config.fromfile(configs_dir() / '_base_' / 'color_dualattn_mini.py')
    return MODELS.build(config.model.generator)


_COLORIZERS = (
    Network(
        'mpt',
        '',
        'mpt',
        'MultiscalePyramidTransformer of 64 queries: lightness to ab',
        lambda case: MultiscalePyramidTransformer(num_queries=64),
    ),
    Network('mpt_mini', '', 'mpt', 'a smaller one for CPUs: the mini preset with 6 blocks', _mini),
    Network(
        'ddcolor_tiny',
        'modelscope',
        'mpt',
        'DDColor with ConvNeXt-T and 100 queries: gray sRGB to ab',
        lambda case: _DDColor('convnext-t'),
    ),
    Network(
        'ddcolor_large',
        'modelscope',
        'mpt',
        'the same with ConvNeXt-L, as its authors publish it',
        lambda case: _DDColor('convnext-l'),
        large=True,
    ),
)


# ---- the bird's-eye view, and the detectors around it ----

BEV_CASES = {
    'kitti': Case('kitti', 200, 176, 'second/second_hv_secfpn_8xb6-80e_kitti-3d-3class'),
    'voxel01': Case(
        'voxel01', 128, 128, 'centerpoint/centerpoint_voxel01_second_secfpn_8xb4-cyclic-20e_nus-3d'
    ),
    'voxel0075': Case(
        'voxel0075',
        180,
        180,
        'centerpoint/centerpoint_voxel0075_second_secfpn_8xb4-cyclic-20e_nus-3d',
    ),
    'pillar02': Case(
        'pillar02',
        512,
        512,
        'centerpoint/centerpoint_pillar02_second_secfpn_8xb4-cyclic-20e_nus-3d',
    ),
}


@cache
def _mmdet3d_model(config: str) -> ConfigDict:
    return get_config(f'mmdet3d::{config}.py').model


def _with_neck(case: Case, backbone: Callable[..., nn.Module] | None) -> nn.Module:
    """Build the neck of the config on `backbone` instead of SECOND; None keeps SECOND."""
    from mmdet3d.models.backbones import SECOND
    from mmdet3d.models.necks import SECONDFPN

    def build(make: Callable[..., nn.Module], arguments: ConfigDict) -> nn.Module:
        return make(**{key: value for key, value in arguments.items() if key != 'type'})

    model = _mmdet3d_model(case.config)
    part = 'pts_' if 'pts_backbone' in model else ''
    maps = nn.Sequential(
        build(backbone or SECOND, model[f'{part}backbone']),
        build(SECONDFPN, model[f'{part}neck']),
    )
    return with_plain_strides(maps)


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """Put each batch norm that follows a convolution in a Sequential into its weights."""
    module.eval()
    for parts in [m for m in module.modules() if isinstance(m, nn.Sequential)]:
        for i, (conv, norm) in enumerate(pairwise(list(parts))):
            if isinstance(norm, nn.BatchNorm2d) and isinstance(
                conv, nn.Conv2d | nn.ConvTranspose2d
            ):
                parts[i] = fuse_conv_bn_eval(conv, norm, isinstance(conv, nn.ConvTranspose2d))
                parts[i + 1] = nn.Identity()
    return module


def _folded(case: Case, backbone: Callable[..., nn.Module] | None) -> nn.Module:
    return fold_batch_norm(_with_neck(case, backbone))


_BEV = tuple(
    Network(
        f'{name}{suffix}',
        'mmdet3d',
        f'dualattn_bev{suffix}',
        about + how,
        partial(build, backbone=backbone),
    )
    for suffix, how, build in (
        ('', '', _with_neck),
        ('_folded', ', batch norm folded into the convolutions (inference)', _folded),
    )
    for name, about, backbone in (
        ('dualattn_bev', "DualAttentionBEV and SECONDFPN like SECOND's", DualAttentionBEV),
        ('second', "SECOND and SECONDFPN as in mmdet3d's config", None),
    )
)

# Our config for each case, and the config of the same detector with SECOND.
DETECTOR_CONFIGS = {
    'kitti': ('second_dualattn_kitti', 'second_kitti_second'),
    'voxel01': ('centerpoint_voxel01_dualattn', 'centerpoint_voxel01_second'),
    'voxel0075': ('centerpoint_voxel_dualattn', 'centerpoint_voxel_second'),
    'pillar02': ('centerpoint_pillar_dualattn', 'centerpoint_pillar_second'),
}


def _detector(which: int, case: Case) -> nn.Module:
    name = DETECTOR_CONFIGS[case.name][which]
    with torch.device('cpu'):  # mmdet3d computes sizes with tensors, which must not be on a GPU
        return PointsToBoxes(Config.fromfile(configs_dir() / 'mmdet3d' / f'{name}.py'))


def _read_points(module: nn.Module, case: Case, batch_size: int) -> Tensor:
    return module.read_points(case.points)


_DETECTORS = tuple(
    Network(
        name,
        'mmdet3d',
        'dualattn_bev',
        f'a whole LiDAR detector with {backbone}, from points to boxes',
        partial(_detector, which),
        make_input=_read_points,
    )
    for which, (name, backbone) in enumerate(
        (('dualattn_bev', 'DualAttentionBEV'), ('second', 'SECOND'))
    )
)

NETWORKS = {
    task: {network.name: network for network in networks}
    for task, networks in (
        ('backbone', _BACKBONES),
        ('colorizer', _COLORIZERS),
        ('bev', _BEV),
        ('detector', _DETECTORS),
    )
}
