auto_scale_lr = dict(base_batch_size=256, enable=False)
crop_size = 160
custom_hooks = [
    dict(type='PlainCheckpointHook'),
    dict(type='RepeatableHook'),
    dict(ignore=('^distillation\\.',), type='StrictLoadHook'),
    dict(momentum=0.002, type='GeneratorEMAHook'),
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
    checkpoint=dict(by_epoch=False, interval=500, max_keep_ckpts=2, type='SafeCheckpointHook'),
    gallery=dict(dataset=dict(data_root=None), interval=1000, type='ColorGalleryHook'),
    logger=dict(interval=50, type='LoggerHook'),
)
image_size = 192
launcher = 'none'
log_processor = dict(by_epoch=False)
max_iters = 1800
model = dict(
    color=dict(delta=25.0, type='RebalancedColorLoss', uniform=0.95),
    distillation=dict(
        in_channels=(
            144,
            192,
        ),
        loss_weight=10.0,
        shrink=2,
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
            drop_path_rate=0.05,
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
    type='Colorizer',
)
optim_wrapper = dict(
    clip_grad=dict(max_norm=1.0),
    dtype='bfloat16',
    optimizer=dict(
        fallback_lr_scale=0.2, lr=0.004, nesterov=True, type='timm.optim.Muon', weight_decay=0.05
    ),
    type='AmpOnGpuOptimWrapper',
)
param_scheduler = [
    dict(by_epoch=False, end=100, start_factor=0.01, type='LinearLR'),
    dict(begin=100, by_epoch=False, end=1800, end_factor=0.01, start_factor=1.0, type='LinearLR'),
]
pipeline = [
    dict(type='LoadPhoto'),
    dict(min_colorfulness=8.0, type='SkipNearGray'),
    dict(
        scale=(
            0.25,
            1.0,
        ),
        size=320,
        type='ColorizationCrop',
    ),
    dict(ground_truth=False, type='PackColorization'),
]
randomness = dict(seed=7)
teacher_shrink = 2
test_cfg = dict()
test_dataloader = dict(
    batch_size=8,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        data_root='data/imagenet/val',
        pipeline=[
            dict(type='LoadPhoto'),
            dict(size=192, type='ColorizationSquash'),
            dict(type='PackColorization'),
        ],
        test_mode=True,
        type='ColorizationDataset',
    ),
    num_workers=2,
    sampler=dict(shuffle=False, type='DefaultSampler'),
)
test_evaluator = [
    dict(type='ColorizationCF'),
    dict(type='ColorizationPSNR'),
    dict(type='ColorizationSSIM'),
    dict(type='ColorizationABError'),
]
train_cfg = dict(by_epoch=False, max_iters=1800)
train_dataloader = dict(
    batch_size=256,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        datasets=[
            dict(
                dataset=dict(
                    data_root='data/photos/train',
                    pipeline=[
                        dict(type='LoadPhoto'),
                        dict(min_colorfulness=8.0, type='SkipNearGray'),
                        dict(
                            scale=(
                                0.25,
                                1.0,
                            ),
                            size=320,
                            type='ColorizationCrop',
                        ),
                        dict(ground_truth=False, type='PackColorization'),
                    ],
                    type='ColorizationDataset',
                ),
                times=4,
                type='RepeatDataset',
            ),
            dict(
                data_root='data/scenes/train',
                pipeline=[
                    dict(type='LoadPhoto'),
                    dict(min_colorfulness=8.0, type='SkipNearGray'),
                    dict(
                        scale=(
                            0.25,
                            1.0,
                        ),
                        size=320,
                        type='ColorizationCrop',
                    ),
                    dict(ground_truth=False, type='PackColorization'),
                ],
                type='ColorizationDataset',
            ),
        ],
        type='ConcatDataset',
    ),
    num_workers=14,
    persistent_workers=True,
    sampler=dict(shuffle=True, type='InfiniteSampler'),
)
visualizer = dict(
    type='Visualizer',
    vis_backends=[
        dict(type='LocalVisBackend'),
    ],
)
work_dir = '/tmp/run'
