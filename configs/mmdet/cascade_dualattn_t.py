# Cascade Mask R-CNN on COCO, 3x, 896 x 896 (Sec. IV-F, Table VII).
_base_ = [
    'mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_ms-3x_coco.py',
    '../_base_/det_dualattn.py',
]

# Box heads with 4 convolutions and 1 linear layer. We chose GroupNorm, because SyncBN cannot train
# without a GPU, and one regression per class.
conv_fc = dict(
    type='ConvFCBBoxHead',
    num_shared_convs=4,
    num_shared_fcs=1,
    conv_out_channels=256,
    norm_cfg=dict(type='GN', num_groups=32),
    reg_class_agnostic=False,
)
model = dict(
    backbone=dict(_delete_=True, **_base_.dualattn),
    neck=dict(in_channels=[96, 192, 384, 768]),
    roi_head=dict(bbox_head=[dict(head, **conv_fc) for head in _base_.model.roi_head.bbox_head]),
)

# Resized to fit in 896 x 896 and padded with ImageNet's mean; the aspect ratio is kept (chosen).
square = [
    dict(type='Resize', scale=(896, 896), keep_ratio=True),
    dict(type='Pad', size=(896, 896), pad_val=dict(img=(104, 116, 124))),  # BGR
]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    *square,
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    *square,
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    _base_.test_pipeline[-1],
]
train_dataloader = dict(
    # An epoch has each image once, and not three times as in the base config.
    dataset=dict(
        _delete_=True,
        **dict(_base_.train_dataloader.dataset.dataset, pipeline=train_pipeline),
    ),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = dict(metric=['bbox', 'segm'])

train_cfg = dict(max_epochs=36)
optim_wrapper = dict(_delete_=True, **_base_.adamw)
param_scheduler = _base_.schedule_3x
default_hooks = dict(checkpoint=dict(type='SafeCheckpointHook', max_keep_ckpts=3))
