"""Small LiDAR detectors and point clouds for tests."""

import pickle
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config

CONFIGS = Path(__file__).resolve().parents[1] / 'configs' / 'mmdet3d'
WITHOUT_VAL = dict(val_cfg=None, val_dataloader=None, val_evaluator=None)


def shrink(model, cells):
    """Change a model's config to a square of `cells` x `cells` voxels around its front.

    Gives its range (x0, y0, z0, x1, y1, z1) in meters.
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
    """Return the result of the model's data preprocessor in the given mode."""
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


# KITTI's camera looks along the LiDAR's x, with its own x to the right and y down.
LIDAR2CAM = [[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
CAM2IMG = [[700.0, 0, 600, 0], [0, 700, 180, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
CATEGORIES = dict(Pedestrian=0, Cyclist=1, Car=2)


def write_kitti(folder, frames=2):
    """Write KITTI data as mmdet3d's create_data does: frames with one car each, and a database."""
    rng = np.random.default_rng(0)
    (folder / 'training' / 'velodyne_reduced').mkdir(parents=True)
    (folder / 'kitti_gt_database').mkdir()
    rows, database = [], []
    for i in range(frames):
        box = np.array([3.0, 0.5 * i, -1.7, 3.9, 1.6, 1.5, 0.2 * i], np.float32)
        ground = rng.uniform((0, -3.2, -1.7, 0), (6.4, 3.2, -1.6, 1), (150, 4))
        inside = np.column_stack([rng.uniform(-0.5, 0.5, (60, 3)) * (1.5, 1.5, 1), rng.random(60)])
        inside[:, 2] += 0.7
        car = inside + np.array([*box[:3], 0])
        points = np.concatenate([ground, car]).astype(np.float32)
        points.tofile(folder / 'training' / 'velodyne_reduced' / f'{i:06d}.bin')
        path = f'kitti_gt_database/{i}_Car_0.bin'
        inside.astype(np.float32).tofile(folder / path)
        rows.append(_frame_info(i, box))
        database.append(
            dict(
                name='Car',
                path=path,
                image_idx=i,
                gt_idx=0,
                box3d_lidar=box,
                num_points_in_gt=60,
                difficulty=0,
                group_id=i,
            )
        )
    infos = dict(metainfo=dict(categories=CATEGORIES, dataset='kitti'), data_list=rows)
    for split in ('train', 'val'):
        (folder / f'kitti_infos_{split}.pkl').write_bytes(pickle.dumps(infos))
    (folder / 'kitti_dbinfos_train.pkl').write_bytes(pickle.dumps(dict(Car=database)))


def _frame_info(number, box):
    from mmdet3d.structures import Box3DMode, LiDARInstance3DBoxes

    camera = LiDARInstance3DBoxes(torch.from_numpy(box)[None]).convert_to(
        Box3DMode.CAM, np.array(LIDAR2CAM)
    )
    about = dict(
        bbox=[500.0, 100, 700, 250],
        bbox_label=2,
        bbox_3d=camera.tensor[0].tolist(),
        bbox_label_3d=2,
        truncated=0,
        occluded=0,
        alpha=0.0,
        score=0.0,
        difficulty=0,
        num_lidar_pts=60,
    )
    view = dict(
        img_path=f'{number:06d}.png', height=375, width=1242, lidar2cam=LIDAR2CAM, cam2img=CAM2IMG
    )
    return dict(
        sample_idx=number,
        images=dict(CAM2=view, R0_rect=np.eye(4).tolist()),
        lidar_points=dict(num_pts_feats=4, lidar_path=f'{number:06d}.bin'),
        instances=[about],
    )


def kitti_options(folder):
    """Options for tools/train.py: the data of `write_kitti` and a narrow network."""
    cfg = narrow_kitti()
    parts = ('data_preprocessor', 'middle_encoder', 'backbone', 'neck', 'bbox_head')
    training = cfg.train_dataloader.dataset.dataset.pipeline
    # numba takes half a minute to compile ObjectNoise
    training = [step for step in training if step.type != 'ObjectNoise']
    [sample] = [step for step in training if step.type == 'ObjectSample']
    sample.db_sampler = dict(
        sample.db_sampler,
        data_root=str(folder),
        info_path=str(folder / 'kitti_dbinfos_train.pkl'),
        prepare=dict(filter_by_min_points=dict(Car=5)),
        sample_groups=dict(Car=2),
    )
    chosen = {f'model.{name}': cfg.model[name] for name in parts}
    chosen |= {
        'train_dataloader.dataset.times': 1,
        'train_dataloader.dataset.dataset.pipeline': training,
        'val_evaluator.ann_file': str(folder / 'kitti_infos_val.pkl'),
        'test_evaluator.ann_file': str(folder / 'kitti_infos_val.pkl'),
        'log_level': 'ERROR',
    }
    for loader in ('train', 'val', 'test'):
        dataset = f'{loader}_dataloader.dataset.' + ('dataset.' if loader == 'train' else '')
        chosen |= {
            f'{loader}_dataloader.num_workers': 0,
            f'{loader}_dataloader.persistent_workers': False,
            dataset + 'data_root': str(folder),
        }
    return chosen
