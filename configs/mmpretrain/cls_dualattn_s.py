_base_ = 'cls_dualattn_t.py'

model = dict(backbone=dict(arch='small', drop_path_rate=0.2))  # we chose the rate
