"""Counted, set and measured figures, and their statuses."""

import pytest

from dualattn_mm.utils.errors import UserError
from dualattn_mm.utils.report import write_json
from projects.reproduction import ours as module
from projects.reproduction.ours import Ours

M, G = 'parameters (M)', 'MACs (G)'


@pytest.mark.parametrize(
    ('table', 'row', 'column', 'printed', 'value', 'status'),
    [
        ('V', 'Dual-Attention-Tiny', M, '28.7', 28.48, 'reproduced'),
        ('V', 'Dual-Attention-Tiny', G, '5.3', 5.15, 'reproduced'),
        ('V', 'Dual-Attention-Small', M, '51.2', 46.34, 'not reproducible'),
        ('V', 'Dual-Attention-Small', G, '9.1', 8.70, 'not reproducible'),
        ('V', 'Dual-Attention-Base', M, '77.8', 82.02, 'not reproducible'),
        ('V', 'Dual-Attention-Base', G, '16.2', 16.54, 'not reproducible'),
        ('IX', 'Dual-Attention-T', M, '27.6', 28.48, 'not reproducible'),
        ('IX', 'Dual-Attention-T', G, '15.1', 15.53, 'not reproducible'),
        ('IX', 'Dual-Attention-S', G, '27.8', 26.17, 'not reproducible'),
        ('IX', 'Dual-Attention-B', G, '53.2', 49.43, 'not reproducible'),
        ('X', 'Dual-Attention-T', M, '47.5', 47.99, 'reproduced'),
        ('X', 'Dual-Attention-S', M, '64.9', 65.85, 'reproduced'),
        ('X', 'Dual-Attention-B', M, '99.3', 101.39, 'reproduced'),
        ('X', 'Dual-Attention-T', G, '281', 276.2, 'reproduced'),
        ('X', 'Dual-Attention-S', G, '369', 348.7, 'not reproducible'),
        ('X', 'Dual-Attention-B', G, '546', 509.9, 'not reproducible'),
        ('VII', 'Dual-Attention-T', M, '87', 85.8, 'not reproducible'),
        ('VII', 'Dual-Attention-T', G, '417', 709, 'not reproducible'),
        ('VII', 'Dual-Attention-S', M, '123', 103.7, 'not reproducible'),
        ('VII', 'Dual-Attention-S', G, '498', 766, 'not reproducible'),
        ('Runtime', 'Colorizer', M, '55.2', 55.09, 'reproduced'),
    ],
)
def test_count_beside_the_printed_figure(entries, table, row, column, printed, value, status):
    entry = entries[table, row, column, '']
    assert entry.printed == printed
    assert entry.ours == pytest.approx(value, rel=7e-4)
    assert entry.status == status


def test_settings_and_architecture_are_the_printed_ones(tables):
    for name, number in (('VI', 18), ('VIII', 30)):
        assert [entry.status for entry in tables[name]] == ['reproduced'] * number


def test_setting_that_differs_is_not_reproduced(paper, openmmlab, monkeypatch):
    monkeypatch.setitem(module._SETTINGS, 'epochs', lambda cfg: cfg.train_cfg.max_epochs + 1)
    found = {e.figure.row: e.status for e in Ours().entries(paper['VI'])}
    assert found['epochs'] == 'not reproduced'
    assert found['optimizer'] == 'reproduced'


def test_everything_else_has_not_been_run(tables):
    found = [e for own in tables.values() for e in own if e.ours is None]
    assert {entry.status for entry in found} == {'not run', 'not reproducible'}
    assert len(found) == 202


@pytest.fixture
def measure(paper, tmp_path):
    """Write what tools/test.py writes for a row, and look at a figure of the row."""

    def measure_(place, metrics, images):
        table = paper[place[0]]
        figure, row = next((f, row) for f, _, row in table.figures() if f[: len(place)] == place)
        name = row.test_of(figure).rpartition('/')[2].replace('.py', '.json')
        write_json(tmp_path / row.work_dir / name, dict(images=images, metrics=metrics))
        return next(e for e in Ours(tmp_path).entries(table) if e.figure == figure)

    return measure_


@pytest.mark.parametrize(
    ('place', 'metrics', 'images', 'value', 'status'),
    [
        (('I', 'Ours', 'COCO-Stuff', 'FID'), dict(FID=7.9, CF=1), 5000, 7.9, 'reproduced'),
        (('I', 'Ours', 'COCO-Stuff', 'CF'), dict(CF=37.5), 5000, 37.5, 'not reproduced'),
        (('I', 'Ours', 'CelebA-HQ', 'CF'), dict(CF=43.0), 7, 43.0, 'reproduced'),
        (
            ('V', 'Dual-Attention-Tiny', 'top-1 (%)'),
            {'accuracy/top1': 83.0},
            50000,
            83.0,
            'reproduced',
        ),
        (('X', 'Dual-Attention-T', 'AP box'), {'coco/bbox_mAP': 0.45}, 5000, 45, 'not reproduced'),
        (
            ('XI', 'PointPillars, SECOND', 'car'),
            {
                f'NuScenes metric/pred_instances_3d_NuScenes/{name}_AP_dist_{i}': value
                for i, value in enumerate((0.83, 0.84, 0.85, 0.84))
                for name in ('car', 'truck')
            }
            | {'NuScenes metric/pred_instances_3d_NuScenes/mAP': 0.1},
            6019,
            0.84,
            'reproduced',
        ),
        (
            ('XIII', '3d, Dual-Attention', 'hard'),
            {
                'Kitti metric/pred_instances_3d/KITTI/Overall_3D_AP11_hard': 63.0,
                'Kitti metric/pred_instances_3d/KITTI/Overall_BEV_AP11_hard': 1.0,
            },
            3769,
            63.0,
            'reproduced',
        ),
        (
            ('V', 'Dual-Attention-Tiny', 'top-1 (%)'),
            {'accuracy/top5': 83.0},
            50000,
            None,
            'not run',
        ),
    ],
)
def test_result_of_a_test_is_the_row_s(measure, openmmlab, place, metrics, images, value, status):
    entry = measure(place, metrics, images)
    assert entry.ours == pytest.approx(value)
    assert entry.status == status


def test_result_of_too_few_images_is_an_error(measure):
    with pytest.raises(UserError, match='is of 7 images, not of 5000'):
        measure(('I', 'Ours', 'COCO-Stuff', 'FID'), dict(FID=1.0), 7)


def test_library_that_is_not_installed_is_named(paper, monkeypatch):
    monkeypatch.setattr(module.importlib.util, 'find_spec', lambda name: None)
    for table, library in (('X', 'mmdet'), ('XIII', 'mmdet3d'), ('II', 'mmpretrain')):
        row = next(iter(paper[table].ours.values()))
        with pytest.raises(UserError, match=f'needs {library}: see the README'):
            Ours().counts(row)
    assert Ours().counts(paper['Runtime'].ours['Colorizer'])[0][''].parameters == 55_092_032
