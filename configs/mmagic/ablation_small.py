# The rows of Tables III and IV side by side on a CPU: a narrow colorizer, K = 150, at 64 x 64, where
# windows of 4 tokens a side are to the maps what the paper's 8 are at 256. Chosen here; nothing of it
# is published. tools/compare_training.py --tables III IV trains the rows: docs/ablations.md.
_base_ = [
    '../_base_/color_dualattn_mini.py',
    '../_base_/color_photos.py',
    '../_base_/color_test.py',
    '../_base_/color_runtime.py',
]

image_size = 64
max_iters = 300
model = dict(
    generator=dict(
        image_size=image_size,
        num_queries=150,
        encoder=dict(
            arch=dict(embed_dims=(24, 48, 72, 96), depths=(1, 1, 2, 1), stem_channels=16),
            window_size=4,
            head_dim=12,
            group_dim=12,
        ),
        neck=dict(in_channels=(24, 48, 72, 96), out_channels=(48, 32, 32)),
        head=dict(in_channels=32, num_layers=2, feedforward_channels=128),
    ),
)
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_root='data/photos/train',
        pipeline=[
            dict(type='LoadPhoto'),
            dict(type='ColorizationCrop', size=image_size, scale=(0.25, 1.0)),
            dict(type='PackColorization'),
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
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=30),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=30, end=max_iters),
]
default_hooks = dict(
    logger=dict(interval=25),
    checkpoint=dict(interval=max_iters, max_keep_ckpts=1),
)
