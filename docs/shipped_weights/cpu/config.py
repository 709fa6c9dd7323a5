custom_hooks = [
    dict(type='PlainCheckpointHook'),
    dict(type='RepeatableHook'),
    dict(ignore=('^color\\.',), type='StrictLoadHook'),
    dict(ema_type='MomentumAnnealingEMA', gamma=50, momentum=0.003, type='GeneratorEMAHook'),
    dict(decay=0.8, seconds=5500, type='TimeBudgetHook'),
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
image_size = 192
launcher = 'none'
load_from = 'previous_stage.pth'
log_processor = dict(by_epoch=False)
model = dict(
    color=dict(delta=25.0, type='RebalancedColorLoss', uniform=0.95),
    generator=dict(
        encoder=dict(
            arch=dict(
                depths=(
                    1,
                    2,
                    8,
                    2,
                ),
                embed_dims=(
                    48,
                    96,
                    144,
                    192,
                ),
                stem_channels=32,
            ),
            drop_path_rate=0.02,
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
        image_size=192,
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
    optimizer=dict(lr=0.0003, type='AdamW', weight_decay=0.02),
    type='OptimWrapper',
)
param_scheduler = [
    dict(by_epoch=False, end=100, start_factor=0.04, type='LinearLR'),
]
photos = dict(
    ann_file='varied_again.txt',
    cache_gib=1.0,
    data_root='data/varied',
    pipeline=[
        dict(type='LoadPhoto'),
        dict(min_colorfulness=4.0, type='SkipNearGray'),
        dict(
            scale=(
                0.3,
                1.0,
            ),
            size=160,
            type='ColorizationCrop',
        ),
        dict(ground_truth=False, type='PackColorization'),
    ],
    type='ColorizationDataset',
)
pipeline = [
    dict(type='LoadPhoto'),
    dict(min_colorfulness=4.0, type='SkipNearGray'),
    dict(
        scale=(
            0.3,
            1.0,
        ),
        size=160,
        type='ColorizationCrop',
    ),
    dict(ground_truth=False, type='PackColorization'),
]
randomness = dict(seed=101)
scenes = dict(
    ann_file='scenes.txt',
    cache_gib=0.5,
    data_root='data/scenes',
    pipeline=[
        dict(type='LoadPhoto'),
        dict(min_colorfulness=4.0, type='SkipNearGray'),
        dict(
            scale=(
                0.3,
                1.0,
            ),
            size=160,
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
                ann_file='varied.txt',
                cache_gib=3.5,
                data_root='data/varied',
                pipeline=[
                    dict(type='LoadPhoto'),
                    dict(min_colorfulness=4.0, type='SkipNearGray'),
                    dict(
                        scale=(
                            0.3,
                            1.0,
                        ),
                        size=160,
                        type='ColorizationCrop',
                    ),
                    dict(ground_truth=False, type='PackColorization'),
                ],
                type='ColorizationDataset',
            ),
            dict(
                dataset=dict(
                    ann_file='scenes.txt',
                    cache_gib=0.5,
                    data_root='data/scenes',
                    pipeline=[
                        dict(type='LoadPhoto'),
                        dict(min_colorfulness=4.0, type='SkipNearGray'),
                        dict(
                            scale=(
                                0.3,
                                1.0,
                            ),
                            size=160,
                            type='ColorizationCrop',
                        ),
                        dict(ground_truth=False, type='PackColorization'),
                    ],
                    type='ColorizationDataset',
                ),
                times=3,
                type='RepeatDataset',
            ),
            dict(
                dataset=dict(
                    ann_file='varied_again.txt',
                    cache_gib=1.0,
                    data_root='data/varied',
                    pipeline=[
                        dict(type='LoadPhoto'),
                        dict(min_colorfulness=4.0, type='SkipNearGray'),
                        dict(
                            scale=(
                                0.3,
                                1.0,
                            ),
                            size=160,
                            type='ColorizationCrop',
                        ),
                        dict(ground_truth=False, type='PackColorization'),
                    ],
                    type='ColorizationDataset',
                ),
                times=1,
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
work_dir = 'work_dirs/stage_6'
