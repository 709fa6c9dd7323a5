# A colorizer with EfficientNet-Lite2 from ImageNet as its encoder, in a given time. It is the
# teacher of student.py.
#   --cfg-options train_dataloader.dataset.data_root=FOLDER custom_hooks.4.seconds=2400
_base_ = '../../configs/mmagic/color_dualattn_mini.py'

custom_imports = dict(
    imports=[
        'dualattn_mm',
        'dualattn_mm.datasets',
        'dualattn_mm.evaluation',
        'dualattn_mm.engine',
        'projects.color_teacher.timm_colorizer',
    ],
    allow_failed_imports=False,
)
image_size = 192  # for colorizing
model = dict(
    data_preprocessor=dict(type='ColorizationBatchCrop', size=160, scale=(0.3, 1.0)),
    generator=dict(
        _delete_=True,
        type='TimmColorizer',
        encoder='tf_efficientnet_lite2',
        weights='data/efficientnet-lite2-9656183e.pth',
        frozen_stages=2,
    ),
    luma_share=0.5,
    train_sizes=(128, 160),
)
train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    dataset=dict(
        cache_side=176,
        cache_square=True,
        pipeline=[
            dict(type='LoadPhoto'),
            dict(type='SkipNearGray', min_colorfulness=4.0),
            # For photos that are not in the cache.
            dict(type='ColorizationSquash', size=176),
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
train_cfg = dict(max_iters=1_000_000)  # the time limit ends the training
optim_wrapper = dict(
    optimizer=dict(lr=1e-3),
    paramwise_cfg=dict(custom_keys={'generator.encoder': dict(lr_mult=0.4)}),
)
param_scheduler = [dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=100)]
custom_hooks = [
    dict(type='PlainCheckpointHook'),
    dict(type='RepeatableHook'),
    dict(type='StrictLoadHook'),
    dict(type='GeneratorEMAHook', ema_type='MomentumAnnealingEMA', momentum=0.002, gamma=10),
    dict(type='TimeBudgetHook', seconds=2400, decay=0.6),
    dict(type='FiniteLossHook'),
]
default_hooks = dict(checkpoint=dict(interval=200))
