_base_ = 'cls_dualattn_t.py'

model = dict(
    backbone=dict(arch='base', drop_path_rate=0.4),  # the rate is chosen
    head=dict(in_channels=1024),
)
