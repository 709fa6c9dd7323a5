_base_ = 'cls_dualattn_t_384.py'

load_from = 'work_dirs/cls_dualattn_b/epoch_300.pth'
model = dict(
    backbone=dict(arch='base', drop_path_rate=0.4),
    head=dict(in_channels=1024),
)
