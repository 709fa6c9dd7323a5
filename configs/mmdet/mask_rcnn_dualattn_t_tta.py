# Test-time augmentation of Mask R-CNN with three sizes and flips, for checkpoints of
# mask_rcnn_dualattn_t.py. It only predicts boxes, because mmdet cannot merge masks. We chose the
# sizes.
_base_ = 'mask_rcnn_dualattn_t.py'

model = dict(
    _delete_=True,
    type='DetTTAModel',
    tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100),
    module=dict(
        _base_.model, roi_head=dict(_base_.model.roi_head, mask_roi_extractor=None, mask_head=None)
    ),
)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=scale, keep_ratio=True)
                for scale in ((1333, 640), (1333, 800), (1600, 960))
            ],
            [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
            [
                dict(
                    type='PackDetInputs',
                    meta_keys=(
                        *('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
                        *('flip', 'flip_direction'),
                    ),
                )
            ],
        ],
    ),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_evaluator = dict(metric='bbox')
custom_hooks = [
    *_base_.custom_hooks[:-1],
    dict(type='StrictLoadHook', ignore=(r'roi_head\.mask_head\.',)),
]
