"""Several folders as one data set, with photos that are replaced by others drawn at random."""

import os

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image


@pytest.fixture
def train(config, tmp_path):
    """Trains on a folder three times over and another, of which some photos are not taken."""
    photos = tmp_path / 'photos'
    other = tmp_path / 'other'
    other.mkdir()
    for name in ('5.png', '6.png'):
        (photos / name).rename(other / name)
    (photos / '1.png').write_bytes(b'no photo')
    (other / 'broken.png').write_bytes(b'no photo')
    Image.new('RGB', (40, 36), 'gray').save(photos / 'gray.png')

    def train_(name, workers=0, **kwargs):
        cfg = Config.fromfile(config)
        pipeline = list(cfg.train_dataloader.dataset.pipeline)
        pipeline.insert(1, dict(type='SkipNearGray', min_colorfulness=5.0))
        first, second = (
            dict(type='ColorizationDataset', data_root=str(folder), pipeline=pipeline)
            for folder in (photos, other)
        )
        cfg.train_dataloader.dataset = dict(
            type='ConcatDataset',
            datasets=[dict(type='RepeatDataset', times=3, dataset=first), second],
        )
        cfg.train_dataloader.num_workers = workers
        cfg.train_dataloader.persistent_workers = workers > 0
        cfg.train_cfg.max_iters = 8
        cfg.default_hooks.checkpoint.interval = 3
        cfg.work_dir = str(tmp_path / name)
        cfg.experiment_name = f'{name}-{os.urandom(4).hex()}'
        cfg.merge_from_dict(kwargs)
        runner = Runner.from_cfg(cfg)
        seen = []
        step = runner.model.train_step

        def record(data, optim_wrapper):
            seen.append(data['inputs'].clone())
            return step(data, optim_wrapper)

        runner.model.train_step = record
        runner.train()
        weights = torch.load(tmp_path / name / 'iter_8.pth', weights_only=True)['state_dict']
        return torch.cat(seen), weights

    return train_


@pytest.mark.slow
def test_neither_workers_nor_resuming_are_seen(train, tmp_path):
    seen, weights = train('run')
    assert len(seen) == len(seen.flatten(1).unique(dim=0)) == 32  # all are different crops
    assert (seen.flatten(2).float().std(dim=2) > 0).all()  # of photos with color
    others, same = train('workers', workers=2)
    assert torch.equal(seen, others)
    torch.testing.assert_close(same, weights, rtol=0, atol=0)
    rest, same = train('again', resume=True, load_from=str(tmp_path / 'run' / 'iter_3.pth'))
    assert torch.equal(seen[3 * 4 :], rest)
    torch.testing.assert_close(same, weights, rtol=0, atol=0)
