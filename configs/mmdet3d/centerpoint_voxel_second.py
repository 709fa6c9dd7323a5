# The SECOND row beside centerpoint_voxel_dualattn.py: the backbone alone differs.
_base_ = 'centerpoint_voxel_dualattn.py'

model = dict(pts_backbone=dict(type='SECOND'))
