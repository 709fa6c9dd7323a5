"""Distillation, against timm's network and a loop over the definition."""

import copy
import math
import re
import sys

import pytest
import timm
import torch
import torch.nn.functional as F
from tiny import GENERATOR
from torch import nn

from dualattn_mm import Colorizer
from dualattn_mm.models import FeatureDistillation
from dualattn_mm.utils.errors import UserError

TEACHER = 'lcnet_035'  # the smallest that timm has


@pytest.fixture(scope='module')
def teacher():
    torch.manual_seed(0)
    return timm.create_model(TEACHER).eval()


@pytest.fixture(scope='module')
def file(teacher, tmp_path_factory):
    path = tmp_path_factory.mktemp('teacher') / 'teacher.pth'
    torch.save(teacher.state_dict(), path)
    return str(path)


def distillation(file, **kwargs):
    return FeatureDistillation(file, **{'in_channels': (16, 16), 'teacher': TEACHER, **kwargs})


def test_targets_are_the_standardised_last_map(teacher, file):
    images = torch.rand(3, 3, 64, 96)
    mean, std = (torch.tensor(teacher.default_cfg[k]).view(3, 1, 1) for k in ('mean', 'std'))
    with torch.no_grad():
        seen = teacher.forward_features((images - mean) / std)
    pixels = seen.transpose(0, 1).flatten(1)
    expected = (seen - pixels.mean(1).view(-1, 1, 1)) / (
        pixels.var(1, correction=0) + 1e-5
    ).sqrt().view(-1, 1, 1)
    torch.testing.assert_close(distillation(file).targets(images), expected, rtol=1e-3, atol=1e-4)


def test_loss_is_one_less_the_mean_cosine(file):
    learner = distillation(file, loss_weight=3.0)
    maps = [torch.randn(2, 16, 8, 6), torch.randn(2, 16, 4, 6), torch.randn(2, 16, 2, 3)]
    targets = torch.randn(2, learner.standardize.num_features, 4, 3)
    # The first map has no projection; the second's columns are averaged in pairs, and the rows
    # and nothing else of the targets for the third.
    expected = []
    for projection, seen, wanted in (
        (learner.projections[0], maps[1], targets),
        (learner.projections[1], maps[2], targets.unflatten(2, (2, 2)).mean(3)),
    ):
        weight, bias = projection.weight[:, :, 0, 0], projection.bias
        if seen.shape[3] == 6:
            seen = seen.unflatten(3, (3, 2)).mean(4)
        cosines = []
        for i in range(2):
            for y in range(wanted.shape[2]):
                for x in range(3):
                    ours = weight @ seen[i, :, y, x] + bias
                    theirs = wanted[i, :, y, x]
                    cosines.append(float(ours @ theirs / (ours.norm() * theirs.norm())))
        expected.append(1 - sum(cosines) / len(cosines))
    loss = learner(maps, targets)
    assert float(loss) == pytest.approx(3 * sum(expected) / 2, rel=1e-4)


def test_a_share_of_the_batch_is_that_of_a_smaller_batch(file):
    learner = distillation(file, share=0.5)
    whole = distillation(file)
    whole.load_state_dict(learner.state_dict())
    images = torch.rand(5, 3, 64, 64)
    targets = learner.targets(images)
    assert len(targets) == 3
    torch.testing.assert_close(targets, whole.targets(images[:3]))
    maps = [torch.randn(5, 16, 4, 4), torch.randn(5, 16, 2, 2)]
    torch.testing.assert_close(learner(maps, targets), whole([m[:3] for m in maps], targets))


def test_encoder_gets_shrunk_images_and_teacher_full_ones(file):
    torch.manual_seed(0)
    dims = (8, 16, 16)
    arch = dict(embed_dims=dims, depths=(1, 1, 1), stem_channels=4)
    generator = dict(
        GENERATOR,
        encoder=dict(GENERATOR['encoder'], arch=arch, out_indices=(0, 1, 2)),
        neck=dict(type='PixelShuffleNeck', in_channels=dims, out_channels=(16, 16)),
    )
    model = Colorizer(
        generator,
        l1_weight=1.0,
        distillation=dict(
            type='FeatureDistillation',
            weights=file,
            in_channels=(16, 16),
            teacher=TEACHER,
            shrink=2,
        ),
    ).train()
    images = torch.rand(2, 3, 128, 128)
    losses = model(images, mode='loss')
    without = Colorizer(generator, l1_weight=1.0).train()
    without.generator = model.generator
    small = F.interpolate(images, scale_factor=0.5, mode='area')
    assert float(losses['loss_l1']) == pytest.approx(
        float(without(small, mode='loss')['loss_l1']), rel=1e-5
    )
    losses['loss_distillation'].backward()
    copied = copy.deepcopy(model).eval()  # as for an average of the weights, between two steps
    assert copied(images, mode='loss').keys() == losses.keys()
    for name, parameter in model.named_parameters():
        learns = name.startswith(('generator.encoder.', 'distillation.'))
        # Maps before the first one that is projected are of use for it, but not their norms.
        learns &= not re.search(r'encoder\.norm0\.', name)
        has = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
        # What a softmax or a norm cancels has no gradient, or only rounding errors.
        assert has == learns or (learns and ('qkv' in name or 'bias' in name)), name
    # The teacher is neither trained nor stored.
    own = sum(p.numel() for p in model.distillation.parameters())
    assert own == sum(p.numel() for p in model.distillation.projections.parameters())
    assert {k.split('.')[1] for k in model.state_dict() if k.startswith('distillation')} == {
        'projections',
        'standardize',
    }


def test_encoder_learns_the_features_of_the_teacher(file):
    torch.manual_seed(1)
    learner = distillation(file)
    encoder = nn.Conv2d(3, 16, 32, stride=32)
    images = torch.rand(1, 3, 64, 64)
    targets = learner.targets(images)
    optimizer = torch.optim.Adam([*encoder.parameters(), *learner.parameters()], 0.01)
    losses = []
    for _ in range(30):
        maps = encoder(images)
        loss = learner([maps, maps], targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[0] > 0.5
    assert losses[-1] < 0.05


def test_other_names_in_the_same_order_are_taken(teacher, file, tmp_path):
    renamed = {f'theirs_{i}': v for i, v in enumerate(teacher.state_dict().values())}
    torch.save(renamed, tmp_path / 'renamed.pth')
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(
        distillation(str(tmp_path / 'renamed.pth')).targets(images),
        distillation(file).targets(images),
    )


def test_prediction_needs_no_teacher(tmp_path):
    model = Colorizer(
        GENERATOR,
        distillation=dict(
            type='FeatureDistillation',
            weights=str(tmp_path / 'none.pth'),
            in_channels=(16, 16),
            teacher=TEACHER,
        ),
    ).eval()
    assert model(torch.rand(1, 3, 32, 32)).shape == (1, 3, 32, 32)
    with pytest.raises(
        FileNotFoundError, match=r'none\.pth does not exist: the distillation needs the weights'
    ):
        model.init_weights()


@pytest.mark.parametrize('change', ['fewer', 'shape', 'no dict'])
def test_a_wrong_file_is_reported_in_one_line(teacher, tmp_path, change):
    state = dict(teacher.state_dict())
    if change == 'fewer':
        state.pop('classifier.weight')
    elif change == 'shape':
        state['classifier.weight'] = torch.zeros(2, 2)
    torch.save([] if change == 'no dict' else state, tmp_path / 'wrong.pth')
    with pytest.raises(UserError, match=r'weights of lcnet') as error:
        distillation(str(tmp_path / 'wrong.pth')).init_weights()
    assert '\n' not in str(error.value)


def test_bad_arguments_are_reported(file):
    with pytest.raises(ValueError, match='shrink'):
        distillation(file, shrink=0)
    with pytest.raises(ValueError, match='share'):
        distillation(file, share=0)
    with pytest.raises(ValueError, match='in_channels'):
        distillation(file, in_channels=())
    with pytest.raises(ValueError, match='loss_weight'):
        distillation(file, loss_weight=-math.pi)
    with pytest.raises(ValueError, match='critic'):
        Colorizer(
            GENERATOR,
            critic=dict(type='WassersteinCritic'),
            distillation=dict(
                type='FeatureDistillation', weights=file, in_channels=(16, 16), teacher=TEACHER
            ),
        )


def test_missing_timm_is_reported_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm', None)
    with pytest.raises(
        UserError, match=r'needs timm .*: pip install .dualattn_mm\[distillation\].'
    ):
        distillation('teacher.pth')


@pytest.mark.parametrize(
    'name', ['hf_hub:timm/lcnet_035', 'hf-hub:x/y', 'local-dir:/tmp', 'no_such_network', '', None]
)
def test_teacher_that_timm_would_download_is_refused(file, monkeypatch, name):
    def fail(*_, **__):
        raise AssertionError('timm was asked')

    monkeypatch.setattr(timm, 'create_model', fail)
    with pytest.raises(UserError, match='teacher='):
        FeatureDistillation(file, in_channels=(16,), teacher=name)
