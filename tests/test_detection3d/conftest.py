import pytest
from lidar import narrow_kitti, write_kitti
from mmengine.registry import MODELS, DefaultScope


@pytest.fixture(scope='session')
def narrow(openmmlab):
    """A narrow SECOND with DualAttentionBEV."""
    openmmlab['mmdet3d']  # skips where it is missing
    pytest.importorskip('spconv')
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        return MODELS.build(narrow_kitti().model)


@pytest.fixture
def kitti(tmp_path, openmmlab):
    """Two frames in KITTI's layout as mmdet3d prepares it, at `tmp_path`/kitti."""
    openmmlab['mmdet3d']  # skips where it is missing
    folder = tmp_path / 'kitti'
    write_kitti(folder)
    return folder
