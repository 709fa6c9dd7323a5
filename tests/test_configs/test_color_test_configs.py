"""Test configs of the colorizer: the published protocol, and short runs."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner
from PIL import Image
from test_color_configs import TINY

from dualattn_mm.datasets import ColorizationCenterSquare
from dualattn_mm.evaluation import offline_metrics

CONFIGS = Path(__file__).parents[2] / 'configs' / 'mmagic'
TRAINING = sorted(path.name for path in CONFIGS.glob('color_*.py'))
PRESETS = {
    'test_imagenet_val50k.py': 'data/imagenet/val',
    'test_imagenet_val5k.py': 'data/imagenet/val',
    'test_coco_stuff.py': 'data/coco/val2017',
    'test_celeba_hq.py': 'data/celeba_hq/val',
    'test_ade20k.py': 'data/ADEChallengeData2016/images/validation',
}
OFFLINE = [
    'ColorizationCF',
    'ColorizationPSNR',
    'ColorizationPSNROverGray',
    'ColorizationSSIM',
    'ColorizationABError',
    'ColorizationHue',
    'ColorizationTinge',
    'ColorizationDull',
]


def load(name):
    return Config.fromfile(CONFIGS / name)


@pytest.mark.parametrize('name', TRAINING)
def test_trainings_are_tested_at_their_size_without_a_download(name):
    cfg = load(name)
    dataset = cfg.test_dataloader.dataset
    types = [transform.type for transform in dataset.pipeline]
    assert types == ['LoadPhoto', 'ColorizationSquash', 'PackColorization']
    assert dataset.pipeline[1].size == cfg.model.generator.image_size
    assert dataset.test_mode
    assert cfg.test_dataloader.sampler == dict(type='DefaultSampler', shuffle=False)
    assert [metric.type for metric in cfg.test_evaluator] == OFFLINE
    Evaluator(cfg.test_evaluator)
    assert [type(metric).__name__ for metric in offline_metrics()] == OFFLINE, 'of the tools'


@pytest.mark.parametrize('name', PRESETS)
def test_presets_of_the_published_figures(name):
    cfg, paper = load(name), load('color_dualattn_t.py')
    assert cfg.model == paper.model
    assert cfg.test_dataloader.dataset.data_root == PRESETS[name]
    assert [metric.type for metric in cfg.test_evaluator] == [*OFFLINE, 'ColorizationFID']
    stated = ast.parse((CONFIGS / name).read_text()).body
    assert len(stated) == 2, 'the base and what differs'


def test_val5k():
    dataset = load('test_imagenet_val5k.py').test_dataloader.dataset
    assert dataset.indices == 5000
    types = [transform.type for transform in dataset.pipeline]
    assert types[1:3] == ['ColorizationCenterSquare', 'ColorizationSquash']
    assert dataset.pipeline[2].size == 256
    others = [load(n).test_dataloader.dataset for n in PRESETS if n != 'test_imagenet_val5k.py']
    assert not any('indices' in other for other in others)


@pytest.mark.parametrize('shape', [(6, 11), (11, 6), (7, 7)])
def test_the_largest_square_from_the_middle(shape):
    image = torch.arange(3 * shape[0] * shape[1]).view(3, *shape)
    square = ColorizationCenterSquare()(dict(img=image, img_path='x'))['img']
    side, (top, left) = min(shape), ((s - min(shape)) / 2 for s in shape)
    assert square.shape == (3, side, side)
    corner = [int(square[0, 0, 0]) // shape[1], int(square[0, 0, 0]) % shape[1]]
    assert corner == pytest.approx([top, left], abs=0.5)
    assert torch.equal(square, image[:, corner[0] :, corner[1] :][:, :side, :side])


def test_a_preset_runs_in_mmagic_s_scope(openmmlab, tmp_path):
    for i, size in enumerate([(40, 50), (30, 20), (25, 25)]):
        pixels = np.random.default_rng(i).integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f'{i}.JPEG')
    cfg = load('test_imagenet_val5k.py')
    cfg.model.generator = load('color_dualattn_mini.py').model.generator
    cfg.merge_from_dict(dict(model=dict(generator=TINY, critic=dict(channels=(4, 8)))))
    loader = dict(batch_size=2, num_workers=0, dataset=dict(data_root=str(tmp_path), indices=2))
    cfg.merge_from_dict(dict(test_dataloader=loader, log_level='ERROR'))
    cfg.test_dataloader.dataset.pipeline[2].size = 16
    cfg.test_evaluator[-1].network = dict(type='torch.nn.Flatten')
    cfg.work_dir, cfg.experiment_name = str(tmp_path / 'run'), tmp_path.name
    figures = Runner.from_cfg(cfg).test()
    names = 'CF CF_truth Delta_CF PSNR PSNR_over_gray SSIM ab_error hue tinge dull FID'
    assert list(figures) == names.split()
    assert all(np.isfinite(value) for value in figures.values())
    assert figures['CF_truth'] > 30
