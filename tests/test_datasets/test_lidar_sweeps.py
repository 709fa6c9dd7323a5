"""Which files of sweeps a LiDAR dataset needs."""

from types import SimpleNamespace

import numpy as np
import pytest

from dualattn_mm.datasets.checks.lidar import _check_files
from dualattn_mm.utils.errors import RunError


def test_sweeps_are_needed_only_if_they_are_read(tmp_path):
    key = tmp_path / 'key.bin'
    np.zeros((3, 5), np.float32).tofile(key)
    sweep = dict(lidar_points=dict(lidar_path=str(tmp_path / 'no.bin')))
    frames = [dict(lidar_points=dict(lidar_path=str(key)), lidar_sweeps=[sweep])]
    dataset = SimpleNamespace(ann_file=str(key), load_data_list=lambda: frames)

    def check(*steps):
        return _check_files(dataset, [dict(type='LoadPointsFromFile', load_dim=5), *steps])

    assert check() == frames
    assert check(dict(type='LoadPointsFromMultiSweeps', sweeps_num=0)) == frames
    with pytest.raises(RunError, match=r'no\.bin does not exist'):
        check(dict(type='LoadPointsFromMultiSweeps'))


@pytest.mark.parametrize('sweeps', [None, [None], [dict(lidar_points=5)]])
def test_sweeps_of_another_type(tmp_path, sweeps):
    key = tmp_path / 'key.bin'
    np.zeros((3, 5), np.float32).tofile(key)
    frames = [dict(lidar_points=dict(lidar_path=str(key)), lidar_sweeps=sweeps)]
    dataset = SimpleNamespace(ann_file=str(key), load_data_list=lambda: frames)
    steps = ('LoadPointsFromFile', 'LoadPointsFromMultiSweeps')
    with pytest.raises(RunError, match=r'key\.bin is not an mmdet3d info file for Simple.*TypeErr'):
        _check_files(dataset, [dict(type=step, load_dim=5) for step in steps])


def test_steps_may_be_classes(tmp_path):
    """As in mmengine's pure Python configs."""

    class LoadPointsFromFile:
        pass

    frames = [dict(lidar_points=dict(lidar_path=str(tmp_path / 'no.bin')))]
    dataset = SimpleNamespace(ann_file=__file__, load_data_list=lambda: frames)
    with pytest.raises(RunError, match=r'no\.bin does not exist'):
        _check_files(dataset, [dict(type=LoadPointsFromFile)])
