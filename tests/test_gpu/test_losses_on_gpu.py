"""Losses and what prepares batches for them, on a GPU against the CPU."""

import copy

import pytest
import torch
from gpu_networks import assert_norm_within, assert_within
from mmengine.structures import BaseDataElement

from dualattn_mm.models import (
    ChromaLoss,
    ColorfulPSNRLoss,
    ColorizationBatchCrop,
    FeatureDistillation,
    RebalancedColorLoss,
    TeacherPerceptualLoss,
    VGG19PerceptualLoss,
)
from dualattn_mm.models.data_preprocessors.colorization_batch_crop import crop_and_resize
from dualattn_mm.utils.color_space import lab_to_rgb, rgb_to_lab

TEACHER = 'lcnet_035'  # the smallest that timm has
pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures('full_precision')]


def rebalanced(folder):
    ab = 60 * torch.randn(2, 2, 16, 16)
    return RebalancedColorLoss().train(), (ab, 40 * torch.randn_like(ab))


def chroma(folder):
    ab = 20 * torch.randn(2, 2, 16, 16)
    return ChromaLoss(), (ab, 20 * torch.randn_like(ab))


def psnr(folder):
    return ColorfulPSNRLoss(), (20 * torch.randn(2, 2, 2, 16, 16)).unbind(0)


def perceptual(folder):
    from torchvision.models import vgg19

    network = vgg19()
    torch.save({k: v for k, v in network.state_dict().items() if 'features' in k}, folder / 'v.pth')
    return VGG19PerceptualLoss(weights=str(folder / 'v.pth')), torch.rand(2, 2, 3, 32, 32).unbind(0)


def teacher_file(folder):
    timm = pytest.importorskip('timm')
    torch.save(timm.create_model(TEACHER).state_dict(), folder / 'teacher.pth')
    return str(folder / 'teacher.pth')


def teacher_perceptual(folder):
    loss = TeacherPerceptualLoss(teacher_file(folder), TEACHER)
    return loss, torch.rand(2, 2, 3, 64, 64).unbind(0)


def distillation(folder):
    loss = FeatureDistillation(teacher_file(folder), (16,), TEACHER).train()
    return Distilled(loss), (torch.randn(2, 16, 6, 6), torch.rand(2, 3, 96, 96))


class Distilled(torch.nn.Module):
    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def forward(self, map_, images):
        return self.loss([map_], self.loss.targets(images))


@pytest.mark.parametrize(
    'make', [rebalanced, chroma, psnr, perceptual, teacher_perceptual, distillation]
)
@pytest.mark.parametrize('dtype', [None, torch.bfloat16], ids=str)
def test_losses_equal_the_cpu_s(make, dtype, device, tmp_path):
    """The perceptual and the rebalanced loss are computed in float32, also under autocast."""
    loss, given = make(tmp_path)
    cpu = torch.device('cpu')
    # A rehearsal compares autocast with float32 on the CPU.
    runs = (copy.deepcopy(loss).to(device), device, dtype is not None), (loss, cpu, False)
    results = []
    for loss, where, halved in runs:
        first, *others = (x.to(where, copy=True) for x in given)
        first.requires_grad_()
        with torch.autocast(where.type, dtype, enabled=halved):
            value = loss(first, *others)
        value.backward()
        buffers = {k: v for k, v in loss.named_buffers() if v.is_floating_point()}
        results.append({'loss': value.detach(), 'gradient': first.grad, **buffers})
    found, expected = results
    expected = {k: v.double() for k, v in expected.items()}
    if make is perceptual:
        # The gradient of L1 is a sign, which a rounding error can flip where two maps are equal.
        gradients = [dict(gradient=result.pop('gradient')) for result in (found, expected)]
        assert_norm_within(*gradients, 5e-3)
    tolerance = 5e-2 if dtype is not None and make is distillation else 1e-4
    assert_within(found, expected, tolerance)


def test_crops_equal_the_cpu_s(device):
    images = torch.rand(3, 3, 40, 40)
    boxes = tuple(torch.tensor(v) for v in ([0.0, 3, 9], [1.0, 0, 4], [40.0, 20, 7], [30.0, 40, 9]))
    flips = torch.tensor([True, False, True])
    expected = crop_and_resize(images.double(), tuple(b.double() for b in boxes), flips, 16)
    there = tuple(box.to(device) for box in boxes)
    found = crop_and_resize(images.to(device), there, flips.to(device), 16)
    assert_within(dict(crops=found), dict(crops=expected), 1e-4)


def test_batches_are_cropped_where_the_model_is(device):
    crop = ColorizationBatchCrop(size=24).to(device)
    photos = [torch.full((3, 40, 40), 51 * i, dtype=torch.uint8) for i in range(4)]
    samples = [BaseDataElement(gt_img=photo) for photo in photos]
    batch = crop(dict(inputs=photos, data_samples=samples), training=True)
    assert batch['inputs'].device.type == batch['data_samples'][0].gt_img.device.type == device.type
    expected = torch.arange(4).view(4, 1, 1, 1).expand(4, 3, 24, 24) / 5
    torch.testing.assert_close(batch['inputs'].cpu(), expected)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_colors_are_converted_in_float32_under_autocast(device, dtype):
    rgb = torch.rand(2, 3, 20, 20)
    expected = rgb_to_lab(rgb.double())
    with torch.autocast(device.type, dtype):
        lab = rgb_to_lab(rgb.to(device))
        back = lab_to_rgb(lab)
    assert lab.dtype == back.dtype == torch.float32
    torch.testing.assert_close(lab.cpu(), expected.float(), rtol=0, atol=1e-3)
    torch.testing.assert_close(back.cpu(), rgb, rtol=0, atol=1e-4)
