"""The loss on the chroma of neutral and vivid pixels against loops over its definition."""

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from skimage.color import rgb2lab
from tiny import GENERATOR

from dualattn_mm.models import ChromaLoss

LIMITS = dict(neutral=5.0, most=3.0, vivid=30.0, least=((10.0, 1.0), (24.0, 0.5)))


@pytest.fixture
def images():
    """Predictions and true colors, from neutral to vivid: (2, 2, 5, 7) each."""
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 30, (2, 2, 5, 7))
    truth[:, :, :2] /= 20
    guess = truth + rng.normal(0, 20, truth.shape)
    return guess, truth


def terms(guess, truth):
    """Both terms, by pixels in numpy."""
    tinge = dull = 0.0
    neutral = vivid = 0
    for i, y, x in np.ndindex(2, 5, 7):
        chroma, true_chroma = np.hypot(*guess[i, :, y, x]), np.hypot(*truth[i, :, y, x])
        if true_chroma < 5:
            neutral += 1
            tinge += max(0, chroma - 3)
        if true_chroma > 30:
            vivid += 1
            along = guess[i, :, y, x] @ truth[i, :, y, x] / true_chroma
            dull += max(0, 10 - along) + 0.5 * max(0, 24 - along)
    assert 15 < neutral < 50
    assert 15 < vivid < 50
    return tinge / 70, dull / 70


def tensors(images):
    return [torch.from_numpy(x).float() for x in images]


def test_both_terms(images):
    tinge, dull = terms(*images)
    for weights in ((1.5, 0.0), (0.0, 0.7), (2.0, 3.0)):
        loss = ChromaLoss(0.5, *weights, **LIMITS)(*tensors(images))
        want = 0.5 * (weights[0] * tinge + weights[1] * dull)
        assert float(loss) == pytest.approx(want, rel=1e-5)


def test_nothing_is_lost_within_the_limits():
    truth = torch.tensor([[3.0, 4.0], [12.0, 5.0], [30.0, 40.0]]).T.view(1, 2, 1, 3)  # 5, 13, 50
    guess = torch.tensor([[0.0, -8.0], [-99.0, 0.0], [12.0, 16.0]]).T.view(1, 2, 1, 3)  # 8, 99, 20
    assert float(ChromaLoss()(guess, truth)) == 0
    assert float(ChromaLoss()(1.01 * guess, truth)) > 0  # the neutral pixel
    assert float(ChromaLoss()(0.99 * guess, truth)) > 0  # the vivid one


def test_gray_predictions_get_the_true_hue():
    truth = torch.tensor([30.0, -40.0]).view(1, 2, 1, 1)
    ab = torch.zeros(1, 2, 1, 1, requires_grad=True)
    ChromaLoss()(ab, truth).backward()
    torch.testing.assert_close(ab.grad.flatten(), -1.6 * torch.tensor([0.6, -0.8]))
    ab.grad = None
    ChromaLoss()(ab, torch.zeros_like(truth)).backward()
    assert torch.equal(ab.grad, torch.zeros_like(ab))


def test_half_precision():
    ab = torch.full((1, 2, 4, 4), -200.0).half().requires_grad_()
    loss = ChromaLoss()(ab, torch.full((1, 2, 4, 4), 120.0).half())
    assert loss.dtype == torch.float32
    loss.backward()
    assert torch.isfinite(ab.grad).all()
    assert (ab.grad < 0).all()


@pytest.mark.parametrize(
    'arguments',
    [
        dict(loss_weight=-1),
        dict(neutral_weight=-1),
        dict(vivid_weight=-1),
        dict(neutral=0),
        dict(most=-1),
        dict(vivid=3.0),
        dict(least=[(11.0, -1.0)]),
        dict(least=[(11.0,)]),
        dict(least=[11.0, 1.0]),
    ],
)
def test_wrong_arguments(arguments):
    [name] = arguments
    with pytest.raises(ValueError, match=name):
        ChromaLoss(**arguments)


def test_in_the_colorizer():
    torch.manual_seed(0)
    cfg = dict(type='Colorizer', generator=GENERATOR, chroma=dict(type='ChromaLoss', **LIMITS))
    model = MODELS.build(cfg).eval()
    images = torch.rand(2, 3, 32, 32)
    losses = model(images, mode='loss')
    lab = torch.from_numpy(rgb2lab(images.permute(0, 2, 3, 1))).permute(0, 3, 1, 2).float()
    want = ChromaLoss(**LIMITS)(model.generator(lab[:, :1]), lab[:, 1:])
    torch.testing.assert_close(losses['loss_chroma'], want, rtol=1e-3, atol=1e-5)
    assert want.item() > 0.1
