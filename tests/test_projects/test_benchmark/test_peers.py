"""Every network in the lists: its size and the shape of its result."""

from functools import partial

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

from projects.benchmark.detectors import PointsToBoxes, with_plain_strides
from projects.benchmark.peers import (
    BEV_CASES,
    INSTALL,
    NETWORKS,
    Case,
    fold_batch_norm,
    in_channels,
)
from projects.benchmark.step import count_macs

# At 224 x 224, 256 x 256 and on KITTI's map. Ours have the norm of the last stage alone.
PARAMETERS = {
    'dualattn_tiny': 27_715_296,
    'dualattn_tiny_with_cp': 27_715_296,
    'dualattn_small': 45_575_136,
    'dualattn_base': 80_994_304,
    'timm_davit_tiny': 27_591_168,
    'timm_davit_small': 48_976_896,
    'timm_davit_base': 86_929_408,
    'timm_swin_small': 48_837_258,
    'timm_swin_base': 86_743_224,
    'timm_maxvit_small': 68_158_956,
    'timm_maxvit_base': 118_698_708,
    'timm_convnext_small': 49_454_688,
    'timm_convnext_base': 87_566_464,
    'mmpretrain_davit_tiny': 27_591_168,
    'timm_swin_tiny': 27_519_354,
    'mmpretrain_swin_tiny': 27_519_354,
    'timm_maxvit_tiny': 30_403_528,
    'timm_convnext_tiny': 27_820_128,
    'timm_vit_small': 21_665_664,
    'mpt': 55_092_032,
    'mpt_mini': 5_668_160,
    'ddcolor_tiny': 55_009_716,
    'ddcolor_large': 227_875_476,
    'dualattn_bev': 2_885_632,
    'second': 4_576_768,
    'dualattn_bev_folded': 2_884_736,
    'second_folded': 4_573_952,
}
CASES = {'backbone': Case.square(224), 'colorizer': Case.square(256), 'bev': BEV_CASES['kitti']}


def marked(task, *values):
    """Return a parameter set; those of networks that need an OpenMMLab library are marked."""
    needs = NETWORKS[task][values[-1]].package.startswith('mm')
    return pytest.param(*values, marks=[pytest.mark.integration] * needs)


# Whole detectors are counted where their configs are tested.
ALL = [marked(task, task, name) for task in CASES for name in NETWORKS[task]]
BACKBONES = [name for name, network in NETWORKS['backbone'].items() if not network.large]


def built(task, name, case):
    network = NETWORKS[task][name]
    if not network.installed:
        pytest.skip(f'not installed: {network.package}')
    return network.build(case).eval()


def outputs_for(module, case):
    image = torch.rand(1, in_channels(module), case.height, case.width)
    with torch.inference_mode():
        outputs = module(image)
    return [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)


@pytest.mark.parametrize(('task', 'name'), ALL)
def test_parameters(task, name, monkeypatch):
    # Without data, which is quick; but some networks read their rates of DropPath from a tensor.
    monkeypatch.setattr(torch, 'linspace', partial(torch.linspace, device='cpu'))
    with torch.device('meta'):
        module = built(task, name, CASES[task])
    assert sum(p.numel() for p in module.parameters()) == PARAMETERS[name]


def test_each_is_compared_with_one_of_ours():
    for networks in NETWORKS.values():
        for network in networks.values():
            assert networks[network.against].against == network.against
            assert network.package in ('', *INSTALL)


@pytest.mark.parametrize('name', [marked('backbone', name) for name in BACKBONES])
def test_backbones_give_one_vector(name):
    case = CASES['backbone'] if name.startswith('mmpretrain') else Case('c', 64, 96)
    (vector,) = outputs_for(built('backbone', name, case), case)
    assert vector.dim() == 2


@pytest.mark.parametrize('name', ['mpt_mini', 'ddcolor_tiny'])
def test_colorizers_give_color(name):
    case = Case.square(32)
    (ab,) = outputs_for(built('colorizer', name, case), case)
    assert ab.shape == (1, 2, 32, 32)


def test_ddcolor_holds_no_maps_between_calls():
    module = built('colorizer', 'ddcolor_tiny', Case.square(32))
    outputs_for(module, Case.square(32))
    assert all(hook.feature is None for hook in module.network.encoder.hooks)


@pytest.mark.integration
@pytest.mark.parametrize('name', BEV_CASES)
def test_bev_networks_give_the_same_map(name):
    whole = BEV_CASES[name]
    case = Case(name, 16, 16, whole.config)
    ours, peer = (
        outputs_for(built('bev', network, case), case) for network in ('dualattn_bev', 'second')
    )
    assert [m.shape for m in ours[0]] == [m.shape for m in peer[0]]


def test_strides_of_numpy_become_int_for_the_compiler():
    conv = nn.Conv2d(2, 2, 2, stride=np.int64(2))
    assert type(with_plain_strides(nn.Sequential(conv))[0].stride[1]) is int
    assert conv(torch.zeros(1, 2, 8, 8)).shape == (1, 2, 4, 4)


def test_folded_batch_norm_keeps_the_output():
    layers = [nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU()]
    layers += [nn.ConvTranspose2d(4, 5, 2, stride=2, bias=False), nn.BatchNorm2d(5)]
    module = nn.Sequential(nn.Sequential(*layers), nn.BatchNorm2d(5))
    for norm in (layers[1], layers[4], module[1]):
        for values in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
            values.uniform_(0.5, 2)
    image = torch.rand(2, 3, 6, 8)
    expected = module.eval()(image)
    folded = fold_batch_norm(module)
    assert [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)] == [module[1]]
    assert torch.allclose(folded(image), expected, atol=1e-5)


def test_detector_moves_its_points():
    """nn.Module.to alone does not tell mmengine's preprocessor where to."""

    class Detector(BaseModel):
        def forward(self, inputs):
            raise NotImplementedError

    module = PointsToBoxes.__new__(PointsToBoxes)
    nn.Module.__init__(module)
    module.detector = Detector()
    assert module.to('meta').detector.data_preprocessor.device.type == 'meta'


def test_macs_equal_the_design():
    tiny = NETWORKS['backbone']['dualattn_tiny']
    assert count_macs(tiny, CASES['backbone']) == pytest.approx(5.15e9, rel=1e-3)


@pytest.mark.integration
def test_macs_of_both_davits_are_equal():
    networks = [NETWORKS['backbone'][f'{package}_davit_tiny'] for package in ('timm', 'mmpretrain')]
    if not all(network.installed for network in networks):
        pytest.skip('not installed: timm and mmpretrain')
    timm, mmpretrain = (count_macs(network, CASES['backbone']) for network in networks)
    assert timm == mmpretrain == pytest.approx(4.52e9, rel=1e-3)
