# DualAttention as an ImageNet classifier. We chose Mixup, CutMix and label smoothing, because the
# paper does not describe augmentation; the rest is published.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='DualAttention',
        arch='tiny',
        out_indices=(3,),
        gap_before_final_norm=True,
        drop_path_rate=0.1,  # chosen
    ),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=768,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
