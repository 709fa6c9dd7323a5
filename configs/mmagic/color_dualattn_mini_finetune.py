# Further training of published weights on a CPU or one GPU in a given time, with a teacher for half
# of each batch. The learning rate falls to almost 0 over the last 70% of the time. It needs
# requirements/distillation.txt and the weights of the teacher (docs/model_card.md).
#   --cfg-options train_dataloader.dataset.data_root=FOLDER load_from=WEIGHTS.safetensors
#   custom_hooks.4.seconds=6300
_base_ = 'color_dualattn_mini.py'

image_size = 192  # for colorizing
model = dict(
    generator=dict(image_size=image_size),
    distillation=dict(
        type='FeatureDistillation',
        weights='data/efficientnet-lite0-57934424.pth',
        in_channels=(144, 192),
        loss_weight=5.0,
        shrink=1,
        share=0.5,
    ),
)
train_dataloader = dict(
    num_workers=1,
    dataset=dict(
        pipeline=[
            dict(type='LoadPhoto'),
            dict(type='SkipNearGray', min_colorfulness=4.0),
            dict(type='ColorizationCrop', size=192, scale=(0.3, 1.0)),
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
    optimizer=dict(lr=2e-4),
    paramwise_cfg=dict(custom_keys={'distillation': dict(lr_mult=10.0)}),
)
param_scheduler = [dict(type='LinearLR', start_factor=0.04, by_epoch=False, end=200)]
custom_hooks = [
    dict(type='PlainCheckpointHook'),
    dict(type='RepeatableHook'),
    dict(type='StrictLoadHook', ignore=(r'^distillation\.',)),
    dict(type='GeneratorEMAHook', ema_type='MomentumAnnealingEMA', momentum=0.003, gamma=50),
    dict(type='TimeBudgetHook', seconds=6300, decay=0.7),
    dict(type='FiniteLossHook'),
]
