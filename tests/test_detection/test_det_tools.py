"""Mask R-CNN on own data from training to drawn pictures, with the repository's config."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dualattn_mm.engine.run import evaluate, train

ROOT = Path(__file__).resolve().parents[2]
MASK_RCNN = str(ROOT / 'configs' / 'mmdet' / 'mask_rcnn_dualattn_t.py')


def last_scalars(work_dir):
    [path] = work_dir.rglob('scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_train_test_and_infer(options, openmmlab, tmp_path):
    chosen = options()
    work_dir = tmp_path / 'run'
    more = {'train_cfg.max_epochs': 1, 'default_hooks.logger.interval': 1}
    train(MASK_RCNN, str(work_dir), cfg_options=chosen | more)
    scalars = last_scalars(work_dir)
    losses = [row['loss'] for row in scalars if 'loss' in row]
    assert len(losses) == 2  # four images, two at a time
    assert np.isfinite(losses).all()
    assert 'coco/segm_mAP_50' in scalars[-1]
    checkpoint = work_dir / 'epoch_1.pth'
    stored = torch.load(checkpoint, weights_only=True)
    assert stored['meta']['dataset_meta']['classes'] == ('cat', 'dog')

    figures = evaluate(MASK_RCNN, str(checkpoint), str(tmp_path / 'test'), cfg_options=chosen)
    assert figures['coco/bbox_mAP_50'] == scalars[-1]['coco/bbox_mAP_50']

    infer(work_dir / 'mask_rcnn_dualattn_t.py', checkpoint, tmp_path)


def infer(config, checkpoint, tmp_path):
    from mmdet.apis import DetInferencer

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        inferencer = DetInferencer(
            model=str(config), weights=str(checkpoint), device='cpu', show_progress=False
        )
    assert inferencer.model.dataset_meta['classes'] == ('cat', 'dog')
    weights = torch.load(checkpoint, weights_only=True)['state_dict']
    assert set(weights) == set(inferencer.model.state_dict())
    for name, value in inferencer.model.state_dict().items():
        torch.testing.assert_close(value, weights[name])
    images = tmp_path / 'coco' / 'images'
    chosen = dict(pred_score_thr=0.0, no_save_pred=False)
    inferencer(str(images), batch_size=2, out_dir=str(tmp_path / 'all'), **chosen)
    inferencer(str(images / '1.png'), out_dir=str(tmp_path / 'one'), **chosen)
    for i in range(4):
        with Image.open(tmp_path / 'all' / 'vis' / f'{i}.png') as drawn:
            assert drawn.size == (64, 48)
    assert [path.name for path in (tmp_path / 'one' / 'vis').iterdir()] == ['1.png']
    one, among = (
        json.loads((tmp_path / name / 'preds' / '1.json').read_text()) for name in ('one', 'all')
    )
    assert len(one['masks']) == len(one['bboxes']) > 0
    assert set(one['labels']) <= {0, 1}
    assert one['scores'] == pytest.approx(among['scores'], abs=1e-4)
