# 799,360 parameters without the head.
_base_ = '../_base_/cls_small.py'

model = dict(
    backbone=dict(
        type='DualAttention',
        arch=dict(embed_dims=(16, 32, 64, 128), depths=(1, 1, 3, 1), stem_channels=16),
        window_size=6,
        head_dim=16,
        group_dim=16,
        out_indices=(3,),
    ),
)
