# A sanity check for a CPU: CenterPoint with pillars and DualAttentionBEV is trained and drawn on a
# single keyframe of nuScenes (see docs/detection3d.md), in a quarter of its range. We chose all
# settings.
_base_ = 'centerpoint_pillar_dualattn.py'

cells = 256  # cells of 0.2 m, which give a map of 64 x 64
point_cloud_range = [-25.6, -25.6, -5.0, 25.6, 25.6, 3.0]
fast = dict(momentum=0.1)  # momentum of batch statistics, because there are few steps
model = dict(
    data_preprocessor=dict(voxel_layer=dict(point_cloud_range=point_cloud_range)),
    pts_voxel_encoder=dict(point_cloud_range=point_cloud_range, norm_cfg=fast),
    pts_middle_encoder=dict(output_shape=(cells, cells)),
    pts_backbone=dict(norm_cfg=fast),
    pts_neck=dict(norm_cfg=fast),
    pts_bbox_head=dict(bbox_coder=dict(pc_range=point_cloud_range[:2])),
    train_cfg=dict(pts=dict(point_cloud_range=point_cloud_range, grid_size=[cells, cells, 1])),
    test_cfg=dict(pts=dict(pc_range=point_cloud_range[:2])),
)

load, sweeps, annotations = _base_.train_pipeline[:3]
one_sweep = [load, dict(sweeps, sweeps_num=0)]  # only the points of the keyframe
in_range = dict(type='PointsRangeFilter', point_cloud_range=point_cloud_range)
train_pipeline = [
    *one_sweep,
    annotations,
    in_range,
    dict(type='ObjectRangeFilter', point_cloud_range=point_cloud_range),
    dict(type='PointShuffle'),
    dict(type='Pack3DDetInputs', keys=['points', 'gt_bboxes_3d', 'gt_labels_3d']),
]
keyframe = dict(_base_.train_dataloader.dataset.dataset, pipeline=train_pipeline)
train_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    # CBGSDataset requires objects of every class.
    dataset=dict(_delete_=True, type='RepeatDataset', times=20, dataset=keyframe),
)
test_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        ann_file='nuscenes_infos_train.pkl',
        pipeline=[*one_sweep, in_range, dict(type='Pack3DDetInputs', keys=['points'])],
    ),
)
test_evaluator = dict(ann_file='data/nuscenes/nuscenes_infos_train.pkl')
val_cfg = None
val_dataloader = None
val_evaluator = None

train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=10)  # epochs of 20 steps
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=20, end=200, eta_min=1e-5),
]
optim_wrapper = dict(optimizer=dict(lr=2e-3))
default_hooks = dict(logger=dict(interval=5), checkpoint=dict(interval=5, max_keep_ckpts=1))
