import copy
from pathlib import Path

import pytest
from coco_data import annotations, options, write_coco  # noqa: F401
from mmengine.config import Config

from dualattn_mm.datasets.checks.classes import use_classes

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'mmdet'


@pytest.fixture(scope='session')
def mask_rcnn():
    return Config.fromfile(CONFIGS / 'mask_rcnn_dualattn_t.py')


@pytest.fixture
def cfg(mask_rcnn, options, openmmlab):  # noqa: F811
    """The config for the (modified) annotations, as the tools prepare it."""

    def make(content=None):
        cfg = copy.deepcopy(mask_rcnn)
        cfg.merge_from_dict(options(content))
        use_classes(cfg)
        return cfg

    return make
