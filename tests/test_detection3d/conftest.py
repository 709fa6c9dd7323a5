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


@pytest.fixture(scope='session')
def uncompiled(openmmlab):
    """Run the functions of KITTI's metric in Python: numba takes 10 s to compile them."""
    openmmlab['mmdet3d']  # skips where it is missing
    from mmdet3d.datasets.transforms import data_augment_utils
    from mmdet3d.evaluation.functional.kitti_utils import eval as kitti_eval

    names = [name for name, value in vars(kitti_eval).items() if hasattr(value, 'py_func')]
    functions = [(kitti_eval, name) for name in names]
    with pytest.MonkeyPatch.context() as patch:
        for module, name in [*functions, (data_augment_utils, 'box_collision_test')]:
            patch.setattr(module, name, getattr(module, name).py_func)
        yield


@pytest.fixture
def kitti(tmp_path, openmmlab):
    """Two frames in KITTI's layout as mmdet3d prepares it, at `tmp_path`/kitti."""
    openmmlab['mmdet3d']  # skips where it is missing
    pytest.importorskip('spconv')
    folder = tmp_path / 'kitti'
    write_kitti(folder)
    return folder
