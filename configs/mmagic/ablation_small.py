# For the rows of Tables III and IV side by side on a CPU: a narrow colorizer with 150 queries, at
# 48 x 48, with windows of 3 x 3 tokens. Chosen here; nothing of it is published. Its use, and what
# came out: docs/ablations.md.
_base_ = [
    '../_base_/color_dualattn_mini.py',
    '../_base_/color_photos.py',
    '../_base_/color_test.py',
    '../_base_/color_runtime.py',
]

image_size = 48
max_iters = 120
model = dict(
    generator=dict(
        image_size=image_size,
        num_queries=150,
        encoder=dict(
            arch=dict(embed_dims=(24, 48, 72, 96), depths=(1, 1, 2, 1), stem_channels=16),
            window_size=3,
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
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=12),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=12, end=max_iters),
]
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(interval=max_iters, max_keep_ckpts=1),
)
