# The training of tools/demo.sh --train: the mini preset on the few photos in scikit-image and
# scikit-learn, in a few minutes on two CPU cores. It overfits these photos and does not generalize.
_base_ = [
    '../_base_/color_dualattn_mini.py',
    '../_base_/color_photos.py',
    '../_base_/color_test.py',
    '../_base_/color_runtime.py',
]

image_size = 160
max_iters = 440
model = dict(generator=dict(image_size=image_size))
train_dataloader = dict(
    batch_size=6,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_root='outputs/demo_train/photos',
        pipeline=[
            dict(type='LoadPhoto'),
            dict(type='ColorizationCrop', size=image_size, scale=(0.75, 1.0)),
            dict(type='PackColorization', ground_truth=False),
        ],
    ),
)
test_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadPhoto'),
            dict(type='ColorizationSquash', size=image_size),
            dict(type='PackColorization'),
        ],
    ),
)
train_cfg = dict(by_epoch=False, max_iters=max_iters)
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01))
param_scheduler = dict(
    type='LinearLR', start_factor=1.0, end_factor=0.01, by_epoch=False, end=max_iters
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='TimeLimitHook', seconds=210),
    dict(type='TrainingProgressHook', keys=('ab_l1',)),
]
default_hooks = dict(
    checkpoint=dict(type='SafeCheckpointHook', by_epoch=False, interval=40, max_keep_ckpts=2),
)
randomness = dict(seed=0)
log_level = 'ERROR'  # there is a progress bar, and vis_data/ has the scalars
work_dir = 'outputs/demo_train/training'
