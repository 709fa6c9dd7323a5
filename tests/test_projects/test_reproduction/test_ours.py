"""Counted, set and measured figures, and their statuses."""

import pytest

from dualattn_mm.utils.errors import UserError
from dualattn_mm.utils.report import write_json
from projects.reproduction import ours as module
from projects.reproduction.ours import entries_of
from projects.reproduction.paper import Network


@pytest.mark.parametrize(
    ('table', 'row', 'parameters', 'macs'),
    [
        ('V', 'Dual-Attention-Tiny', '28.7 28.48 reproduced', '5.3 5.15 reproduced'),
        ('V', 'Dual-Attention-Small', '51.2 46.34 not reproducible', '9.1 8.70 not reproducible'),
        ('V', 'Dual-Attention-Base', '77.8 82.02 not reproducible', '16.2 16.54 not reproducible'),
        ('IX', 'Dual-Attention-T', '27.6 28.48 not reproducible', '15.1 15.53 not reproducible'),
        ('IX', 'Dual-Attention-S', '51.9 46.34 not reproducible', '27.8 26.17 not reproducible'),
        ('IX', 'Dual-Attention-B', '79.3 82.02 not reproducible', '53.2 49.43 not reproducible'),
        ('X', 'Dual-Attention-T', '47.5 47.99 reproduced', '281 276.2 reproduced'),
        ('X', 'Dual-Attention-S', '64.9 65.85 reproduced', '369 348.7 not reproducible'),
        ('X', 'Dual-Attention-B', '99.3 101.39 reproduced', '546 509.9 not reproducible'),
        ('VII', 'Dual-Attention-T', '87 85.8 not reproducible', '417 709 not reproducible'),
        ('VII', 'Dual-Attention-S', '123 103.7 not reproducible', '498 766 not reproducible'),
        ('Runtime', 'Colorizer', '55.2 55.09 reproduced', ''),
    ],
)
def test_count_beside_the_printed_figure(entries, table, row, parameters, macs):
    for column, expected in (('parameters (M)', parameters), ('MACs (G)', macs)):
        if expected:
            printed, value, status = expected.split(' ', 2)
            entry = entries[table, row, column, '']
            assert (entry.printed, entry.status) == (printed, status)
            assert entry.ours == pytest.approx(float(value), rel=7e-4)


def test_settings_and_architecture_are_the_printed_ones(tables):
    for name, number in (('VI', 18), ('VIII', 30)):
        assert [entry.status for entry in tables[name]] == ['reproduced'] * number


def test_setting_that_differs_is_not_reproduced(paper, openmmlab, monkeypatch):
    monkeypatch.setitem(module._SETTINGS, 'epochs', lambda cfg: cfg.train_cfg.max_epochs + 1)
    found = {e.figure.row: e.status for e in entries_of(paper['VI'])}
    assert found['epochs'] == 'not reproduced'
    assert found['optimizer'] == 'reproduced'


NUSCENES = 'NuScenes metric/pred_instances_3d_NuScenes/'
KITTI = 'Kitti metric/pred_instances_3d/KITTI/Overall_'
FID = 'I', 'Ours', 'COCO-Stuff', 'FID'
TOP1 = 'V', 'Dual-Attention-Tiny', 'top-1 (%)'
CLASSES = [0.83, 0.84, 0.85, 0.84]


@pytest.fixture
def measure(paper, tmp_path):
    """Write a result of tools/test.py for a row, and return a figure of the row."""

    def measure_(place, metrics, images):
        table = paper[place[0]]
        figure, row = next((f, row) for f, _, row in table.figures() if f[: len(place)] == place)
        name = row.test_of(figure).rpartition('/')[2].replace('.py', '.json')
        write_json(tmp_path / row.network.work_dir / name, dict(images=images, metrics=metrics))
        return next(e for e in entries_of(table, tmp_path) if e.figure == figure)

    return measure_


@pytest.mark.parametrize(
    ('place', 'metrics', 'images', 'value', 'status'),
    [
        (FID, dict(FID=7.9, CF=1), 5000, 7.9, 'reproduced'),
        ((*FID[:3], 'CF'), dict(CF=37.5), 5000, 37.5, 'not reproduced'),
        (('I', 'Ours', 'CelebA-HQ', 'CF'), dict(CF=43.0), 7, 43.0, 'reproduced'),
        (TOP1, {'accuracy/top1': 83.0}, 50000, 83.0, 'reproduced'),
        (TOP1, {'accuracy/top5': 83.0}, 50000, None, 'not run'),
        (('X', 'Dual-Attention-T', 'AP box'), {'coco/bbox_mAP': 0.45}, 5000, 45, 'not reproduced'),
        (
            ('XI', 'PointPillars, SECOND', 'car'),
            {f'{NUSCENES}car_AP_dist_{i}': ap for i, ap in enumerate(CLASSES)}
            | {f'{NUSCENES}truck_AP_dist_0': 0.1, f'{NUSCENES}mAP': 0.1},
            6019,
            0.84,
            'reproduced',
        ),
        (
            ('XIII', '3d, Dual-Attention', 'hard'),
            {f'{KITTI}3D_AP11_hard': 63.0, f'{KITTI}BEV_AP11_hard': 1.0},
            3769,
            63.0,
            'reproduced',
        ),
    ],
)
def test_result_of_a_test_is_the_row_s(measure, openmmlab, place, metrics, images, value, status):
    entry = measure(place, metrics, images)
    assert entry.ours == pytest.approx(value)
    assert entry.status == status


def test_result_of_too_few_images_is_an_error(measure):
    with pytest.raises(UserError, match='is a test on 7 images, not on 5000'):
        measure(FID, dict(FID=1.0), 7)


def test_library_that_is_not_installed_is_reported(monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    for folder, encoder in (('mmdet', ''), ('mmdet3d', ''), ('mmagic', 'mmpretrain.ResNet')):
        network = Network(f'configs/{folder}/x.py', {'encoder.type': encoder}, '')
        library = encoder.partition('.')[0] or folder
        with pytest.raises(UserError, match=f'x.py needs {library}: see the README'):
            _ = network.cfg
