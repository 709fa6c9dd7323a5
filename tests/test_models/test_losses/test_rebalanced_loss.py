"""The rebalanced loss against loops over its definition."""

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from skimage.color import rgb2lab
from tiny import GENERATOR

from dualattn_mm.models import RebalancedColorLoss


def huber(difference, delta):
    size = abs(difference)
    return size**2 / 2 if size <= delta else delta * (size - delta / 2)


def cell_of(a, b):
    return int((a + 130) // 10), int((b + 130) // 10)


def expected(ab, true_ab, frequency, delta, uniform):
    """The loss by pixels in numpy, with weights of eq. 4 in arXiv:1603.08511, 1 on average."""
    colors = len(frequency)
    weights = {cell: 1 / ((1 - uniform) * p + uniform / colors) for cell, p in frequency.items()}
    mean = sum(weights[cell] * p for cell, p in frequency.items())
    total, count = 0.0, 0
    for guess, truth in zip(ab, true_ab, strict=True):
        for y, x in np.ndindex(guess.shape[1:]):
            weight = weights[cell_of(*truth[:, y, x])] / mean
            for channel in range(2):
                total += weight * huber(guess[channel, y, x] - truth[channel, y, x], delta)
                count += 1
    return total / count / delta


@pytest.fixture
def gamut():
    """The cells with a color of sRGB, each as frequent as the others: where training begins."""
    levels = np.linspace(0, 1, 52)
    grid = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 1, 3)
    cells = {cell_of(*ab) for ab in rgb2lab(grid)[:, 0, 1:]}
    return {cell: 1 / len(cells) for cell in cells}


@pytest.fixture
def images():
    """Predictions, and colors that sRGB has: (2, 2, 5, 7) each."""
    rng = np.random.default_rng(0)
    true_ab = rgb2lab(rng.random((2, 5, 7, 3)))[..., 1:].transpose(0, 3, 1, 2)
    return rng.normal(0, 40, true_ab.shape), true_ab


def tensors(images):
    return [torch.from_numpy(x).float() for x in images]


def test_all_colors_have_equal_weights_at_the_start(images, gamut):
    loss = RebalancedColorLoss(delta=10).eval()(*tensors(images))
    assert float(loss) == pytest.approx(expected(*images, gamut, 10, 0.5), rel=1e-5)
    plain = np.mean([huber(d, 10) / 10 for d in (images[0] - images[1]).flat])
    assert float(loss) == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize('uniform', [0.3, 1.0])
@pytest.mark.parametrize('delta', [5.0, 1e3])
def test_frequencies_follow_the_training_colors(images, gamut, uniform, delta):
    loss = RebalancedColorLoss(2.0, delta, uniform, momentum=0.25)
    frequency = gamut
    for _ in range(3):
        counts = dict.fromkeys(frequency, 0)
        for truth in images[1]:
            for y, x in np.ndindex(truth.shape[1:]):
                counts[cell_of(*truth[:, y, x])] += 1 / 70
        frequency = {cell: 0.75 * p + 0.25 * counts[cell] for cell, p in frequency.items()}
        value = float(loss(*tensors(images)))
        want = 2 * expected(*images, frequency, delta, uniform)
        assert value == pytest.approx(want, rel=1e-4)
    before = loss.frequency.clone()
    assert float(loss.eval()(*tensors(images))) == pytest.approx(want, rel=1e-4)
    assert torch.equal(loss.frequency, before)
    assert list(loss.state_dict()) == ['frequency']  # so that training resumes as it was


def test_a_rare_color_counts_more():
    truth = torch.zeros(1, 2, 10, 10)
    truth[0, :, 0, 0] = 60
    loss = RebalancedColorLoss(uniform=0.5, momentum=1.0)
    wrong = {}
    for place in (0, 5):
        guess = truth.clone()
        shift = torch.zeros_like(truth)
        shift[0, 0, place, place] = 5
        wrong[place] = float(loss(guess + shift, truth))
    assert wrong[0] > 10 * wrong[5]


def test_gradients_in_half_precision_and_of_colors_outside_of_srgb():
    ab = torch.full((1, 2, 4, 4), 200.0).half().requires_grad_()
    truth = torch.full((1, 2, 4, 4), 120.0)
    loss = RebalancedColorLoss(delta=25.0)(ab, truth)
    assert loss.dtype == torch.float32
    loss.backward()
    assert torch.isfinite(ab.grad).all()
    assert (ab.grad > 0).all()


@pytest.mark.parametrize(
    'arguments',
    [
        dict(loss_weight=-1),
        dict(delta=0),
        dict(uniform=0),
        dict(uniform=1.1),
        dict(momentum=0),
        dict(momentum=2),
    ],
)
def test_wrong_arguments(arguments):
    [name] = arguments
    with pytest.raises(ValueError, match=name):
        RebalancedColorLoss(**arguments)


def test_in_the_colorizer():
    torch.manual_seed(0)
    cfg = dict(
        type='Colorizer',
        generator=GENERATOR,
        l1_weight=0.0,
        color=dict(type='RebalancedColorLoss', loss_weight=3.0),
    )
    model = MODELS.build(cfg).eval()
    images = torch.rand(2, 3, 32, 32)
    losses = model(images, mode='loss')
    assert float(losses['loss_l1']) == 0
    lab = torch.from_numpy(rgb2lab(images.permute(0, 2, 3, 1))).permute(0, 3, 1, 2).float()
    ab = model.generator(lab[:, :1])
    want = RebalancedColorLoss().eval()(ab, lab[:, 1:]) * 3
    torch.testing.assert_close(losses['loss_color'], want, rtol=1e-4, atol=0)
