"""Small LiDAR detectors and point clouds for tests."""

from pathlib import Path

import torch
from mmengine.config import Config

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'mmdet3d'


def shrink(model, cells):
    """Change a model's config to a square of `cells` x `cells` voxels around its front.

    Gives its range (x0, y0, z0, x1, y1, z1) in metres.
    """
    voxels = model.data_preprocessor.voxel_layer
    low, high = voxels.point_cloud_range[:3], voxels.point_cloud_range[3:]
    side = cells * voxels.voxel_size[0]
    x0 = 0.0 if low[0] == 0 else -side / 2
    limits = [x0, -side / 2, low[2], x0 + side, side / 2, high[2]]
    _replace(
        model,
        dict(
            point_cloud_range=lambda old: limits,
            pc_range=lambda old: limits[:2],
            sparse_shape=lambda old: [old[0], cells, cells],
            output_shape=lambda old: [cells, cells],
            grid_size=lambda old: [cells, cells, old[2]],
            ranges=lambda old: [[*limits[:2], r[2], *limits[3:5], r[5]] for r in old],
            max_voxels=lambda old: (2000, 2000),
            max_num=lambda old: 20,  # boxes; many are slow to compare without a GPU
            nms_pre=lambda old: 20,
        ),
    )
    return limits


def _replace(part, changes):
    if isinstance(part, list | tuple):
        for inner in part:
            _replace(inner, changes)
    elif isinstance(part, dict):
        for key, old in part.items():
            if key in changes and old is not None:
                part[key] = changes[key](old)
            else:
                _replace(old, changes)


def cloud(limits, points, features):
    """(points, features), uniform in the range."""
    low, high = torch.tensor(limits).view(2, 3)
    made = torch.rand(points, features)
    made[:, :3] = low + made[:, :3] * (high - low) * 0.999
    return made


def frame(limits, size, label, code_size):
    """A data sample with one object in the middle of the range."""
    from mmdet3d.structures import Det3DDataSample, LiDARInstance3DBoxes
    from mmengine.structures import InstanceData

    middle = torch.tensor(limits).view(2, 3).mean(0)
    box = torch.cat([middle, torch.tensor(size), torch.zeros(code_size - 6)])[None]
    sample = Det3DDataSample(metainfo=dict(box_type_3d=LiDARInstance3DBoxes))
    sample.gt_instances_3d = InstanceData(
        bboxes_3d=LiDARInstance3DBoxes(box, box_dim=code_size), labels_3d=torch.tensor([label])
    )
    return sample


def prepared(model, clouds, samples, training):
    """What the model's data preprocessor makes of them, with the model in that mode."""
    model.train(training)
    data = dict(inputs=dict(points=clouds), data_samples=samples)
    return model.data_preprocessor(data, training)


def narrow_kitti(name='second_dualattn_kitti', cells=128):
    """The config with a small range and a narrow network."""
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    cfg.model.backbone.out_channels = cfg.model.neck.in_channels = [32, 64]
    cfg.model.neck.out_channels = [32, 32]
    cfg.model.bbox_head.in_channels = cfg.model.bbox_head.feat_channels = 64
    shrink(cfg.model, cells)
    return cfg
