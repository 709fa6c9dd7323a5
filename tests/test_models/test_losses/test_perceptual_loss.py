"""The perceptual loss against torchvision's complete VGG19, run layer by layer."""

import copy
import re

import pytest
import torch
from torch import nn
from torchvision.models import vgg19

from dualattn_mm.models.losses.perceptual_loss import VGG19PerceptualLoss

# VGG19's convolutions per block, and the factor of each block's first (the paper, Sec. III-D).
BLOCKS = ((2, 1 / 16), (2, 1 / 8), (4, 1 / 4), (4, 1 / 2), (4, 1.0))


@pytest.fixture(scope='module')
def features():
    with torch.device('meta'):
        features = vgg19().features
    generator = torch.Generator().manual_seed(0)
    state = {}
    for key, value in features.state_dict().items():
        scale = (2 / value[0].numel()) ** 0.5 if value.dim() == 4 else 0.1
        state[key] = scale * torch.randn(value.shape, generator=generator)
    features.load_state_dict(state, assign=True)
    return features.eval()


@pytest.fixture(scope='module')
def file(features, tmp_path_factory):
    path = tmp_path_factory.mktemp('vgg') / 'vgg19.pth'
    # As of torchvision's whole network: the classifier is not for us.
    state = {f'features.{k}': v for k, v in features.state_dict().items()}
    torch.save({**state, 'classifier.0.bias': torch.zeros(4)}, path)
    return path


def naive(features, images, targets):
    """The sum of the definition; features of both images, before ReLU, block by block."""
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    x, y = ((z - mean) / std for z in (images, targets))
    convolutions = iter([m for m in features if isinstance(m, nn.Conv2d)])
    total = 0.0
    for block, (count, weight) in enumerate(BLOCKS):
        if block:
            x, y = (torch.max_pool2d(z, 2) for z in (x, y))
        for place in range(count):
            conv = next(convolutions)
            x, y = (torch.conv2d(z, conv.weight, conv.bias, padding=1) for z in (x, y))
            if place == 0:
                total = total + weight * (x - y).abs().mean()
            x, y = x.clamp(min=0), y.clamp(min=0)
    return total


def test_loss_and_gradient_are_those_of_the_definition(features, file):
    images, targets = torch.rand(2, 2, 3, 32, 36)
    ours = images.clone().requires_grad_()
    theirs = images.double().requires_grad_()
    loss = VGG19PerceptualLoss(loss_weight=5.0, weights=str(file))(ours, targets)
    expected = 5.0 * naive(copy.deepcopy(features).double(), theirs, targets.double())
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=0)
    loss.backward()
    expected.backward()
    # By its norm, because the gradient of L1 is a sign, which a rounding error can flip.
    assert (ours.grad - theirs.grad).norm() < 5e-3 * theirs.grad.norm()


def test_equal_images_have_no_loss(file):
    images = torch.rand(1, 3, 16, 16)
    assert VGG19PerceptualLoss(weights=str(file))(images, images) == 0


def test_float32_under_autocast(file):
    images, targets = torch.rand(2, 1, 3, 32, 32)
    loss = VGG19PerceptualLoss(weights=str(file))
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(loss(images, targets), loss(images, targets))
        half = loss(images, targets)
    assert half.dtype == torch.float32
    assert torch.equal(half, loss(images, targets))


def test_vgg_is_no_part_of_the_model(file):
    loss = VGG19PerceptualLoss(weights=str(file))
    images = torch.rand(1, 3, 16, 16, requires_grad=True)
    loss(images, torch.rand(1, 3, 16, 16)).backward()
    assert not loss.state_dict()
    assert not list(loss.parameters())
    assert all(not p.requires_grad and p.grad is None for p in loss._vgg[0].parameters())


def test_weights_are_wanted_for_training_alone(tmp_path):
    loss = VGG19PerceptualLoss(weights=str(tmp_path / 'absent.pth'))  # as testing builds it
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / 'absent.pth'))) as info:
        loss.init_weights()
    assert '\n' not in str(info.value)


@pytest.mark.usefixtures('offline')
def test_failed_download_is_reported_with_the_remedy():
    with pytest.raises(FileNotFoundError, match=r'https://.*vgg19.*\.pth') as info:
        VGG19PerceptualLoss().init_weights()
    for words in ('no route', 'weights', 'perceptual=None'):
        assert words in str(info.value)
    assert '\n' not in str(info.value)


@pytest.mark.parametrize(
    'content',
    [b'', b'no pickle', {'features.0.weight': torch.zeros(64, 3, 3, 3)}, [1]],
    ids=['empty', 'text', 'incomplete', 'list'],
)
def test_a_wrong_file_is_reported_in_one_line(tmp_path, content):
    path = tmp_path / 'wrong.pth'
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(ValueError, match=re.escape(str(path))) as info:
        VGG19PerceptualLoss(weights=str(path)).init_weights()
    assert '\n' not in str(info.value)


def test_pickled_code_is_not_executed(tmp_path):
    trace, path = tmp_path / 'executed', tmp_path / 'evil.pth'

    class Evil:
        def __reduce__(self):
            return open, (str(trace), 'w')

    torch.save(Evil(), path)
    with pytest.raises(ValueError, match=r'evil\.pth'):
        VGG19PerceptualLoss(weights=str(path)).init_weights()
    assert not trace.exists()


def test_a_negative_weight_is_reported():
    with pytest.raises(ValueError, match='loss_weight=-1'):
        VGG19PerceptualLoss(loss_weight=-1)
