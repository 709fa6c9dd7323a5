"""FID and LPIPS: against closed forms, with weights from a file, and without any."""

import re
import sys
from pathlib import Path

import lpips
import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import nn
from torch_fidelity import feature_extractor_inceptionv3 as inception
from torchvision.models import alexnet

from dualattn_mm.evaluation import ColorizationFID, ColorizationLPIPS, ColorizationPSNR
from dualattn_mm.utils.errors import UserError


def images(count, seed, size=2, low=0, high=256):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(low, high, (count, 3, size, size), dtype=np.uint8))


def evaluated(metric, predictions, truths):
    for start in range(0, len(truths), 7):  # batches
        part = slice(start, start + 7)
        pairs = zip(predictions[part], truths[part], strict=True)
        metric.process(None, [dict(pred_img=p, gt_img=t) for p, t in pairs])
    return metric.evaluate(len(truths))


# ---- FID ----


def test_fid_of_equal_sets_is_zero():
    truths = images(40, 0)
    shuffled = truths[torch.randperm(40)]
    value = evaluated(ColorizationFID(network=nn.Flatten()), shuffled, truths)
    assert value == dict(FID=pytest.approx(0, abs=1e-3))


def test_fid_is_the_distance_of_two_gaussians():
    predictions, truths = images(40, 0, low=20, high=200), images(40, 1)
    x, y = (i.flatten(1).double().numpy() for i in (predictions, truths))
    (c, d) = (np.cov(i, rowvar=False) for i in (x, y))
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(c + d - 2 * sqrtm(c @ d).real)
    metric = ColorizationFID(network=dict(type='torch.nn.Flatten'))
    assert evaluated(metric, predictions, truths)['FID'] == pytest.approx(expected, rel=1e-6)


def test_fid_takes_images_of_several_sizes():
    class Means(nn.Module):
        def forward(self, images):
            return images.double().mean((2, 3))

    truths = [*images(3, 0), *images(3, 1, size=4)]
    assert evaluated(ColorizationFID(network=Means()), truths, truths)['FID'] < 1e-3


def test_fid_needs_two_images():
    one = images(1, 0)
    with pytest.raises(UserError, match='at least two images'):
        evaluated(ColorizationFID(network=nn.Flatten()), one, one)


def test_fid_of_inception_from_a_file(tmp_path, monkeypatch):
    """Random weights: the published ones are not at hand."""
    with monkeypatch.context() as patch:
        patch.setattr(inception, 'load_state_dict_from_url', lambda *_, **__: {})
        patch.setattr(nn.Module, 'load_state_dict', lambda *_, **__: None)
        network = inception.FeatureExtractorInceptionV3('inception-v3-compat', ['2048'])
    path = tmp_path / 'inception.pth'
    torch.save(network.state_dict(), path)
    metric = ColorizationFID(weights=str(path))
    batch = images(2, 0, size=8)
    assert torch.equal(metric.network(batch), network(batch)[0])
    assert metric.network(batch).shape == (2, 2048)


# ---- LPIPS ----


@pytest.fixture(scope='module')
def trunk():
    torch.manual_seed(1)
    return alexnet().features.eval()


@pytest.fixture
def alexnet_file(trunk, tmp_path):
    path = tmp_path / 'alexnet.pth'
    state = {f'features.{k}': v for k, v in trunk.state_dict().items()}
    torch.save({**state, 'classifier.1.bias': torch.zeros(3)}, path)
    return str(path)


def naive_lpips(trunk, one, other):
    """The sum of the paper's eq. 1, over torchvision's layers."""
    file = Path(lpips.__file__).parent / 'weights' / 'v0.1' / 'alex.pth'
    factors = torch.load(file, map_location='cpu', weights_only=True)
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1)
    x, y = (((i / 127.5 - 1) - shift) / scale for i in (one[None], other[None]))
    total, found = 0.0, 0
    with torch.no_grad():
        for layer in trunk:
            x, y = layer(x), layer(y)
            if isinstance(layer, nn.ReLU):
                a, b = (i / i.square().sum(1, keepdim=True).sqrt() for i in (x, y))
                factor = factors[f'lin{found}.model.1.weight'].view(1, -1, 1, 1)
                total += ((a - b).square() * factor).sum(1).mean().item()
                found += 1
    assert found == 5
    return total


def test_lpips_is_that_of_the_definition(trunk, alexnet_file):
    predictions, truths = images(2, 0, size=70), images(2, 1, size=70)
    pairs = zip(predictions, truths, strict=True)
    expected = np.mean([naive_lpips(trunk, *pair) for pair in pairs])
    value = evaluated(ColorizationLPIPS(alexnet_file), predictions, truths)
    assert value == dict(LPIPS=pytest.approx(expected, rel=1e-4))
    assert evaluated(ColorizationLPIPS(alexnet_file), truths, truths) == dict(LPIPS=0)


def test_lpips_of_images_that_are_too_small(alexnet_file):
    metric = ColorizationLPIPS(alexnet_file)
    smallest = images(1, 0, size=31)
    assert evaluated(metric, smallest, smallest) == dict(LPIPS=0)
    small = images(1, 0, size=30)
    with pytest.raises(UserError, match='at least 31 pixels per side, got 30x30'):
        evaluated(metric, small, small)


# ---- weights and libraries that are not there ----


METRICS = {
    ColorizationFID: 'weights-inception-2015-12-05-6726825d.pth',
    ColorizationLPIPS: 'alexnet-owt-7be5be79.pth',
}


@pytest.mark.parametrize('metric', METRICS)
def test_failed_download_error_names_the_url_and_the_option(metric, offline):
    with pytest.raises(UserError, match='no route') as error:
        metric()
    line = str(error.value)
    assert '\n' not in line
    assert re.search(rf'download https://\S+/{re.escape(METRICS[metric])} elsewhere', line)
    assert f'weights=FILE of {metric.__name__}' in line


def test_a_file_in_torch_s_cache_is_taken(offline, alexnet_file):
    offline.mkdir(parents=True)
    Path(alexnet_file).rename(offline / METRICS[ColorizationLPIPS])
    ColorizationLPIPS()


@pytest.mark.parametrize('metric', METRICS)
@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (None, 'x.pth does not exist: (FID|LPIPS) needs the weights of'),
        (b'nonsense', 'the weights of .* cannot be used: cannot load .*x.pth'),
        ({'features.0.bias': torch.zeros(1)}, 'x.pth does not contain the weights of'),
    ],
)
def test_files_that_hold_no_such_weights(metric, tmp_path, content, message):
    path = tmp_path / 'x.pth'
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        torch.save(content, path)
    with pytest.raises((UserError, FileNotFoundError), match=message) as error:
        metric(str(path))
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    ('name', 'make'),
    [
        ('torchmetrics.functional.image', ColorizationPSNR),
        ('torchmetrics.image.fid', ColorizationFID),
        ('lpips', ColorizationLPIPS),
    ],
)
def test_a_missing_library_is_reported_in_one_line(monkeypatch, name, make):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r'pip install .dualattn_mm\[evaluation\].') as error:
        make()
    assert name.split('.')[0] in str(error.value)
