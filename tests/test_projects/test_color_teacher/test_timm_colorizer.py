"""The colorizer with a timm encoder, and the configs that train it and train with it."""

from pathlib import Path

import pytest
import timm
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from dualattn_mm.apis.weights import load_generator
from projects.color_teacher.timm_colorizer import TimmColorizer

ENCODER = 'tf_efficientnet_lite0'
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope='module')
def file(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('imagenet') / 'lite0.pth'
    torch.save(timm.create_model(ENCODER).state_dict(), path)
    return str(path)


@pytest.mark.parametrize('size', [(32, 32), (96, 65), (33, 128)])
def test_color_has_the_size_of_the_lightness(size):
    network = TimmColorizer(ENCODER, dim=8).eval()
    with torch.no_grad():
        assert network(100 * torch.rand(2, 1, *size)).shape == (2, 2, *size)


def test_encoder_is_that_of_imagenet_and_sees_gray_srgb(file):
    network = TimmColorizer(ENCODER, file, dim=8)
    network.init_weights()
    network.eval()
    whole = timm.create_model(ENCODER)
    whole.load_state_dict(torch.load(file))
    whole.eval()
    seen = []
    network.encoder.register_forward_hook(lambda module, inputs, maps: seen.extend(maps))
    with torch.no_grad():
        network(torch.full((1, 1, 64, 64), 53.585))  # the lightness of sRGB 128
        expected = whole.forward_intermediates(
            torch.full((1, 3, 64, 64), (128 / 255 - 0.498) / 0.502), intermediates_only=True
        )
    for ours, theirs in zip(seen, expected[1:], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_frozen_stages_are_not_trained(file):
    network = TimmColorizer(ENCODER, file, dim=8, frozen_stages=2)
    network.init_weights()
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], 0.1)
    network(100 * torch.rand(2, 1, 64, 64)).square().mean().backward()
    optimizer.step()
    frozen = ('encoder.conv_stem.', 'encoder.bn1.', 'encoder.blocks.0.', 'encoder.blocks.1.')
    for name, value in network.state_dict().items():
        if name.startswith(frozen):
            assert torch.equal(value, before[name]), name
    for name in ('encoder.blocks.2.0.conv_pw.weight', 'encoder.blocks.2.0.bn1.running_mean'):
        assert not torch.equal(network.state_dict()[name], before[name]), name


def test_student_is_the_network_of_the_bundled_weights():
    cfg = Config.fromfile(ROOT / 'projects/color_teacher/student.py')
    own = MODELS.build(cfg.model.generator).state_dict()
    bundled = load_generator(ROOT / cfg.weights).state_dict()
    assert {k: v.shape for k, v in own.items()} == {k: v.shape for k, v in bundled.items()}
    assert cfg.model.color_distillation.teachers[0].generator == cfg.model.generator
