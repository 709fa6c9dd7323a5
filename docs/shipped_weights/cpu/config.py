custom_hooks = [
    dict(type='PlainCheckpointHook'),
    dict(type='RepeatableHook'),
    dict(ignore=('^color\\.',), type='StrictLoadHook'),
    dict(ema_type='MomentumAnnealingEMA', gamma=50, momentum=0.003, type='GeneratorEMAHook'),
    dict(decay=0.7, seconds=6300, type='TimeBudgetHook'),
]
custom_imports = dict(
    allow_failed_imports=False,
    imports=[
        'dualattn_mm',
        'dualattn_mm.datasets',
        'dualattn_mm.evaluation',
        'dualattn_mm.engine',
    ],
)
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=100, max_keep_ckpts=2, type='SafeCheckpointHook'),
    gallery=dict(dataset=dict(data_root=None), interval=1000, type='ColorGalleryHook'),
    logger=dict(interval=20, type='EarlyLoggerHook'),
)
image_size = 160
launcher = 'none'
load_from = 'previous_stage.pth'
log_processor = dict(by_epoch=False)
model = dict(
    color=dict(delta=25.0, type='RebalancedColorLoss', uniform=0.95),
    distillation=dict(
        in_channels=(
            144,
            192,
        ),
        loss_weight=5.0,
        share=0.5,
        shrink=1,
        type='FeatureDistillation',
        weights='data/efficientnet-lite0-57934424.pth',
    ),
    generator=dict(
        encoder=dict(
            arch=dict(
                depths=(
                    1,
                    1,
                    3,
                    1,
                ),
                embed_dims=(
                    48,
                    96,
                    144,
                    192,
                ),
                stem_channels=32,
            ),
            fca_scale='tokens',
            group_dim=24,
            head_dim=24,
            in_channels=1,
            order=(
                'fca',
                'sda',
            ),
            type='DualAttention',
            window_size=8,
        ),
        head=dict(
            feedforward_channels=384,
            in_channels=96,
            num_heads=4,
            num_layers=3,
            type='ColorAttention',
        ),
        image_size=160,
        neck=dict(
            in_channels=(
                48,
                96,
                144,
                192,
            ),
            out_channels=(
                128,
                96,
                96,
            ),
            type='PixelShuffleNeck',
        ),
        num_queries=64,
        type='MultiscalePyramidTransformer',
    ),
    l1_weight=0.0,
    train_sizes=(
        96,
        128,
        160,
    ),
    type='Colorizer',
)
optim_wrapper = dict(
    clip_grad=dict(max_norm=1.0),
    optimizer=dict(lr=0.0002, type='AdamW', weight_decay=0.02),
    paramwise_cfg=dict(custom_keys=dict(distillation=dict(lr_mult=10.0))),
    type='OptimWrapper',
)
param_scheduler = [
    dict(by_epoch=False, end=200, start_factor=0.04, type='LinearLR'),
]
pipeline = [
    dict(type='LoadPhoto'),
    dict(min_colorfulness=4.0, type='SkipNearGray'),
    dict(
        scale=(
            0.3,
            1.0,
        ),
        size=192,
        type='ColorizationCrop',
    ),
    dict(ground_truth=False, type='PackColorization'),
]
randomness = dict(seed=33)
scenes = dict(
    ann_file='data/scenes.txt',
    cache_gib=0.5,
    data_root='data/scenes/train',
    pipeline=[
        dict(type='LoadPhoto'),
        dict(min_colorfulness=4.0, type='SkipNearGray'),
        dict(
            scale=(
                0.3,
                1.0,
            ),
            size=192,
            type='ColorizationCrop',
        ),
        dict(ground_truth=False, type='PackColorization'),
    ],
    type='ColorizationDataset',
)
test_cfg = None
test_dataloader = None
test_evaluator = None
train_cfg = dict(by_epoch=False, max_iters=100000)
train_dataloader = dict(
    batch_size=16,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        datasets=[
            dict(
                ann_file='data/colour.txt',
                cache_gib=3.5,
                data_root='data/colour',
                pipeline=[
                    dict(type='LoadPhoto'),
                    dict(min_colorfulness=4.0, type='SkipNearGray'),
                    dict(
                        scale=(
                            0.3,
                            1.0,
                        ),
                        size=192,
                        type='ColorizationCrop',
                    ),
                    dict(ground_truth=False, type='PackColorization'),
                ],
                type='ColorizationDataset',
            ),
            dict(
                dataset=dict(
                    ann_file='data/scenes.txt',
                    cache_gib=0.5,
                    data_root='data/scenes/train',
                    pipeline=[
                        dict(type='LoadPhoto'),
                        dict(min_colorfulness=4.0, type='SkipNearGray'),
                        dict(
                            scale=(
                                0.3,
                                1.0,
                            ),
                            size=192,
                            type='ColorizationCrop',
                        ),
                        dict(ground_truth=False, type='PackColorization'),
                    ],
                    type='ColorizationDataset',
                ),
                times=3,
                type='RepeatDataset',
            ),
        ],
        type='ConcatDataset',
    ),
    num_workers=1,
    persistent_workers=True,
    prefetch_factor=4,
    sampler=dict(shuffle=True, type='InfiniteSampler'),
)
visualizer = dict(
    type='Visualizer',
    vis_backends=[
        dict(type='LocalVisBackend'),
    ],
)
work_dir = 'work_dirs/color_dualattn_mini_finetune'
