# 792,285 parameters without the head.
_base_ = '../_base_/cls_small.py'

model = dict(
    backbone=dict(type='ResNet', depth=18, stem_channels=17, base_channels=17),
    head=dict(in_channels=136),
)
