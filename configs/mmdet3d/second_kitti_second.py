# The SECOND row beside second_dualattn_kitti.py: the backbone alone differs.
_base_ = 'second_dualattn_kitti.py'

model = dict(backbone=dict(type='SECOND'))
