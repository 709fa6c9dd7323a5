"""Mask R-CNN on custom data with the repository's config, from training to drawn images."""

import json
import os
import pickle
import runpy
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from PIL import Image, ImageOps
from processes import dualattn_in_processes, free_port, ranks

from dualattn_mm.datasets.checks.classes import use_classes
from dualattn_mm.engine.run import evaluate, train
from dualattn_mm.utils.checkpoint_file import READS_TRAINING_LOGS, read_checkpoint

ROOT = Path(__file__).resolve().parents[2]
MASK_RCNN = str(ROOT / 'configs' / 'mmdet' / 'mask_rcnn_dualattn_t.py')
LIBRARIES = ['mmdet.datasets', 'mmdet.engine', 'mmdet.evaluation', 'mmdet.models']
AUGMENTED = str(ROOT / 'configs' / 'mmdet' / 'mask_rcnn_dualattn_t_tta.py')


def last_scalars(work_dir):
    [path] = work_dir.rglob('scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
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

    figures = evaluate(
        AUGMENTED, str(checkpoint), str(tmp_path / 'tta'), cfg_options=augmented(chosen)
    )
    assert set(figures) == {name for name in scalars[-1] if name.startswith('coco/bbox')}

    infer(work_dir / 'mask_rcnn_dualattn_t.py', checkpoint, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not READS_TRAINING_LOGS, reason='needs torch 2.5')
def test_mmdet_tools_use_checkpoints_of_mmengine(options, openmmlab, tmp_path, monkeypatch):
    """The config only has `custom_imports = ['dualattn_mm']`, without our hooks and tools."""
    cfg = Config.fromfile(MASK_RCNN)
    cfg.merge_from_dict(options() | {'train_cfg.max_epochs': 2})
    use_classes(cfg)
    cfg.custom_imports = dict(imports=['dualattn_mm'], allow_failed_imports=False)
    cfg.custom_hooks = []
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1)
    cfg.optim_wrapper.type = 'OptimWrapper'
    cfg.dump(tmp_path / 'stock.py')
    tools = Path(openmmlab['mmdet'].__file__).parent / '.mim' / 'tools'

    def call(tool, work_dir, *words):
        words = [tmp_path / 'stock.py', *words, '--work-dir', tmp_path / work_dir]
        name = f'{work_dir}-{os.urandom(4).hex()}'
        words += ['--cfg-options', f'experiment_name={name}', f'visualizer.name={name}']
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, words)])
        runpy.run_path(str(tools / tool), run_name='__main__')

    def scores(name):
        [path] = tmp_path.glob(name)
        return json.loads(path.read_text().splitlines()[-1])['coco/bbox_mAP_50']

    call('train.py', 'first')
    checkpoint = tmp_path / 'first' / 'epoch_1.pth'
    with pytest.raises(pickle.UnpicklingError):
        torch.load(checkpoint, weights_only=True)
    call('train.py', 'resumed', '--resume', checkpoint)
    again = read_checkpoint(tmp_path / 'resumed' / 'epoch_2.pth')
    assert (again['meta']['epoch'], again['meta']['iter']) == (2, 4)
    assert len(again['message_hub']['log_scalars']['train/loss'].data[0]) == 4
    call('test.py', 'tested', tmp_path / 'first' / 'epoch_2.pth')
    assert scores('tested/*/*.json') == scores('first/*/vis_data/scalars.json')
    infer(tmp_path / 'stock.py', checkpoint, tmp_path)


def augmented(options):
    """Adapt the options of mask_rcnn_dualattn_t to its test at several sizes."""
    options = dict(options)
    del options['test_dataloader.dataset.pipeline.1.scale']
    resizes = 'test_dataloader.dataset.pipeline.1.transforms.0.'
    options |= {f'{resizes}{i}.scale': size for i, size in enumerate(SIZES)}
    return {
        name.replace('model.', 'model.module.', 1): value
        for name, value in options.items()
        if not name.startswith('model.roi_head.mask_')
    }


SIZES = (48, 36), (64, 48), (96, 72)


def test_of_a_mirrored_image_at_several_sizes_is_the_mirrored_one(options, openmmlab, perturb):
    """Three of the six views are mirrored. A single view differs, as no network is symmetric."""
    from mmengine.dataset import Compose, pseudo_collate

    cfg = Config.fromfile(AUGMENTED)
    cfg.merge_from_dict(augmented(options()))
    use_classes(cfg)
    images = Path(cfg.test_dataloader.dataset.data_root) / 'images'
    ImageOps.mirror(Image.open(images / '0.png')).save(images / 'mirrored.png')
    with DefaultScope.overwrite_default_scope('mmdet'), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        model = perturb(MODELS.build(cfg.model), std=0.05).eval()
        pipeline = Compose(cfg.test_dataloader.dataset.pipeline)
        results = []
        for name in ('0.png', 'mirrored.png'):
            views = pipeline(dict(img_path=str(images / name), img_id=0))
            assert sorted(view.shape[1:] for view in views['inputs']) == sorted(
                (height, width) for width, height in 2 * SIZES
            )
            with torch.no_grad():
                [result] = model.test_step(pseudo_collate([views]))
                [single] = model.module.test_step({key: [value[0]] for key, value in views.items()})
            assert 'masks' not in result.pred_instances
            results.append((result.pred_instances, single.pred_instances))
    (one, one_view), (other, other_view) = results
    assert len(one.scores) > 0
    torch.testing.assert_close(other.scores, one.scores, rtol=0, atol=1e-4)
    left, top, right, bottom = other.bboxes.unbind(1)
    mirrored = torch.stack([64 - right, top, 64 - left, bottom], 1)
    torch.testing.assert_close(mirrored, one.bboxes, rtol=0, atol=0.05)
    assert not torch.equal(one_view.scores, other_view.scores)


def cascade(options):
    """Adapt the options of mask_rcnn_dualattn_t to cascade_dualattn_s, as words of a command."""
    options = dict(options)
    arch = {f'model.backbone.arch.{k}': v for k, v in options.pop('model.backbone.arch').items()}
    del options['train_dataloader.dataset.pipeline.2.scales']
    del options['model.roi_head.bbox_head.in_channels']
    del options['model.roi_head.bbox_head.fc_out_channels']
    for i in range(3):
        head = f'model.roi_head.bbox_head.{i}.'
        options |= {head + name: 16 for name in ('in_channels', 'conv_out_channels')}
        options |= {head + 'fc_out_channels': 16, head + 'norm_cfg.num_groups': 4}
    for loader, resize in (('train', 2), ('val', 1), ('test', 1)):
        pipeline = f'{loader}_dataloader.dataset.pipeline.'
        options |= {f'{pipeline}{resize}.scale': (64, 64), f'{pipeline}{resize + 1}.size': (64, 64)}
    return [f'{name}={value}'.replace(' ', '') for name, value in (options | arch).items()]


@pytest.mark.slow
@pytest.mark.integration
def test_cascade_in_two_processes(options, tmp_path):
    pytest.importorskip('mmdet')
    command = ['train', ROOT / 'configs' / 'mmdet' / 'cascade_dualattn_s.py']
    command += ['--launcher', 'pytorch', '--work-dir', 'run', '--cfg-options']
    chosen = [*cascade(options()), 'train_cfg.max_epochs=1', 'default_hooks.logger.interval=1']
    output = dualattn_in_processes(
        ranks(2, free_port()), tmp_path, *command, *chosen, libraries=LIBRARIES
    )
    assert 'no GPU: 2 processes on the CPU (gloo)' in output
    scalars = last_scalars(tmp_path / 'run')
    assert np.isfinite([row['loss'] for row in scalars if 'loss' in row]).all()
    assert len(scalars) == 2  # four images in one step of two by two, and the test
    assert 'coco/segm_mAP_50' in scalars[-1]
    stored = torch.load(tmp_path / 'run' / 'epoch_1.pth', weights_only=True)
    assert not any(name.startswith('module.') for name in stored['state_dict'])


def infer(config, checkpoint, tmp_path):
    from mmdet.apis import DetInferencer

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        inferencer = DetInferencer(
            model=str(config), weights=str(checkpoint), device='cpu', show_progress=False
        )
    assert inferencer.model.dataset_meta['classes'] == ('cat', 'dog')
    weights = read_checkpoint(checkpoint)['state_dict']
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
