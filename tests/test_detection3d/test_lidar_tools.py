"""SECOND on small KITTI data with the repository's config, from training to a drawn frame."""

import json
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from lidar import CONFIGS, WITHOUT_VAL, kitti_options
from PIL import Image

from dualattn_mm.datasets.checks import lidar as lidar_data
from dualattn_mm.engine.configs import load_config
from dualattn_mm.engine.run import evaluate, train
from dualattn_mm.utils.command import run_command
from dualattn_mm.utils.errors import UserError
from tools.visualize_bev import draw_detections

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
SECOND = str(CONFIGS / 'second_dualattn_kitti.py')


@pytest.fixture
def trained(kitti, tmp_path, uncompiled):
    """A work_dir after one epoch of two steps, with sampled ground truths."""
    folder = tmp_path / 'run'
    more = {
        'train_cfg.max_epochs': 1,
        'train_dataloader.batch_size': 1,
        'default_hooks.logger.interval': 1,
    }
    train(SECOND, str(folder), cfg_options=kitti_options(kitti) | WITHOUT_VAL | more)
    return folder


def test_train_test_draw_and_infer(trained, kitti, tmp_path, capsys):
    [path] = trained.rglob('scalars.json')
    losses = [json.loads(line)['loss'] for line in path.read_text().splitlines()]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    checkpoint = trained / 'epoch_1.pth'
    assert torch.load(checkpoint, weights_only=True)['meta']['dataset_meta']['classes']
    write_results(kitti, checkpoint, tmp_path)
    draw(kitti, checkpoint, tmp_path)
    infer(trained / 'second_dualattn_kitti.py', checkpoint, kitti, tmp_path)


def write_results(kitti, checkpoint, tmp_path):
    """Data with an empty frame: KITTI's figures and result files."""
    (kitti / 'training' / 'velodyne_reduced' / '000000.bin').write_bytes(b'')
    files = {
        'test_evaluator.submission_prefix': str(tmp_path / 'results'),
        'model.test_cfg.score_thr': 0.0,
    }
    options = kitti_options(kitti) | files
    figures = evaluate(SECOND, str(checkpoint), str(tmp_path / 't'), cfg_options=options)
    for way in ('2D', 'BEV', '3D'):
        for points in (11, 40):
            for level in ('easy', 'moderate', 'hard'):
                name = f'KITTI/Car_{way}_AP{points}_{level}_strict'
                assert figures[f'Kitti metric/pred_instances_3d/{name}'] >= 0
    results = {path.name: path.read_text() for path in (tmp_path / 'results').rglob('*.txt')}
    assert set(results) == {'000000.txt', '000001.txt'}
    assert results['000000.txt'] == ''


def draw(kitti, checkpoint, tmp_path):
    options = kitti_options(kitti) | {'model.test_cfg.score_thr': 0.0}
    chosen = dict(score_thr=0.0, device='cpu', cfg_options=options)
    out = str(tmp_path / 'drawn' / 'frame.png')
    predicted, true = draw_detections(SECOND, str(checkpoint), out, frame=1, **chosen)
    assert (predicted > 0, true) == (True, 1)
    bin_file = str(kitti / 'training' / 'velodyne_reduced' / '000001.bin')
    alone = draw_detections(SECOND, str(checkpoint), out, points=bin_file, **chosen)
    assert alone == (predicted, None)
    with Image.open(out) as picture:
        assert min(picture.size) > 400
    nothing = str(kitti / 'training' / 'velodyne_reduced' / '000000.bin')  # emptied above
    assert draw_detections(SECOND, str(checkpoint), out, points=nothing, **chosen) == (0, None)
    with pytest.raises(UserError, match='frame 2: the test dataset has frames 0 to 1'):
        draw_detections(SECOND, str(checkpoint), out, frame=2, **chosen)
    wider = dict(chosen, cfg_options=options | {'model.neck.out_channels': [64, 64]})
    with pytest.raises(UserError, match=r'epoch_1\.pth does not fit the model'):
        draw_detections(SECOND, str(checkpoint), out, frame=1, **wider)


def infer(config, checkpoint, kitti, tmp_path):
    from mmdet3d.apis import LidarDet3DInferencer

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        inferencer = LidarDet3DInferencer(str(config), str(checkpoint), device='cpu')
    inferencer.show_progress = False
    weights = torch.load(checkpoint, weights_only=True)['state_dict']
    for name, value in inferencer.model.state_dict().items():
        torch.testing.assert_close(value, weights[name])
    inferencer.model.bbox_head.test_cfg['score_thr'] = 0.0
    path = kitti / 'training' / 'velodyne_reduced' / '000001.bin'
    points = np.fromfile(path, np.float32).reshape(-1, 4)
    out = dict(no_save_vis=True, out_dir=str(tmp_path / 'inferred'))
    [of_file] = inferencer(dict(points=str(path)), **out)['predictions']
    [of_array] = inferencer(dict(points=points), no_save_vis=True)['predictions']
    assert of_array == of_file
    assert of_file['box_type_3d'] == 'LiDAR'
    assert len(of_file['bboxes_3d']) == len(of_file['scores_3d']) > 0
    for none in (points[:0], points * np.nan, points + 1000):
        [result] = inferencer(dict(points=none), no_save_vis=True)['predictions']
        assert result['bboxes_3d'] == []
    with pytest.raises(UserError, match='points have 5 features, but the model expects 4'):
        inferencer(dict(points=np.zeros((10, 5), np.float32)), no_save_vis=True)


def bin_file(folder):
    return folder / 'training' / 'velodyne_reduced' / '000001.bin'


def change_bytes(path, change):
    path.write_bytes(change(path.read_bytes()))


DAMAGE = {
    'truncated': (
        lambda folder: change_bytes(bin_file(folder), lambda data: data[:-5]),
        '000001.bin: 3355 bytes are not a multiple of a point with 4 float32 features',
    ),
    'five features': (
        lambda folder: np.zeros((7, 5), np.float32).tofile(bin_file(folder)),
        '000001.bin: 140 bytes are not a multiple of a point with 4',
    ),
    'no points': (lambda folder: bin_file(folder).unlink(), '.bin does not exist'),
    'no info': (
        lambda folder: (folder / 'kitti_infos_val.pkl').unlink(),
        'kitti_infos_val.pkl does not exist',
    ),
    'half an info': (
        lambda folder: change_bytes(folder / 'kitti_infos_val.pkl', lambda data: data[:100]),
        'kitti_infos_val.pkl is not an mmdet3d info file for KittiDataset',
    ),
    'other info': (
        lambda folder: (folder / 'kitti_infos_val.pkl').write_bytes(b'\x80\x04]\x94.'),
        'kitti_infos_val.pkl is not an mmdet3d info file for KittiDataset',
    ),
    'metainfo of another type': (
        lambda folder: (folder / 'kitti_infos_val.pkl').write_bytes(
            pickle.dumps(dict(metainfo=[], data_list=[]))
        ),
        'kitti_infos_val.pkl is not an mmdet3d info file for KittiDataset (AttributeError: ',
    ),
    'objects of a missing module': (
        lambda folder: (folder / 'kitti_infos_val.pkl').write_bytes(b'cno_module\nName\n.'),
        'kitti_infos_val.pkl is not an mmdet3d info file for KittiDataset (ModuleNotFoundError: ',
    ),
    'info of other points': (
        lambda folder: change_bytes(
            folder / 'kitti_infos_val.pkl',
            lambda data: data.replace(b'num_pts_feats\x94K\x04', b'num_pts_feats\x94K\x05'),
        ),
        'kitti_infos_val.pkl: points have 5 features, but the pipeline loads 4',
    ),
}


@pytest.mark.parametrize('kind', DAMAGE)
def test_wrong_data_stops_training_and_testing(kitti, tmp_path, capsys, kind):
    damage, line = DAMAGE[kind]
    damage(kitti)
    (tmp_path / 'any.pth').touch()
    options, work_dir = kitti_options(kitti), str(tmp_path / 'run')
    for call in (
        lambda: train(SECOND, work_dir, cfg_options=options),
        lambda: evaluate(SECOND, str(tmp_path / 'any.pth'), work_dir, cfg_options=options),
    ):
        assert run_command(call) == 2
        error = capsys.readouterr().err
        assert error.startswith('error: ')
        assert line in error
        assert error.count('\n') == 1


def test_missing_database_and_annotations_are_reported(kitti, tmp_path, capsys):
    options, work_dir = kitti_options(kitti), str(tmp_path / 'run')
    elsewhere = options | {'val_evaluator.ann_file': str(kitti / 'nowhere.pkl')}
    assert run_command(lambda: train(SECOND, work_dir, cfg_options=elsewhere)) == 2
    assert f'info file {kitti}/nowhere.pkl does not exist' in capsys.readouterr().err
    one = options | {'val_dataloader.dataset.indices': 1}
    assert run_command(lambda: train(SECOND, work_dir, cfg_options=one)) == 2
    line = 'val_evaluator.ann_file lists 2 frames and val_dataloader reads 1: both must name the'
    assert f'{kitti}/kitti_infos_val.pkl: {line}' in capsys.readouterr().err
    (kitti / 'kitti_dbinfos_train.pkl').unlink()
    assert run_command(lambda: train(SECOND, work_dir, cfg_options=options)) == 2
    assert 'ground-truth database' in capsys.readouterr().err


@pytest.mark.parametrize('backend', ['petrel', 'local'])
def test_data_behind_a_storage_backend_are_not_looked_at(kitti, backend):
    cfg = load_config(SECOND, kitti_options(kitti))
    for part in (cfg.test_dataloader.dataset, cfg.test_evaluator):
        part.backend_args = dict(backend=backend)
    (kitti / 'kitti_infos_val.pkl').unlink()
    if backend == 'petrel':
        lidar_data.check(cfg, 'test')
    else:
        with pytest.raises(UserError, match=r'kitti_infos_val\.pkl does not exist'):
            lidar_data.check(cfg, 'test')


def test_sparse_convolution_without_spconv(kitti, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    found = lidar_data.importlib.util.find_spec
    monkeypatch.setattr(
        lidar_data.importlib.util, 'find_spec', lambda n: None if n == 'spconv' else found(n)
    )
    call = lambda: train(SECOND, str(tmp_path / 'run'), cfg_options=kitti_options(kitti))  # noqa: E731
    assert run_command(call) == 2
    assert (
        'SparseEncoder needs spconv on a machine without a GPU: pip install'
        in capsys.readouterr().err
    )


def test_tool_reports_errors_in_one_line(kitti, tmp_path, run_script):
    tool = ROOT / 'tools' / 'visualize_bev.py'
    arguments = [SECOND, str(tmp_path / 'no.pth'), '-o', str(tmp_path / 'x.png')]
    cut = bin_file(kitti)
    change_bytes(cut, lambda data: data[:-1])
    for more, line in (
        (['--points', str(cut)], 'not a multiple of a point with 4'),
        (['--points', str(kitti / 'training/velodyne_reduced/000000.bin')], 'does not exist'),
        (['--cfg-options', 'default_scope=mmdet'], 'is not an mmdet3d config'),
    ):
        status, _, error = run_script(tool, *arguments, *more)
        assert status == 2
        assert error.startswith('error: ')
        assert line in error
