# Further training of the bundled weights, which learn the mean of their own colors and those of a
# teacher (teacher.py), at the size of use: at 128 px, this mean is another one than at 192 px. The
# true colors are only used to keep neutral pixels neutral and vivid ones vivid. The learning rate
# falls to almost 0 at the end of the time.
#   --cfg-options train_dataloader.dataset.data_root=FOLDER custom_hooks.4.seconds=600
_base_ = '../../configs/mmagic/color_dualattn_mini_finetune.py'

custom_imports = dict(
    imports=[*_base_.custom_imports.imports, 'projects.color_teacher.timm_colorizer'],
)
square = 176  # side of the cached photos
weights = 'dualattn_mm/assets/mpt_mini.safetensors'
model = dict(
    data_preprocessor=dict(
        type='ColorizationBatchCrop', size=192, scale=(0.5, 1.0), ratio=(0.8, 1.25)
    ),
    color=None,
    chroma=dict(type='ChromaLoss'),
    distillation=None,
    color_distillation=dict(
        type='ColorDistillation',
        teachers=[
            dict(generator=_base_.model.generator, weights=weights, share=0.6),
            dict(
                generator=dict(type='TimmColorizer', encoder='tf_efficientnet_lite2'),
                weights='projects/color_teacher/teacher.safetensors',
                share=0.4,
            ),
        ],
    ),
    luma_share=0.5,
    train_sizes=(160, 192),
)
load_from = weights
train_dataloader = dict(
    dataset=dict(
        cache_side=square,
        cache_square=True,
        pipeline=[
            dict(type='LoadPhoto'),
            dict(type='SkipNearGray', min_colorfulness=4.0),
            # For photos that are not in the cache.
            dict(type='ColorizationSquash', size=square),
            dict(type='PackColorization', ground_truth=False),
        ],
    ),
)
optim_wrapper = dict(optimizer=dict(lr=6e-5), paramwise_cfg=dict(_delete_=True))
param_scheduler = [dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=50)]
custom_hooks = [
    dict(type='PlainCheckpointHook'),
    dict(type='RepeatableHook'),
    dict(type='StrictLoadHook'),
    dict(type='GeneratorEMAHook', ema_type='MomentumAnnealingEMA', momentum=0.003, gamma=20),
    dict(type='TimeBudgetHook', seconds=600, decay=0.65),
    dict(type='FiniteLossHook'),
]
default_hooks = dict(checkpoint=dict(interval=200))
