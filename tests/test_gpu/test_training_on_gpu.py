"""Two steps of each library's config on a GPU: mixed precision, and NCCL in one process."""

import contextlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from lidar import WITHOUT_VAL, kitti_options, write_kitti
from mmengine.config import Config
from PIL import Image
from processes import finish, free_port, ranks, wait_until
from tiny import GENERATOR
from torch import distributed

from dualattn_mm.apis.weights import load_generator
from dualattn_mm.engine.run import evaluate, train
from dualattn_mm.utils.configs_dir import configs_dir

pytestmark = pytest.mark.gpu

ROOT = Path(__file__).resolve().parents[2]
STEPS = {
    'default_hooks.logger.interval': 1,
    'log_level': 'ERROR',
    'randomness': dict(seed=0),
}
# The first steps of float16 would be skipped with the initial scale of torch, which is 65,536.
AMP = {'optim_wrapper.type': 'AmpOptimWrapper', 'optim_wrapper.loss_scale': dict(init_scale=256.0)}


@pytest.fixture
def mixed_precision(device, monkeypatch):
    """In a rehearsal, allow mixed precision on the CPU, which mmengine refuses."""
    if device.type == 'cpu':
        for module in (
            'dualattn_mm.engine.mixed_precision',
            'mmengine.optim.optimizer.amp_optimizer_wrapper',
        ):
            monkeypatch.setattr(f'{module}.is_cuda_available', lambda: True)


@pytest.fixture(params=['none', 'pytorch'], ids=['alone', 'nccl'])
def launcher(request, monkeypatch):
    """'pytorch' trains with NCCL (gloo in a rehearsal) in this process."""
    if request.param == 'pytorch':
        [environment] = ranks(1, free_port())
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr('dualattn_mm.engine.run.end_with_parent', lambda: None)
    yield request.param
    if distributed.is_initialized():
        distributed.destroy_process_group()


def run(config, work_dir, options, device, launcher='none'):
    """Train; return the last checkpoint, and check that it was trained on the device."""
    with contextlib.nullcontext() if launcher == 'none' else expect_backend(device):
        options = STEPS | options | dict(experiment_name=f'gpu-{os.urandom(4).hex()}')
        train(str(config), str(work_dir), cfg_options=options, launcher=launcher)
    [path] = work_dir.rglob('scalars.json')
    losses = [json.loads(line).get('loss') for line in path.read_text().splitlines()]
    losses = [loss for loss in losses if loss is not None]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    checkpoint = torch.load((work_dir / 'last_checkpoint').read_text(), weights_only=True)
    optimizers = checkpoint['optimizer']
    states = [optimizers] if 'state' in optimizers else optimizers.values()
    moments = [
        value
        for optimizer in states
        for state in optimizer['state'].values()
        for name, value in state.items()
        if name in ('exp_avg', 'square_avg', 'momentum_buffer')
    ]
    assert moments
    assert {value.device.type for value in moments} == {device.type}
    return checkpoint


@contextlib.contextmanager
def expect_backend(device):
    yield
    assert distributed.get_backend() == ('nccl' if device.type == 'cuda' else 'gloo')


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'photos'
    folder.mkdir()
    for i in range(4):
        pixels = np.random.default_rng(i).integers(0, 256, (48, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f'{i}.png')
    return folder


def color_options(photos, size=32):
    options = {'model.generator': dict(GENERATOR, image_size=size, _delete_=True)}
    loader = 'train_dataloader.'
    options |= {
        'train_cfg.max_iters': 2,
        'default_hooks.checkpoint.interval': 2,
        'default_hooks.gallery.dataset.data_root': str(photos),
        loader + 'batch_size': 2,
        loader + 'num_workers': 1,  # forked from a process that uses the GPU
        loader + 'pin_memory': True,
        loader + 'dataset.data_root': str(photos),
        loader + 'dataset.pipeline': [
            dict(type='LoadPhoto'),
            dict(type='ColorizationCrop', size=size),
            dict(type='PackColorization', ground_truth=False),
        ],
        'test_dataloader.num_workers': 0,
        'test_dataloader.persistent_workers': False,
        'test_dataloader.dataset.data_root': str(photos),
        'test_dataloader.dataset.pipeline.1.size': size,
    }
    return options


COLOR = {
    'color_dualattn_mini': {'model.train_sizes': (32, 64)},
    'color_dualattn_mini_critic': {
        'model.critic.channels': (4, 8),
        **{
            name.replace('.', f'.{network}.'): value
            for network in ('generator', 'critic')
            for name, value in AMP.items()
        },
    },
}


@pytest.mark.usefixtures('mixed_precision')
@pytest.mark.parametrize('name', COLOR)
def test_colorizer(name, launcher, photos, device, tmp_path):
    """Also the gallery, resuming, and the test of the checkpoint with its pictures."""
    config, work_dir = configs_dir() / 'mmagic' / f'{name}.py', tmp_path / 'run'
    options = color_options(photos) | COLOR[name]
    run(config, work_dir, options, device, launcher)
    assert list(work_dir.rglob('gallery_*.png'))
    checkpoint = (work_dir / 'last_checkpoint').read_text()
    assert load_generator(checkpoint, work_dir / f'{name}.py', 'cpu')
    if launcher != 'none':
        return
    options |= dict(experiment_name=f'test-{os.urandom(4).hex()}')
    shown = tmp_path / 'shown'
    more = options | STEPS | {'train_cfg.max_iters': 3, 'default_hooks.checkpoint.interval': 1}
    more['experiment_name'] = f'more-{os.urandom(4).hex()}'
    train(str(config), str(work_dir), resume='auto', cfg_options=more)
    resumed = torch.load(work_dir / 'iter_3.pth', weights_only=True)['optimizer']
    first = (resumed if 'state' in resumed else resumed['generator'])['state'][0]
    assert first['step'].device.type == 'cpu'  # otherwise each step of Adam waits for the GPU
    figures = evaluate(
        str(config), checkpoint, str(tmp_path / 't'), options | STEPS, show_dir=str(shown)
    )
    assert {'CF', 'PSNR', 'SSIM', 'ab_error'} <= set(figures)
    assert len(list(shown.iterdir())) == 4


def test_killed_and_resumed_ends_as_uninterrupted(photos, tmp_path, start, monkeypatch):
    """With SGD, because Adam would amplify the rounding errors in which sums on a GPU differ.

    For the same reason without mixed precision, and without algorithms that each process chooses by
    their speed, which a benchmark in this process may have enabled.
    """
    monkeypatch.setattr(torch.backends.cudnn, 'benchmark', False)
    config = configs_dir() / 'mmagic' / 'color_dualattn_mini.py'
    common = STEPS | color_options(photos)
    common |= {
        'optim_wrapper.optimizer': dict(type='SGD', lr=0.05, momentum=0.9, _delete_=True),
        'param_scheduler': [],
        'default_hooks.checkpoint.interval': 1,
        'optim_wrapper.enabled': False,
    }
    endless = dict(common, **{'train_cfg.max_iters': 100_000})
    written = tmp_path / 'endless.py'
    cfg = Config.fromfile(config)
    cfg.merge_from_dict(endless)
    cfg.dump(written)
    command = [sys.executable, ROOT / 'tools' / 'train.py', written, '--work-dir', 'killed']
    process, last = start(*command), tmp_path / 'killed' / 'last_checkpoint'
    wait_until(lambda: last.is_file() or process.poll() is not None, 'a checkpoint')
    process.kill()
    finish(process, -9)
    steps = int(last.read_text().rpartition('iter_')[2].removesuffix('.pth'))
    before = torch.load(last.read_text(), map_location='cpu', weights_only=True)

    def ended(folder, resume=None):
        options = common | {'train_cfg.max_iters': steps + 3}
        options |= dict(experiment_name=f'{folder}-{os.urandom(4).hex()}')
        train(str(config), str(tmp_path / folder), resume, cfg_options=options)
        path = tmp_path / folder / f'iter_{steps + 3}.pth'
        return torch.load(path, map_location='cpu', weights_only=True)

    resumed, whole = ended('killed', 'auto'), ended('whole')
    for part in ('state_dict', 'ema_state_dict'):
        moved, error = (
            sum((whole[part][k].double() - v).square().sum() for k, v in other[part].items())
            for other in (before, resumed)
        )
        assert moved > 0
        assert error <= 1e-3 * moved


TINY_ENCODER = {
    'model.backbone.arch': dict(
        embed_dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), stem_channels=8, _delete_=True
    ),
    'model.backbone.window_size': 2,
    'model.backbone.head_dim': 8,
    'model.backbone.group_dim': 8,
}


@pytest.mark.usefixtures('mixed_precision')
def test_classifier(openmmlab, launcher, device, tmp_path):
    openmmlab['mmpretrain']  # skips where it is missing
    for split in ('train', 'val'):
        for i in range(4):
            folder = tmp_path / 'data' / split / f'class{i % 2}'
            folder.mkdir(parents=True, exist_ok=True)
            Image.new('RGB', (40, 40), (120 * (i % 2), 60, 50 * i)).save(folder / f'{i}.png')
    options = TINY_ENCODER | AMP
    options |= {
        'data_root': str(tmp_path / 'data'),
        'model.head.in_channels': 16,
        'train_cfg.max_epochs': 1,
    }
    for loader in ('train', 'val', 'test'):
        options |= {
            f'{loader}_dataloader.batch_size': 2,
            f'{loader}_dataloader.num_workers': 0,
            f'{loader}_dataloader.persistent_workers': False,
        }
    config = configs_dir() / 'mmpretrain' / 'cls_dualattn_t_folder.py'
    run(config, tmp_path / 'run', options, device, launcher)


def test_mask_rcnn(openmmlab, launcher, options, device, tmp_path):
    """Two steps and the validation; in float32 on the CPU, where mmcv's NMS has nothing else."""
    openmmlab['mmdet']  # skips where it is missing
    config = configs_dir() / 'mmdet' / 'mask_rcnn_dualattn_t.py'
    chosen = options() | {'train_cfg.max_epochs': 1, 'visualizer.name': tmp_path.name}
    if device.type == 'cuda':
        chosen |= AMP
    run(config, tmp_path / 'run', chosen, device, launcher)


@pytest.mark.usefixtures('mixed_precision')
def test_second(openmmlab, launcher, device, tmp_path, monkeypatch):
    openmmlab['mmdet3d']  # skips where it is missing
    if device.type == 'cpu':
        pytest.importorskip('spconv')
    from mmdet3d.datasets.transforms import data_augment_utils

    collide = data_augment_utils.box_collision_test.py_func  # compiling it takes long
    monkeypatch.setattr(data_augment_utils, 'box_collision_test', collide)
    write_kitti(tmp_path / 'kitti')
    options = kitti_options(tmp_path / 'kitti') | WITHOUT_VAL
    options |= AMP
    options |= {
        'train_cfg.max_epochs': 1,
        'train_dataloader.batch_size': 1,
        'visualizer.name': tmp_path.name,
    }
    config = configs_dir() / 'mmdet3d' / 'second_dualattn_kitti.py'
    run(config, tmp_path / 'run', options, device, launcher)
