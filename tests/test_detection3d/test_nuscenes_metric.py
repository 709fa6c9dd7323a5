"""nuScenes' own evaluation with the configs, on tables in its format with known figures.

Three of its ten classes are there: errors of the others are 1, their AP 0.
"""

import json

import pytest
import torch
from lidar import CONFIGS
from mmengine.config import Config
from mmengine.registry import METRICS, DefaultScope
from nuscenes_tables import SCENES, lidar_boxes, write_tables

pytestmark = pytest.mark.integration

PRESENT = ('car', 'pedestrian', 'traffic_cone')


@pytest.fixture(scope='module')
def nuscenes(tmp_path_factory, openmmlab):
    pytest.importorskip('nuscenes')
    root = tmp_path_factory.mktemp('nuscenes')
    infos = dict(metainfo={}, data_list=write_tables(root))
    (root / 'infos.json').write_text(json.dumps(infos))
    return root


def evaluate(root, shift):
    """Return the figures of the config's metric for boxes shifted by a number of meters."""
    from mmdet3d.structures import LiDARInstance3DBoxes

    cfg = Config.fromfile(CONFIGS / 'centerpoint_voxel_dualattn.py')
    classes = cfg.class_names
    found = []
    for scene in range(len(SCENES)):
        for sample in range(2):
            names, boxes = lidar_boxes(scene, sample, shift)
            boxes = LiDARInstance3DBoxes(boxes, box_dim=9, origin=(0.5, 0.5, 0.5))
            labels = torch.tensor([classes.index(name) for name in names])
            objects = dict(bboxes_3d=boxes, labels_3d=labels, scores_3d=torch.ones(len(labels)))
            found.append(dict(pred_instances_3d=objects, pred_instances={}, sample_idx=len(found)))
    about = dict(cfg.test_evaluator, data_root=str(root), ann_file=str(root / 'infos.json'))
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        metric = METRICS.build(about)
    metric.dataset_meta = dict(classes=classes, version='v1.0-mini')
    metric.process({}, found)
    figures = metric.evaluate(len(found))
    return {name.rsplit('/')[-1]: value for name, value in figures.items()}


def mean_ap(figures, name):
    """The row of a class in Tables XI and XII."""
    return sum(figures[f'{name}_AP_dist_{d}'] for d in ('0.5', '1.0', '2.0', '4.0')) / 4


# A traffic cone has no orientation; it and a barrier have neither velocity nor attribute.
OTHER_ERRORS = dict(mASE=7 / 10, mAOE=7 / 9, mAVE=6 / 8, mAAE=6 / 8)


@pytest.mark.parametrize(('shift', 'ap'), [(0.0, 1.0), (0.7, 0.75), (1.5, 0.5), (5.0, 0.0)])
def test_known_figures(nuscenes, shift, ap):
    figures = evaluate(nuscenes, shift)
    for name in PRESENT:
        assert mean_ap(figures, name) == pytest.approx(ap)
    assert mean_ap(figures, 'bus') == 0
    assert figures['mAP'] == pytest.approx(0.3 * ap)
    if shift > 2:  # no box is taken for a true one
        assert figures['NDS'] == 0
        return
    errors = dict(OTHER_ERRORS, mATE=(7 + 3 * shift) / 10)
    for name, expected in errors.items():
        assert figures[name] == pytest.approx(expected, abs=1e-4)
    tp_scores = sum(max(0.0, 1 - error) for error in errors.values())
    assert figures['NDS'] == pytest.approx((5 * 0.3 * ap + tp_scores) / 10, abs=1e-4)
