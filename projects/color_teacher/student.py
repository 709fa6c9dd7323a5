# Further training of the bundled weights, which also learn from the mean of their own colors and
# those of a teacher (teacher.py). The learning rate falls to almost 0 at the end of the time.
#   --cfg-options train_dataloader.dataset.data_root=FOLDER custom_hooks.4.seconds=7200
_base_ = 'teacher.py'

student = dict(
    type='MultiscalePyramidTransformer',
    encoder=dict(
        type='DualAttention',
        arch=dict(embed_dims=(48, 96, 144, 192), depths=(1, 2, 8, 2), stem_channels=32),
        in_channels=1,
        window_size=8,
        head_dim=24,
        group_dim=24,
        order=('fca', 'sda'),
        fca_scale='tokens',
    ),
    neck=dict(type='PixelShuffleNeck', in_channels=(48, 96, 144, 192), out_channels=(128, 96, 96)),
    head=dict(
        type='ColorAttention',
        in_channels=96,
        num_heads=4,
        num_layers=3,
        feedforward_channels=384,
    ),
    num_queries=64,
    image_size=192,
)
weights = 'dualattn_mm/assets/mpt_mini.safetensors'
model = dict(
    generator=dict(_delete_=True, **student),
    color=dict(loss_weight=0.1),
    color_distillation=dict(
        type='ColorDistillation',
        teachers=[
            dict(generator=student, weights=weights, share=0.6),
            dict(
                generator=dict(type='TimmColorizer', encoder='tf_efficientnet_lite2'),
                weights='projects/color_teacher/teacher.safetensors',
                share=0.4,
            ),
        ],
    ),
    train_sizes=(96, 128, 160),
)
load_from = weights
train_dataloader = dict(batch_size=16)
optim_wrapper = dict(optimizer=dict(lr=1e-4), paramwise_cfg=dict(_delete_=True))
custom_hooks = [
    dict(type='PlainCheckpointHook'),
    dict(type='RepeatableHook'),
    dict(type='StrictLoadHook'),
    dict(type='GeneratorEMAHook', ema_type='MomentumAnnealingEMA', momentum=0.003, gamma=50),
    dict(type='TimeBudgetHook', seconds=7200, decay=0.7),
    dict(type='FiniteLossHook'),
]
