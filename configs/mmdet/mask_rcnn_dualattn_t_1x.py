# Mask R-CNN on COCO, 12 epochs: the setting of mask_rcnn_dualattn_t.py in a third of the time, with
# the steps of the base config at 8 and 11. We chose this schedule; the paper only has 3x.
_base_ = [
    'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
    '../_base_/det_dualattn.py',
]

model = dict(
    backbone=dict(_delete_=True, **_base_.dualattn),
    neck=dict(in_channels=[96, 192, 384, 768]),
)

# The short side 480 to 800, the long side at most 1333 (published).
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='RandomChoiceResize',
        scales=[(side, 1333) for side in range(480, 801, 32)],  # steps of 32 are chosen
        keep_ratio=True,
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

optim_wrapper = dict(_delete_=True, **_base_.adamw)
param_scheduler = [_base_.warm_up, _base_.param_scheduler[1]]
default_hooks = dict(checkpoint=dict(type='SafeCheckpointHook', max_keep_ckpts=3))
