# A sanity check for a CPU: a narrow SECOND with DualAttentionBEV is trained and tested on the six
# labeled frames in docs/detection3d.md, in the part of the frames that has most of the cars. We
# chose all settings.
_base_ = 'second_dualattn_kitti.py'

cells, side = 384, 0.1  # a map of 48 x 48; mmdet3d's voxels have half the side
point_cloud_range = [0, -22.4, -3, 38.4, 16, 1]
fast = dict(momentum=0.05)  # momentum of batch statistics, because there are few steps
model = dict(
    data_preprocessor=dict(
        voxel_layer=dict(point_cloud_range=point_cloud_range, voxel_size=[side, side, 0.1])
    ),
    middle_encoder=dict(
        sparse_shape=[41, cells, cells],
        encoder_channels=((16,), (16, 16), (32, 32), (32, 32)),
        encoder_paddings=((1,), (1, 1), (1, 1), ((0, 1, 1), 1)),
        output_channels=64,
        norm_cfg=dict(type='BN1d', eps=1e-3, **fast),
    ),
    backbone=dict(
        in_channels=128, out_channels=[64, 128], norm_cfg=dict(type='BN', eps=1e-3, **fast)
    ),
    neck=dict(
        in_channels=[64, 128], out_channels=[64, 64], norm_cfg=dict(type='BN', eps=1e-3, **fast)
    ),
    bbox_head=dict(
        in_channels=128,
        feat_channels=128,
        anchor_generator=dict(
            ranges=[[0, -22.4, z, 38.4, 16, z] for z in (-0.6, -0.6, -1.78)]  # heights: mmdet3d's
        ),
    ),
)

load, annotations, sample = _base_.train_pipeline[:3]
# Number of objects per frame; frames with fewer get additional objects from the database.
sample = dict(
    sample,
    db_sampler=dict(sample['db_sampler'], sample_groups=dict(Car=4, Pedestrian=2, Cyclist=2)),
)
in_range = dict(type='PointsRangeFilter', point_cloud_range=point_cloud_range)
train_pipeline = [
    load,
    annotations,
    sample,
    in_range,
    dict(type='ObjectRangeFilter', point_cloud_range=point_cloud_range),
    dict(type='PointShuffle'),
    dict(type='Pack3DDetInputs', keys=['points', 'gt_bboxes_3d', 'gt_labels_3d']),
]
test_pipeline = [load, in_range, dict(type='Pack3DDetInputs', keys=['points'])]
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(times=10, dataset=dict(pipeline=train_pipeline)),
)
test_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(ann_file='kitti_infos_train.pkl', pipeline=test_pipeline),
)
test_evaluator = dict(ann_file='data/kitti/kitti_infos_train.pkl')
val_cfg = None
val_dataloader = None
val_evaluator = None

train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=12)  # epochs of 30 steps
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=30),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=30, end=360, eta_min=2e-5),
]
default_hooks = dict(logger=dict(interval=5), checkpoint=dict(interval=1, max_keep_ckpts=1))
