"""The loss for the PSNR at a saturation against numpy, image by image."""

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from skimage.color import rgb2lab
from tiny import GENERATOR

from dualattn_mm.models import ColorfulPSNRLoss


@pytest.fixture
def images():
    """Predictions and true colors, each (3, 2, 5, 7), one of them nearly gray."""
    rng = np.random.default_rng(0)
    truth = rng.normal(4, 30, (3, 2, 5, 7))
    truth[1] /= 30
    return 0.5 * truth + rng.normal(3, 8, truth.shape), truth


def expected(guess, truth, saturation, weight, floor):
    logs, colorful = [], []
    for one, true in zip(saturation * guess, truth, strict=True):
        logs.append(np.log(np.mean((one - true) ** 2) + floor))
        spread = np.sqrt(one[0].var() + one[1].var() + 1)
        colorful.append(spread + 0.3 * np.hypot(one[0].mean(), one[1].mean()))
    return np.mean(logs) - weight * np.log(np.mean(colorful))


@pytest.mark.parametrize(('saturation', 'weight', 'floor'), [(1, 0, 6), (1.4, 1, 6), (2, 0.5, 0.1)])
def test_definition(images, saturation, weight, floor):
    loss = ColorfulPSNRLoss(0.7, saturation, weight, floor)(*map(torch.from_numpy, images))
    want = 0.7 * expected(*images, saturation, weight, floor)
    assert float(loss) == pytest.approx(want, rel=1e-5)


def test_a_common_factor_is_the_psnr_in_db():
    """Without the floor, halving every error is worth 6.02 dB."""
    truth = torch.randn(4, 2, 8, 8, dtype=torch.float64) * 20
    error = torch.randn_like(truth)
    loss = ColorfulPSNRLoss(10 / np.log(10), 1, 0, 1e-6)
    gain = loss(truth + error, truth) - loss(truth + error / 2, truth)
    assert float(gain) == pytest.approx(20 * np.log10(2), rel=1e-4)


def test_pale_colors_get_no_advantage(images):
    """With the colorfulness, the best common factor is larger."""
    guess, truth = map(torch.from_numpy, images)
    factors = torch.linspace(0.2, 3, 57)
    best = [
        float(factors[int(torch.stack([loss(f * guess, truth) for f in factors]).argmin())])
        for loss in (ColorfulPSNRLoss(colorfulness_weight=w) for w in (0, 1))
    ]
    assert best[1] > 1.2 * best[0]


@pytest.mark.parametrize('size', [(1, 1), (3, 4)])
def test_gradients_of_gray_predictions_are_finite(size):
    ab = torch.zeros(2, 2, *size).half().requires_grad_()
    loss = ColorfulPSNRLoss()(ab, torch.full((2, 2, *size), 100.0).half())
    assert loss.dtype == torch.float32
    loss.backward()
    assert torch.isfinite(ab.grad).all()
    assert (ab.grad < 0).all()  # towards the true color


@pytest.mark.parametrize(
    'arguments',
    [dict(loss_weight=-1), dict(colorfulness_weight=-1), dict(saturation=0), dict(floor=0)],
)
def test_wrong_arguments(arguments):
    [name] = arguments
    with pytest.raises(ValueError, match=name):
        ColorfulPSNRLoss(**arguments)


def test_in_the_colorizer():
    torch.manual_seed(0)
    cfg = dict(type='Colorizer', generator=GENERATOR, psnr=dict(type='ColorfulPSNRLoss'))
    model = MODELS.build(cfg).eval()
    images = torch.rand(2, 3, 32, 32)
    losses = model(images, mode='loss')
    lab = torch.from_numpy(rgb2lab(images.permute(0, 2, 3, 1))).permute(0, 3, 1, 2).float()
    want = ColorfulPSNRLoss()(model.generator(lab[:, :1]), lab[:, 1:])
    torch.testing.assert_close(losses['loss_psnr'], want, rtol=1e-3, atol=1e-4)
