"""KITTI's protocol in mmdet3d, against areas from shapely and counted matches."""

import math
import pickle
import re

import numpy as np
import pytest
import torch
from lidar import CAM2IMG, CONFIGS, LIDAR2CAM
from mmengine.config import Config
from mmengine.registry import METRICS, DefaultScope

shapely = pytest.importorskip('shapely')

pytestmark = pytest.mark.integration

# Cars of three frames: x, y, z of the bottom, length, width, height, yaw; in the LiDAR's frame.
TRUE = np.array(
    [
        [[9, 2, -1.7, 4.0, 1.7, 1.5, 0.2], [15, -5, -1.6, 3.8, 1.6, 1.6, 1.7]],
        [[12, -3, -1.7, 4.2, 1.7, 1.4, -2.9], [20, 6, -1.5, 3.9, 1.6, 1.5, 0.9]],
        [[10, -1, -1.8, 4.1, 1.6, 1.5, 0.6], [18, 3, -1.7, 3.7, 1.5, 1.5, -1.2]],
    ]
)
# What is found is that far away in x, y, z and yaw.
AWAY = np.array(
    [
        [[0.01, 0.02, 0.03, 0.01], [0.1, 0.05, 0.05, -0.03]],
        [[0.15, -0.1, 0.1, math.pi], [0.1, 0.1, 0.1, 0.05]],
        [[0.1, 0.05, 0.35, 0.02], [2.5, 1.0, 0.0, 0.0]],
    ]
)


def found():
    boxes = TRUE.copy()
    boxes[..., [0, 1, 2, 6]] += AWAY
    return boxes


def pairs():
    return zip(TRUE.reshape(-1, 7), found().reshape(-1, 7), strict=True)


def outline(box):
    x, y, _, length, width, _, yaw = box
    centered = shapely.box(-length / 2, -width / 2, length / 2, width / 2)
    turned = shapely.affinity.rotate(centered, yaw, origin=(0, 0), use_radians=True)
    return shapely.affinity.translate(turned, x, y)


def overlaps(a, b):
    """Return the IoU in bird's-eye view and in 3D."""
    a_area, b_area = outline(a), outline(b)
    shared = a_area.intersection(b_area).area
    union = a_area.union(b_area).area
    height = max(0.0, min(a[2] + a[5], b[2] + b[5]) - max(a[2], b[2]))
    volumes = a_area.area * a[5] + b_area.area * b[5]
    return shared / union, shared * height / (volumes - shared * height)


def in_camera(box):
    """KITTI's row: place of the bottom, length, height, width, rotation around the camera's y."""
    x, y, z, length, width, height, yaw = box
    return [-y, -z, x, length, height, width, -yaw - math.pi / 2]


def angle(box):
    """KITTI's alpha: rotation, less the direction in which the camera sees the box."""
    x, _, z, *_, turned = in_camera(box)
    return turned - math.atan2(x, z)


def on_image(box):
    """The rectangle around a box."""
    corners = [(*p, z) for p in outline(box).exterior.coords for z in (box[2], box[2] + box[5])]
    camera = np.array(LIDAR2CAM)[:3, :3] @ np.array(corners).T
    u, v, depth = np.array(CAM2IMG)[:3, :3] @ camera
    return shapely.box((u / depth).min(), (v / depth).min(), (u / depth).max(), (v / depth).max())


def info(number, boxes):
    instances = []
    for box in boxes:
        about = dict(bbox=on_image(box).bounds, bbox_label=2, bbox_3d=in_camera(box))
        instances.append(about | dict(alpha=angle(box), truncated=0.0, occluded=0, score=0.0))
    if number == 0:  # where create_data does not list the name; boxes in it count neither way
        far = dict(bbox=(1100, 0, 1200, 60), bbox_label=-1, bbox_3d=[-1000.0] * 7, alpha=-10)
        instances.append(far | dict(truncated=-1.0, occluded=-1, score=0.0))
    view = dict(height=375, width=1242, lidar2cam=LIDAR2CAM, cam2img=CAM2IMG)
    return dict(sample_idx=number, images=dict(CAM2=view), instances=instances)


@pytest.fixture(scope='module')
def evaluated(tmp_path_factory, uncompiled):
    """Return the figures of the config's metric, and its output about the angles."""
    from mmdet3d.structures import LiDARInstance3DBoxes
    from mmengine.logging import MMLogger

    cfg = Config.fromfile(CONFIGS / 'second_dualattn_kitti.py')
    path = tmp_path_factory.mktemp('kitti') / 'infos.pkl'
    categories = dict(Pedestrian=0, Cyclist=1, Car=2)
    rows = [info(i, boxes) for i, boxes in enumerate(TRUE)]
    path.write_bytes(pickle.dumps(dict(metainfo=dict(categories=categories), data_list=rows)))
    samples = []
    scores = iter(torch.linspace(0.9, 0.4, TRUE[..., 0].size).split(2))  # the worse, the less
    for i, boxes in enumerate(found()):
        boxes = LiDARInstance3DBoxes(torch.tensor(boxes, dtype=torch.float32))
        labels = torch.full((len(boxes),), cfg.class_names.index('Car'))
        objects = dict(bboxes_3d=boxes, labels_3d=labels, scores_3d=next(scores))
        samples.append(dict(pred_instances_3d=objects, pred_instances={}, sample_idx=i))
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        metric = METRICS.build(dict(cfg.test_evaluator, ann_file=str(path)))
    metric.dataset_meta = dict(classes=cfg.class_names)
    metric.process({}, samples)
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MMLogger, 'callHandlers', lambda self, record: lines.append(record.msg))
        figures = metric.evaluate(len(samples))
    car = {n.split('Car_')[1]: v for n, v in figures.items() if 'Car_' in n}
    [text] = [line for line in lines if 'AP40' in line]
    return car, text.split('AP40 Results')[1].split('Car AP40')[1]


def ap40(matched):
    """AP40 if this many boxes with the best scores match, of at most 40 true ones."""
    return 100 * (matched - 1) / 40


def ap11(matched):
    return 100 * math.ceil(matched / 4) / 11


@pytest.mark.parametrize(('limit', 'name'), [(0.7, 'strict'), (0.5, 'loose')])
def test_average_precision_agrees_with_matches_by_shapely(evaluated, limit, name):
    figures, _ = evaluated
    both = [overlaps(a, b) for a, b in pairs()]
    counts = set()
    for kind, ious in zip(('BEV', '3D'), zip(*both, strict=True), strict=True):
        matches = [iou >= limit for iou in ious]
        assert matches == sorted(matches, reverse=True)  # as ap40 presumes
        counts.add(sum(matches))
        for level in ('moderate', 'hard'):
            assert figures[f'{kind}_AP40_{level}_{name}'] == pytest.approx(ap40(sum(matches)))
            assert figures[f'{kind}_AP11_{level}_{name}'] == pytest.approx(
                ap11(sum(matches)), abs=1e-3
            )
    assert len(counts) == (2 if limit == 0.7 else 1)  # a box is right from above, not in height


def test_boxes_on_the_image_and_their_direction(evaluated):
    figures, text = evaluated
    seen = [(on_image(a), on_image(b)) for a, b in pairs()]
    matches = [a.intersection(b).area / a.union(b).area >= 0.7 for a, b in seen]
    assert matches == sorted(matches, reverse=True)
    matched = sum(matches)
    assert figures['2D_AP40_moderate_strict'] == pytest.approx(ap40(matched))
    similar = [(1 + math.cos(angle(a) - angle(b))) / 2 for a, b in [*pairs()][:matched]]
    assert min(similar) == pytest.approx(0, abs=1e-3)  # a car is seen from behind
    mean = [sum(similar[: i + 1]) / (i + 1) for i in range(matched)]
    best = [max(mean[i:]) for i in range(matched)]
    [_, moderate, _] = re.search(r'aos  AP40:([\d.]+), ([\d.]+), ([\d.]+)', text).groups()
    assert float(moderate) == pytest.approx(100 * sum(best[1:]) / 40, abs=0.01)


def test_overlaps_are_shapelys(openmmlab):
    openmmlab['mmdet3d']  # skips where it is missing
    from mmdet3d.evaluation.functional.kitti_utils.rotate_iou import rotate_iou_gpu_eval

    rng = np.random.default_rng(0)
    boxes = rng.uniform((0, 0, 1, 0.5, -4), (3, 3, 5, 2, 4), (7, 5)).astype(np.float32)
    ious = rotate_iou_gpu_eval(boxes, boxes[:4] + np.float32(1e-3))
    # as mmdet3d calls it: x and z of a camera, and its angle to the other side
    outlines = [outline([x, y, 0, a, b, 0, -yaw]) for x, y, a, b, yaw in boxes.tolist()]
    moved = [outline([x, y, 0, a, b, 0, -yaw]) for x, y, a, b, yaw in (boxes[:4] + 1e-3).tolist()]
    expected = [[a.intersection(b).area / a.union(b).area for b in moved] for a in outlines]
    assert np.count_nonzero(expected) > 8
    np.testing.assert_allclose(ious, expected, atol=1e-3)
