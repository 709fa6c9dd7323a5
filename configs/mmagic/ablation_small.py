# Tables III and IV at a small scale: the mini preset with 150 queries, at 64 x 64, on a folder of
# photos. We chose all settings. projects/reproduction/miniature.py trains the rows of both tables.
_base_ = [
    '../_base_/color_dualattn_mini.py',
    '../_base_/color_photos.py',
    '../_base_/color_test.py',
    '../_base_/color_runtime.py',
]

image_size = 64
max_iters = 2000
model = dict(
    generator=dict(
        image_size=image_size,
        num_queries=150,
        # The maps have 16, 8, 4 and 2 tokens per side, so windows are dilated in two stages.
        encoder=dict(window_size=4),
    ),
)
train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    dataset=dict(
        data_root='data/photos/train',
        cache_gib=2.0,
        cache_side=96,
        pipeline=[
            dict(type='LoadPhoto'),
            dict(type='ColorizationCrop', size=image_size, scale=(0.4, 1.0)),
            dict(type='PackColorization', ground_truth=False),
        ],
    ),
)
val_dataloader = dict(
    _base_.test_dataloader,
    num_workers=0,
    dataset=dict(
        _base_.test_dataloader.dataset,
        data_root='data/photos/val',
        pipeline=[
            dict(type='LoadPhoto'),
            dict(type='ColorizationSquash', size=image_size),
            dict(type='PackColorization'),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = _base_.test_evaluator
train_cfg = dict(by_epoch=False, max_iters=max_iters, val_interval=max_iters)
val_cfg = dict()
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01), clip_grad=dict(max_norm=1.0)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=100),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=100, end=max_iters),
]
default_hooks = dict(
    logger=dict(interval=50),
    checkpoint=dict(interval=max_iters, max_keep_ckpts=1),
)
