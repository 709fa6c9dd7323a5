# The counterpart of second_dualattn_kitti.py with SECOND; only the backbone differs.
_base_ = 'second_dualattn_kitti.py'

model = dict(backbone=dict(type='SECOND'))
