# Common settings of the detectors (Sec. IV-F); the configs of ../mmdet use these parts.
# Published: AdamW, 1e-4, weight decay 0.05, drop path 0.1/0.2/0.3 (T/S/B), ImageNet weights,
# 36 epochs (3x). Chosen: no decay of norms and biases (as in classification), Swin's warm-up of
# 1000 iterations, steps at 27 and 33, mixed precision.
_base_ = 'openmmlab_runtime.py'

dualattn = dict(
    type='DualAttention',
    arch='tiny',
    drop_path_rate=0.1,
    # The last checkpoint of ../mmpretrain/cls_dualattn_t.py; no such weights are published.
    # `model.backbone.init_cfg.checkpoint=FILE` sets another file or URL, and
    # `model.backbone.init_cfg=None` trains from scratch.
    init_cfg=dict(
        type='Pretrained',
        checkpoint='work_dirs/cls_dualattn_t/epoch_300.pth',
        prefix='backbone.',
    ),
)
adamw = dict(
    type='AmpOnGpuOptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
warm_up = dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000)
schedule_3x = [
    warm_up,
    dict(type='MultiStepLR', begin=0, end=36, by_epoch=True, milestones=[27, 33], gamma=0.1),
]
