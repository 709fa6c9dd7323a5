"""The critic against its definition in plain layers, and its loss against mmagic's."""

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from dualattn_mm.models.losses.critic import WassersteinCritic, WassersteinLoss


def test_layers_are_those_of_the_specification():
    critic = MODELS.build(dict(type='WassersteinCritic'))
    sizes, before = 0, 3
    for after in (64, 128, 256, 512):
        sizes += 4 * 4 * before * after + after
        before = after
    assert sum(p.numel() for p in critic.parameters()) == sizes + 4 * 4 * 512 + 1
    assert not [m for m in critic.modules() if 'Norm' in type(m).__name__]


def test_scores_are_means_of_maps_of_plain_convolutions(perturb):
    critic = perturb(WassersteinCritic((4, 8)))
    images = 2 * torch.rand(3, 3, 32, 40) - 1
    first, second, last = (m for m in critic.modules() if isinstance(m, nn.Conv2d))
    expected = []
    for image in images:  # one by one: nothing may mix the images of a batch
        x = image
        for conv in (first, second):
            x = torch.conv2d(x[None], conv.weight, conv.bias, stride=2, padding=1)[0]
            x = torch.maximum(x, 0.2 * x)
        x = torch.conv2d(x[None], last.weight, last.bias, padding=1)[0]
        assert x.shape == (1, 7, 9)
        expected.append(x.mean())
    torch.testing.assert_close(critic(images), torch.stack(expected))


def test_smallest_image():
    assert WassersteinCritic()(torch.zeros(1, 3, 32, 32)).shape == (1,)


@pytest.mark.parametrize('channels', [(), 64, (64, 0)])
def test_wrong_channels_are_reported(channels):
    with pytest.raises(ValueError, match='channels='):
        WassersteinCritic(channels)


def test_loss_is_the_mean_score_and_the_critic_s_has_no_weight():
    loss, scores = WassersteinLoss(0.5), torch.tensor([1.0, 2.0, 6.0])
    assert [loss(scores, real).item() for real in (True, False)] == [-1.5, 1.5]
    assert [loss(scores, real, is_disc=True).item() for real in (True, False)] == [-3, 3]


@pytest.mark.parametrize('is_disc', [True, False])
@pytest.mark.parametrize('real', [True, False])
def test_loss_is_mmagic_s(openmmlab, real, is_disc):
    theirs = openmmlab['mmagic'].MODELS.build(
        dict(type='mmagic.GANLoss', gan_type='wgan', loss_weight=0.3)
    )
    scores = torch.randn(5)
    expected = theirs(scores, real, is_disc)
    torch.testing.assert_close(WassersteinLoss(0.3)(scores, real, is_disc), expected)
