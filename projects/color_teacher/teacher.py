# A colorizer with EfficientNet-Lite2 from ImageNet as its encoder, in a given time, on the data of
# student.py, whose teacher it is.
#   --cfg-options train_dataloader.dataset.data_root=FOLDER custom_hooks.4.seconds=2400
_base_ = 'student.py'

model = dict(
    data_preprocessor=dict(size=160, scale=(0.3, 1.0), ratio=(3 / 4, 4 / 3)),
    generator=dict(
        _delete_=True,
        type='TimmColorizer',
        encoder='tf_efficientnet_lite2',
        weights='data/efficientnet-lite2-9656183e.pth',
        frozen_stages=2,
    ),
    color=dict(_delete_=True, type='RebalancedColorLoss', delta=25.0, uniform=0.95),
    chroma=None,
    color_distillation=None,
    train_sizes=(128, 160),
)
load_from = None
train_dataloader = dict(batch_size=32)
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
