import pytest
from lidar import narrow_kitti
from mmengine.registry import MODELS, DefaultScope


@pytest.fixture(scope='session')
def narrow(openmmlab):
    """A narrow SECOND with DualAttentionBEV."""
    pytest.importorskip('spconv')
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        return MODELS.build(narrow_kitti().model)
