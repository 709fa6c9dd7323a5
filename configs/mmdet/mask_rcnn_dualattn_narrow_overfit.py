# A sanity check for a CPU: a narrow Mask R-CNN is trained from scratch on eight images of a COCO
# file (the first ones, unless `indices` selects others) at a reduced size, and tested on the same
# images. We chose all settings. docs/detection.md has the command.
_base_ = 'mask_rcnn_dualattn_t.py'

side = (320, 256)
width = 64  # width of the neck and the heads
group_norm = dict(
    type='GN', num_groups=8
)  # without it, training from scratch hardly makes progress
model = dict(
    backbone=dict(
        arch=dict(
            _delete_=True, embed_dims=(32, 64, 96, 128), depths=(1, 1, 1, 1), stem_channels=16
        ),
        head_dim=16,
        group_dim=16,
        drop_path_rate=0.0,
        init_cfg=None,
    ),
    neck=dict(in_channels=[32, 64, 96, 128], out_channels=width, norm_cfg=group_norm),
    rpn_head=dict(
        in_channels=width,
        feat_channels=width,
        anchor_generator=dict(scales=[4]),  # objects shrink with the image
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=width),
        bbox_head=dict(in_channels=width, fc_out_channels=256),
        mask_roi_extractor=dict(out_channels=width),
        mask_head=dict(
            num_convs=2, in_channels=width, conv_out_channels=width, norm_cfg=group_norm
        ),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=300, max_per_img=200), rcnn=dict(sampler=dict(num=64))
    ),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=200)),
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=side, keep_ratio=True),
    dict(type='RandomFlip', prob=0.0),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=side, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    # With `instances`, the metric takes the ground truth of only these eight images.
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'instances'),
    ),
]
eight_images = dict(_base_.train_dataloader.dataset, indices=8)
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        _delete_=True,
        type='RepeatDataset',
        times=25,
        dataset=dict(eight_images, pipeline=train_pipeline),
    ),
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(_delete_=True, **dict(eight_images, pipeline=test_pipeline)),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=None)
test_evaluator = dict(ann_file=None)

train_cfg = dict(max_epochs=6, val_interval=2)  # epochs of 100 steps
optim_wrapper = dict(optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=5.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=600, eta_min=1e-5),
]
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=2, max_keep_ckpts=1))
