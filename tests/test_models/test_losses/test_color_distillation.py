"""Distillation of colors, against a loop over the definition."""

import copy

import pytest
import torch
from mmengine.registry import MODELS
from tiny import GENERATOR

from dualattn_mm import Colorizer
from dualattn_mm.apis.weights import save_generator
from dualattn_mm.models import ColorDistillation
from dualattn_mm.utils.errors import UserError


@pytest.fixture(scope='module')
def networks():
    torch.manual_seed(0)
    return [MODELS.build(dict(GENERATOR)).eval() for _ in range(2)]


@pytest.fixture(scope='module')
def teachers(networks, tmp_path_factory):
    """One teacher of published weights, and one of a checkpoint of a Colorizer."""
    folder = tmp_path_factory.mktemp('teachers')
    save_generator(folder / 'first.safetensors', networks[0], GENERATOR)
    model = Colorizer(GENERATOR)
    model.generator.load_state_dict(networks[1].state_dict())
    torch.save(dict(state_dict=model.state_dict(), meta=dict(iter=1)), folder / 'second.pth')
    return [
        dict(generator=GENERATOR, weights=str(folder / 'first.safetensors')),
        dict(generator=GENERATOR, weights=str(folder / 'second.pth'), share=3.0),
    ]


def test_loss_is_that_to_the_weighted_mean(networks, teachers):
    lightness = 100 * torch.rand(2, 1, 32, 48)
    ab = 40 * torch.randn(2, 2, 32, 48)
    with torch.no_grad():
        first, second = (network(lightness) for network in networks)
    total = 0.0
    for given, one, other in zip(
        ab.flatten().tolist(), first.flatten().tolist(), second.flatten().tolist(), strict=True
    ):
        distance = abs(given - (one + 3 * other) / 4)
        total += distance**2 / 2 if distance < 20 else 20 * (distance - 10)
    loss = ColorDistillation(teachers, loss_weight=2.0, delta=20.0)(ab, lightness)
    assert float(loss) == pytest.approx(2 * total / 20 / ab.numel(), rel=1e-4)


def test_generator_learns_the_colors_of_its_teachers(networks, teachers):
    torch.manual_seed(1)
    model = Colorizer(
        GENERATOR,
        l1_weight=0.0,
        color_distillation=dict(type='ColorDistillation', teachers=teachers[:1]),
    ).train()
    model.generator.load_state_dict(networks[1].state_dict())
    images = torch.rand(1, 3, 32, 32)
    optimizer = torch.optim.Adam(model.parameters(), 0.003)
    losses = []
    for _ in range(60):
        loss, logs = model.parse_losses(model(images, mode='loss'))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(logs['loss_color_distillation'].detach()))
    assert losses[-1] < 0.2 * losses[0]
    # The teachers are neither trained, stored nor copied with the generator.
    assert not [name for name in model.state_dict() if 'distillation' in name]
    assert len(list(model.parameters())) == len(list(networks[0].parameters()))
    assert copy.deepcopy(model)(images, mode='loss').keys() == logs.keys() - {'loss'}


def test_teachers_are_moved_once(teachers, monkeypatch):
    distillation = ColorDistillation(teachers)
    lightness = torch.rand(1, 1, 32, 32, device='meta')
    distillation.targets(lightness)
    monkeypatch.setattr(torch.nn.Module, 'to', None)
    assert distillation.targets(lightness).is_meta


def test_teachers_convolve_in_the_layout_that_is_fast_on_a_gpu(teachers):
    distillation = ColorDistillation(teachers)
    distillation.init_weights()
    for teacher in distillation.teachers:
        maps = [p for p in teacher.read().parameters() if p.dim() == 4]
        assert maps
        assert all(p.is_contiguous(memory_format=torch.channels_last) for p in maps)


def test_prediction_needs_no_teacher_and_training_says_what_is_missing(tmp_path):
    missing = dict(generator=GENERATOR, weights=str(tmp_path / 'none.pth'))
    model = Colorizer(
        GENERATOR, color_distillation=dict(type='ColorDistillation', teachers=[missing])
    ).eval()
    assert model(torch.rand(1, 3, 32, 32)).shape == (1, 3, 32, 32)
    with pytest.raises(
        FileNotFoundError, match=r'none\.pth does not exist: the distillation needs the weights'
    ):
        model.init_weights()


def test_weights_of_another_network_are_reported_in_one_line(teachers, tmp_path):
    torch.save(dict(weight=torch.zeros(2, 2)), tmp_path / 'wrong.pth')
    wrong = dict(teachers[0], weights=str(tmp_path / 'wrong.pth'))
    with pytest.raises(UserError, match='does not contain the weights of') as error:
        ColorDistillation([wrong]).init_weights()
    assert '\n' not in str(error.value)


def test_bad_arguments_are_reported(teachers):
    with pytest.raises(ValueError, match='teachers'):
        ColorDistillation([])
    with pytest.raises(ValueError, match='share'):
        ColorDistillation([dict(teachers[0], share=0.0)])
    with pytest.raises(ValueError, match='delta'):
        ColorDistillation(teachers, delta=0.0)
    with pytest.raises(ValueError, match='loss_weight'):
        ColorDistillation(teachers, loss_weight=-1.0)
