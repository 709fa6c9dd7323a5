# The weights that ship: the mini preset trained without pretrained networks, on CPU. A loss that
# rare colours count more in takes the place of the paper's three; see docs/model_card.md.
_base_ = [
    '../_base_/color_dualattn_mini.py',
    '../_base_/color_photos.py',
    '../_base_/color_test.py',
    '../_base_/color_runtime.py',
]

crop_size = 96
max_iters = 7000
model = dict(
    # Crops show things larger than whole photos do, so that what is learned at 96 is used at 128.
    # The logits of channel attention must not depend on that: scaled by the number of tokens.
    generator=dict(image_size=128, encoder=dict(fca_scale='tokens')),
    l1_weight=0.0,
    color=dict(type='RebalancedColorLoss', delta=25.0, uniform=0.95),
)
pipeline = [
    dict(type='LoadPhoto'),
    dict(type='SkipNearGray', min_colorfulness=8.0),
    dict(type='ColorizationCrop', size=crop_size, scale=(0.25, 1.0)),
    dict(type='PackColorization'),
]
# Two kinds of photos, drawn about equally often.
train_dataloader = dict(
    batch_size=8,  # of each of two processes
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(
                type='RepeatDataset',
                times=3,
                dataset=dict(
                    type='ColorizationDataset', data_root='data/photos/train', pipeline=pipeline
                ),
            ),
            dict(type='ColorizationDataset', data_root='data/scenes/train', pipeline=pipeline),
        ],
    ),
)
test_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadPhoto'),
            dict(type='ColorizationSquash', size=128),
            dict(type='PackColorization'),
        ],
    ),
)
train_cfg = dict(by_epoch=False, max_iters=max_iters)
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=8e-4, weight_decay=0.01), clip_grad=dict(max_norm=1.0)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=200),
    dict(
        type='LinearLR',
        start_factor=1.0,
        end_factor=0.01,
        by_epoch=False,
        begin=max_iters * 2 // 3,
        end=max_iters,
    ),
]
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='GeneratorEMAHook', momentum=0.001),
]
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=50),
    checkpoint=dict(type='SafeCheckpointHook', by_epoch=False, interval=200, max_keep_ckpts=2),
)
auto_scale_lr = dict(base_batch_size=16, enable=False)
log_processor = dict(by_epoch=False)
randomness = dict(seed=0)
