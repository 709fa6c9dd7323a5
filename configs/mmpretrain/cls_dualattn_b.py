_base_ = 'cls_dualattn_t.py'

model = dict(
    backbone=dict(arch='base', drop_path_rate=0.4),  # we chose the rate
    head=dict(in_channels=1024),
)
