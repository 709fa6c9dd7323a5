# 778,958 parameters without the head.
_base_ = '../_base_/cls_small.py'

model = dict(
    backbone=dict(
        type='SwinTransformer',
        arch=dict(embed_dims=16, depths=[2, 2, 6, 2], num_heads=[1, 2, 4, 8]),
        img_size=96,
        window_size=6,
        pad_small_map=True,
        drop_path_rate=0.0,  # as in DualAttention and ResNet
    ),
)
