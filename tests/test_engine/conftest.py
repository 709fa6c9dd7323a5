import os

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from PIL import Image
from tiny import GENERATOR
from torch import nn
from torch.utils.data import Dataset

import dualattn_mm.engine  # noqa: F401  registers the hooks
from dualattn_mm.utils.configs_dir import configs_dir


class Points(Dataset):
    """y = 2x, as one tensor per sample."""

    def __len__(self):
        return 64

    def __getitem__(self, index):
        return torch.tensor([index / 64, index / 32])


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 1)

    def forward(self, data, mode):
        return dict(loss=(self.linear(data[:, :1]) - data[:, 1:]).square().mean())


def collate(batch):
    return dict(data=torch.stack(batch))


@pytest.fixture
def make_runner(tmp_path):
    """Builds mmengine's Runner for a tiny model, in `tmp_path`/`name`."""

    def make(hooks, max_iters=8, name='run', model=None, dataset=None, checkpoint=None, **kwargs):
        defaults = dict(
            train_dataloader=dict(
                batch_size=4,
                sampler=dict(type='InfiniteSampler', shuffle=True),
                dataset=dataset or Points(),
                collate_fn=collate,
            ),
            train_cfg=dict(by_epoch=False, max_iters=max_iters),
            optim_wrapper=dict(optimizer=dict(type='Adam', lr=0.1)),
            param_scheduler=dict(type='OneCycleLR', eta_max=0.1, total_steps=8, by_epoch=False),
            randomness=dict(seed=0),
        )
        torch.manual_seed(0)  # the model is made before the Runner seeds
        hook = dict(type='CheckpointHook', by_epoch=False, interval=2)
        return Runner(
            model=model or Line(),
            work_dir=str(tmp_path / name),
            default_hooks=dict(checkpoint=dict(hook, **(checkpoint or {}))),
            custom_hooks=hooks,
            log_level='ERROR',
            experiment_name=f'{name}-{os.urandom(4).hex()}',
            **dict(defaults, **kwargs),
        )

    return make


TINY = """
_base_ = {base!r}
model = dict(
    type='Colorizer',
    generator={generator!r},
)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ColorizationDataset',
        data_root={photos!r},
        pipeline=[
            dict(type='LoadPhoto'),
            dict(type='ColorizationCrop', size=32, scale=(0.5, 1.0)),
            dict(type='PackColorization'),
        ],
    ),
)
train_cfg = dict(by_epoch=False, max_iters=3)
optim_wrapper = dict(optimizer=dict(type='Adam', lr=1e-3))
default_hooks = dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1))
randomness = dict(seed=0)
log_level = 'ERROR'
"""


@pytest.fixture
def config(tmp_path):
    """The path of a config that trains a tiny colorizer on seven photos in three steps."""
    photos = tmp_path / 'photos'
    photos.mkdir()
    rng = np.random.default_rng(0)
    for i in range(7):
        pixels = rng.integers(0, 256, (40, 36, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / f'{i}.png')
    path = tmp_path / 'tiny.py'
    base = str(configs_dir() / '_base_' / 'color_runtime.py')
    path.write_text(TINY.format(base=base, photos=str(photos), generator=GENERATOR))
    return path
