_base_ = 'cls_dualattn_t_384.py'

load_from = 'work_dirs/cls_dualattn_s/epoch_300.pth'
model = dict(backbone=dict(arch='small', drop_path_rate=0.2))
