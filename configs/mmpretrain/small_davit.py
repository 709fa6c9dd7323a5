# 789,248 parameters without the head.
_base_ = '../_base_/cls_small.py'

model = dict(
    backbone=dict(
        type='DaViT',
        arch=dict(embed_dims=16, depths=[1, 1, 3, 1], num_heads=[1, 2, 4, 8]),
        window_size=6,
        pad_small_map=True,
        out_indices=(3,),
    ),
)
