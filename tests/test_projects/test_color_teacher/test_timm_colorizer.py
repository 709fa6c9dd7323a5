"""The colorizer with a timm encoder, and the configs that train it and train with it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from PIL import Image
from skimage.data import astronaut, chelsea

from dualattn_mm.apis import ColorizationPipeline
from dualattn_mm.apis.weights import load_generator, save_generator
from dualattn_mm.utils.errors import ColorizeError
from projects.color_teacher.shares import main
from projects.color_teacher.timm_colorizer import TimmColorizer

ENCODER = 'tf_efficientnet_lite0'
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope='module')
def file(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('imagenet') / 'lite0.pth'
    torch.save(timm.create_model(ENCODER).state_dict(), path)
    return str(path)


@pytest.mark.parametrize('size', [(32, 32), (96, 65), (33, 128)])
def test_color_has_the_size_of_the_lightness(size):
    network = TimmColorizer(ENCODER, dim=8).eval()
    with torch.no_grad():
        assert network(100 * torch.rand(2, 1, *size)).shape == (2, 2, *size)


def test_encoder_is_that_of_imagenet_and_sees_gray_srgb(file):
    network = TimmColorizer(ENCODER, file, dim=8)
    network.init_weights()
    network.eval()
    whole = timm.create_model(ENCODER)
    whole.load_state_dict(torch.load(file))
    whole.eval()
    seen = []
    network.encoder.register_forward_hook(lambda module, inputs, maps: seen.extend(maps))
    with torch.no_grad():
        network(torch.full((1, 1, 64, 64), 53.585))  # the lightness of sRGB 128
        expected = whole.forward_intermediates(
            torch.full((1, 3, 64, 64), (128 / 255 - 0.498) / 0.502), intermediates_only=True
        )
    for ours, theirs in zip(seen, expected[1:], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_frozen_stages_are_not_trained(file):
    network = TimmColorizer(ENCODER, file, dim=8, frozen_stages=2)
    network.init_weights()
    # DDP looks before the first call of train().
    assert not network.encoder.conv_stem.weight.requires_grad
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], 0.1)
    network(100 * torch.rand(2, 1, 64, 64)).square().mean().backward()
    optimizer.step()
    frozen = ('encoder.conv_stem.', 'encoder.bn1.', 'encoder.blocks.0.', 'encoder.blocks.1.')
    for name, value in network.state_dict().items():
        if name.startswith(frozen):
            assert torch.equal(value, before[name]), name
    for name in ('encoder.blocks.2.0.conv_pw.weight', 'encoder.blocks.2.0.bn1.running_mean'):
        assert not torch.equal(network.state_dict()[name], before[name]), name


def test_student_is_the_network_of_the_bundled_weights():
    cfg = Config.fromfile(ROOT / 'projects/color_teacher/student.py')
    own = MODELS.build(cfg.model.generator).state_dict()
    bundled = load_generator(ROOT / cfg.weights).state_dict()
    assert {k: v.shape for k, v in own.items()} == {k: v.shape for k, v in bundled.items()}
    assert cfg.model.color_distillation.teachers[0].generator == cfg.model.generator


def test_student_learns_the_same_on_a_cpu_and_on_a_gpu():
    cpu, gpu = (
        Config.fromfile(ROOT / f'projects/color_teacher/student{end}.py').model
        for end in ('', '_gpu')
    )
    for model in (cpu, gpu):
        assert model.color_distillation.teachers[0].pop('generator').type == model.generator.type
    for part in (
        'color_distillation',
        'distillation',
        'color',
        'chroma',
        'luma_share',
        'train_sizes',
    ):
        assert cpu[part] == gpu[part], part


@pytest.mark.parametrize('end', ['', '_gpu'])
def test_teacher_learns_only_the_true_colors(end):
    model = Config.fromfile(ROOT / f'projects/color_teacher/teacher{end}.py').model
    assert model.color.type == 'RebalancedColorLoss'
    assert (model.chroma, model.color_distillation, model.distillation) == (None, None, None)


def test_teacher_is_compiled_in_one_graph():
    network = TimmColorizer(ENCODER, dim=8, frozen_stages=2).train()
    compiled = torch.compile(network, backend='eager', dynamic=False, fullgraph=True)
    lightness = 100 * torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(compiled(lightness), network(lightness))


def test_weights_that_would_be_downloaded_are_rejected(tmp_path):
    cfg = dict(type='TimmColorizer', encoder='hf_hub:someone/something')
    save_generator(tmp_path / 'a.safetensors', dict(a=torch.zeros(1)), cfg)
    with pytest.raises(ColorizeError, match=r'generator\.encoder=.* is invalid'):
        load_generator(tmp_path / 'a.safetensors')


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'photos'
    folder.mkdir()
    for i, photo in enumerate((astronaut(), chelsea())):
        Image.fromarray(photo[::4, ::4]).save(folder / f'{i}.png')
    return folder


@pytest.mark.slow
def test_another_program_measures_the_teacher(photos):
    folder = ROOT / 'projects/color_teacher'
    words = [sys.executable, ROOT / 'projects/model_card/measure_weights.py']
    words += [folder / 'teacher.safetensors', '--config', folder / 'teacher_gpu.py']
    words += ['--train', photos, '--choose-saturation', '2']
    assert 'saturation' in subprocess.run(words, check=True, capture_output=True, text=True).stdout


def test_mean_of_the_teachers_is_measured(photos, tmp_path, capsys):
    given = [str(ROOT / 'projects/color_teacher/student.py'), '--test', str(photos)]
    assert main([*given, '--shares', '0', '0.4', '1', '-o', str(tmp_path / 'out')]) == 0
    rows = json.loads((tmp_path / 'out/figures.json').read_text())
    assert set(rows) == {'0', '0.4', '1'}
    # The first teacher is the bundled network.
    pipe = ColorizationPipeline(device='cpu')
    expected = pipe(Image.open(photos / '0.png').convert('L'), saturation=1.0)
    with Image.open(tmp_path / 'out/0/0.png') as found:
        assert np.abs(np.asarray(found, int) - np.asarray(expected, int)).max() <= 1
    # A part of 0.4 lies between both, where nothing is clipped.
    a, b, c = (
        np.asarray(Image.open(tmp_path / f'out/{share}/1.png'), float)
        for share in ('0', '1', '0.4')
    )
    assert np.median(np.abs(c - (0.6 * a + 0.4 * b))) <= 2
    assert all(row['PSNR_over_gray'] > 0 for row in rows.values())
