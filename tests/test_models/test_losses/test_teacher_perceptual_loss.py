"""The perceptual loss with a timm network, against timm's own feature extractor and a loop."""

import math

import pytest
import timm
import torch
from tiny import GENERATOR

from dualattn_mm import Colorizer
from dualattn_mm.models import TeacherPerceptualLoss
from dualattn_mm.utils.errors import UserError

TEACHER = 'lcnet_035'  # the smallest that timm has


@pytest.fixture(scope='module')
def file(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('teacher') / 'teacher.pth'
    torch.save(timm.create_model(TEACHER).state_dict(), path)
    return str(path)


def test_loss_is_one_less_the_mean_cosine_of_each_stage(file):
    images, targets = torch.rand(2, 2, 3, 64, 32).unbind(0)
    extractor = timm.create_model(TEACHER, features_only=True).eval()
    extractor.load_state_dict(torch.load(file, weights_only=True), strict=False)
    mean, std = (
        torch.tensor(extractor.default_cfg[name]).view(3, 1, 1) for name in ('mean', 'std')
    )
    with torch.no_grad():
        pairs = list(zip(*(extractor((x - mean) / std) for x in (images, targets)), strict=True))
    stages = []
    for ours, theirs in pairs:
        _, _, height, width = ours.shape
        cosines = []
        for i in range(2):
            for y in range(height):
                for x in range(width):
                    a, b = ours[i, :, y, x], theirs[i, :, y, x]
                    cosines.append(float(a @ b / (a.norm() * b.norm())))
        stages.append(1 - sum(cosines) / len(cosines))
    assert len(stages) == 5
    loss = TeacherPerceptualLoss(file, TEACHER, loss_weight=3.0)(images, targets)
    assert float(loss) == pytest.approx(3 * sum(stages) / 5, rel=1e-4)


def test_colorizer_learns_from_it_and_does_not_store_it(file):
    perceptual = dict(type='TeacherPerceptualLoss', weights=file, teacher=TEACHER)
    model = Colorizer(GENERATOR, l1_weight=0.0, perceptual=perceptual).train()
    model.init_weights()
    losses = model(torch.rand(2, 3, 32, 32), mode='loss')
    losses['loss_perceptual'].backward()
    assert model.generator.head.to_ab.weight.grad.abs().sum() > 0
    assert not any(name.startswith('perceptual') for name in model.state_dict())


def test_bad_arguments_are_reported(file, tmp_path):
    with pytest.raises(UserError, match='loss_weight'):
        TeacherPerceptualLoss(file, TEACHER, loss_weight=-math.pi)
    with pytest.raises(UserError, match='teacher='):
        TeacherPerceptualLoss(file, 'no_such_network')
    missing = TeacherPerceptualLoss(str(tmp_path / 'none.pth'), TEACHER)
    with pytest.raises(FileNotFoundError, match=r'none\.pth does not exist: the perceptual loss'):
        missing.init_weights()
