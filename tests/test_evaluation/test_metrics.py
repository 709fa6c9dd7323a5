"""The figures of a data set against scikit-image and against figures worked out by hand."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import METRICS
from skimage import data
from skimage.color import lab2rgb, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from dualattn_mm import evaluation
from dualattn_mm.utils.configs_dir import configs_dir
from dualattn_mm.utils.errors import UserError


def photos():
    """Two photos of different sizes, and worse ones, as uint8."""
    rng = np.random.default_rng(0)
    truths = [data.astronaut()[:60, 100:180], data.chelsea()[100:140, 120:170]]
    noisy = [t + rng.normal(0, 20, t.shape) for t in truths]
    return truths, [n.round().clip(0, 255).astype(np.uint8) for n in noisy]


def tensor(image):
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)


def figures(name, predictions, truths, **kwargs):
    metric = METRICS.build(dict(type=name, **kwargs))
    for prediction, truth in zip(predictions, truths, strict=True):
        metric.process(None, [dict(pred_img=tensor(prediction), gt_img=tensor(truth))])
    return metric.evaluate(len(truths))


def test_psnr():
    truths, predictions = photos()
    pairs = zip(truths, predictions, strict=True)
    expected = np.mean([peak_signal_noise_ratio(*pair) for pair in pairs])
    value = figures('ColorizationPSNR', predictions, truths)
    assert value == dict(PSNR=pytest.approx(expected, abs=1e-3))


def test_psnr_over_gray():
    truths, predictions = photos()
    gains = []
    for truth, prediction in zip(truths, predictions, strict=True):
        lab = rgb2lab(truth)
        lab[..., 1:] = 0
        gray = (255 * lab2rgb(lab)).round().astype(np.uint8)
        gains.append(
            peak_signal_noise_ratio(truth, prediction) - peak_signal_noise_ratio(truth, gray)
        )
    value = figures('ColorizationPSNROverGray', predictions, truths)
    assert value == dict(PSNR_over_gray=pytest.approx(np.mean(gains), abs=0.01))
    assert abs(np.mean(gains)) > 0.5
    # A gray original does not count, whatever its prediction looks like.
    shape = truths[0].shape
    grays, tinted = np.full(shape, 90, np.uint8), np.full(shape, (95, 90, 85), np.uint8)
    more = figures('ColorizationPSNROverGray', [*predictions, tinted], [*truths, grays])
    assert more == value
    assert np.isnan(figures('ColorizationPSNROverGray', [tinted], [grays])['PSNR_over_gray'])


def test_ssim():
    truths, predictions = photos()
    how = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=2)
    pairs = zip(truths, predictions, strict=True)
    expected = np.mean([structural_similarity(*pair, **how) for pair in pairs])
    assert 0.2 < expected < 0.9
    value = figures('ColorizationSSIM', predictions, truths)
    assert value == dict(SSIM=pytest.approx(expected, abs=1e-4))


def test_ab_error():
    truths, predictions = photos()
    pairs = zip(truths, predictions, strict=True)
    expected = np.mean([np.abs(rgb2lab(t) - rgb2lab(p))[..., 1:].mean() for t, p in pairs])
    value = figures('ColorizationABError', predictions, truths)
    assert value == dict(ab_error=pytest.approx(expected, abs=1e-3))


def chroma(image):
    return np.hypot(*rgb2lab(image)[..., 1:].transpose(2, 0, 1))


def test_tinge_and_dull_on_photos():
    """Shares over the pixels of all images together, worked out with scikit-image."""
    truths = [data.astronaut()[:60, 100:180], data.coffee()[100:300:2, 120:300:2]]
    predictions = [truths[0][:, ::-1].copy(), np.roll(truths[1], 30, axis=0)]
    pairs = [
        (chroma(p).ravel(), chroma(t).ravel()) for p, t in zip(predictions, truths, strict=True)
    ]
    predicted, true = (np.concatenate(values) for values in zip(*pairs, strict=True))
    for name, share in (
        ('tinge', (predicted[true < 6] > 12).mean()),
        ('dull', (predicted[true > 25] < 8).mean()),
    ):
        assert 0.02 < share < 0.95
        value = figures(f'Colorization{name.title()}', predictions, truths)
        assert value == {name: pytest.approx(share, abs=2e-3)}


def test_tinge_and_dull_of_the_truth_are_zero():
    truths, _ = photos()
    for name in ('tinge', 'dull'):
        assert figures(f'Colorization{name.title()}', truths, truths)[name] == 0


NAMES = [
    m['type'] for m in Config.fromfile(configs_dir() / '_base_' / 'color_test.py').test_evaluator
]


@pytest.mark.parametrize('name', NAMES)
def test_metrics_use_the_values_of_a_png_file(name):
    truths, predictions = photos()
    wild = [p + np.random.default_rng(1).uniform(-0.49, 0.49, p.shape) for p in predictions]
    pairs = zip(predictions, wild, strict=True)
    wild = [np.where(p == 255, 300.0, np.where(p == 0, -9.0, w)) for p, w in pairs]
    assert figures(name, wild, truths) == figures(name, predictions, truths)


def test_equal_images_do_not_make_the_mean_infinite():
    truths, predictions = photos()
    value = figures('ColorizationPSNR', [truths[0], predictions[1]], truths)['PSNR']
    assert value == pytest.approx((100 + peak_signal_noise_ratio(truths[1], predictions[1])) / 2)
    one_off = truths[0].copy()
    one_off[0, 0, 0] += 1
    assert figures('ColorizationPSNR', [one_off], truths[:1])['PSNR'] < 100


# Per column: signed, and with absolute differences. The second image is gray but for a trace.
STRIPES = np.array([[(100, 0, 50), (0, 100, 50)]], np.uint8)  # 100 | mean 100 alone: 30
TRACE = np.full((1, 2, 3), (11, 10, 10), np.uint8)  # 0.3 * hypot(1, 0.5), both ways
FLAT = np.full((1, 2, 3), (200, 100, 50), np.uint8)  # 0.3 * hypot(100, 100), both ways


@pytest.mark.parametrize(
    ('variant', 'expected'),
    [
        ('signed', (100 + 0.3 * 1.25**0.5) / 2),
        ('absolute', (30 + 0.3 * 1.25**0.5) / 2),
        ('colorformer', 30),
    ],
)
def test_cf_and_its_variants(variant, expected):
    value = figures('ColorizationCF', [STRIPES, TRACE], [FLAT, FLAT], variant=variant)
    truth = 30 * 2**0.5
    assert value['CF'] == pytest.approx(expected)
    assert value['CF_truth'] == pytest.approx(truth)
    assert value['Delta_CF'] == pytest.approx(abs(expected - truth))


def test_delta_cf_is_that_of_the_means():
    # Each image differs from its truth, the data sets do not.
    value = figures('ColorizationCF', [STRIPES, FLAT], [FLAT, STRIPES])
    assert value['Delta_CF'] == pytest.approx(0)


def test_gray_predictions_have_no_colorformer_color():
    gray = np.full((2, 2, 3), 90, np.uint8)
    assert figures('ColorizationCF', [gray], [FLAT[:, :1].repeat(2, 0).repeat(2, 1)])['CF'] == 0
    assert evaluation.mean_colorfulness([0.0, 0.5], 'colorformer') == 0


def test_twice_the_same_metric_by_prefix():
    value = figures('ColorizationCF', [FLAT], [FLAT], variant='absolute', prefix='peers')
    assert set(value) == {'peers/CF', 'peers/CF_truth', 'peers/Delta_CF'}


def test_other_variants_are_refused():
    with pytest.raises(ValueError, match="variant='both'"):
        evaluation.ColorizationCF('both')
    with pytest.raises(ValueError, match="variant='both'"):
        evaluation.colorfulness(FLAT, 'both')
    with pytest.raises(ValueError, match='no image'):
        evaluation.mean_colorfulness([])


def test_images_that_cannot_be_compared():
    truths, predictions = photos()
    with pytest.raises(UserError, match=r'\(3, 40, 50\) and \(3, 60, 80\)'):
        figures('ColorizationPSNR', predictions[1:], truths[:1])
    with pytest.raises(UserError, match='contains NaN'):
        figures('ColorizationPSNR', [np.full((9, 9, 3), np.nan)], [np.zeros((9, 9, 3), np.uint8)])
    with pytest.raises(UserError, match='at least 11 pixels per side, got 1x2'):
        figures('ColorizationSSIM', [FLAT], [FLAT])
